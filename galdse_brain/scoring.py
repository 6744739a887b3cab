"""Scores of many utterances, computed while the network goes on.

Authors
 * The galdse developers
"""

import logging
import os
import signal
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from threading import Thread

import torch
from threadpoolctl import threadpool_limits

from galdse_brain.composite import composite
from galdse_brain.metrics import (
    delay,
    estoi,
    level,
    pesq_nb,
    si_sar,
    si_sdr,
    si_sir,
    snr,
    stoi,
)

logger = logging.getLogger(__name__)

STANDARD = {
    "pesq, csig, cbak, covl, seg_snr": composite,
    "pesq_nb": pesq_nb,
    "stoi": stoi,
    "estoi": estoi,
    "si_sdr": si_sdr,
    "level": level,
    "delay": delay,
}
WITH_NOISE = {"snr": snr, "si_sir": si_sir, "si_sar": si_sar}


def all_metrics():
    """Name to function of every score; DNSMOS if its extra is installed."""
    try:
        from galdse_brain.dnsmos import DNSMOS
    except ImportError as error:
        logger.warning("left out: %s", error)
        return STANDARD
    return {**STANDARD, **DNSMOS}


class Scorer:
    """Scores signals in other processes, or in this one.

    Arguments
    ---------
    metrics : dict
        Name to (estimate, clean) -> float, or several names with commas
        between them to a function that returns so many; functions of a
        module, so that other processes find them.
    num_jobs : int
        Processes, which start with the first signal; 0 is none.

    Example
    -------
    >>> from galdse_brain.metrics import si_sdr
    >>> scorer = Scorer({"si_sdr": si_sdr}, num_jobs=0)
    >>> signals = {"noisy": torch.eye(2)[0]}
    >>> scorer.add(0, "p226_001", signals, torch.ones(2))
    >>> scorer.rows()
    [(0, {'id': 'p226_001', 'signal': 'noisy', 'si_sdr': nan})]
    """

    def __init__(self, metrics, num_jobs):
        self.metrics, self.backlog = metrics, 2 * num_jobs
        self.pool = Here()
        if num_jobs:
            self.pool = ProcessPoolExecutor(
                # A fork would inherit the threads and the device of training.
                num_jobs,
                get_context("spawn"),
                initializer=_start,
            )
        self.jobs = []

    def add(self, position, utterance, signals, clean, noisy=None):
        """Score an utterance at a position of its set.

        Arguments
        ---------
        position : int
            Comes back with the scores.
        utterance : str
            Its name.
        signals : dict
            Name to waveform (N,).
        clean : torch.Tensor
            What to compare with, (N,).
        noisy : torch.Tensor, optional
            With it, rows have the input SNR, SI-SIR and SI-SAR too.
        """
        noise = None if noisy is None else (noisy - clean).cpu().numpy()
        wavs = {name: wav.cpu().numpy() for name, wav in signals.items()}
        args = self.metrics, wavs, clean.cpu().numpy(), noise
        self.jobs.append((position, utterance, self.pool.submit(scores, *args)))
        if len(self.jobs) > self.backlog:  # Waveforms would fill the memory.
            self.jobs[-self.backlog][-1].result()

    def rows(self):
        """Position and scores of what was added, which is then forgotten."""
        jobs, self.jobs = self.jobs, []
        return [
            (position, {"id": utterance, "signal": signal, **row})
            for position, utterance, job in jobs
            for signal, row in job.result().items()
        ]


class Here:
    """The one method of an executor that is needed, without processes."""

    def submit(self, function, *args):
        """The result of a function, as a Future."""
        future = Future()
        future.set_result(function(*args))
        return future


def scores(metrics, signals, clean, noise):
    """Signal to name to score, of numpy waveforms (N,).

    ValueError if a metric gives more or fewer scores than it has names.
    """
    clean, *noise = (
        torch.from_numpy(wav) for wav in (clean, noise) if wav is not None
    )
    calls = [(names, metric, ()) for names, metric in metrics.items()]
    if noise:
        calls += [(name, m, noise) for name, m in WITH_NOISE.items()]
    rows = {}
    for name, wav in signals.items():
        rows[name] = row = {}
        for names, metric, more in calls:
            values = metric(torch.from_numpy(wav), clean, *more)
            values = torch.as_tensor(values, dtype=torch.float64).view(-1)
            row.update(zip(names.split(", "), values.tolist(), strict=True))
    return rows


def _start():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent's to answer.
    torch.set_num_threads(1)
    threadpool_limits(1)  # Those of NumPy
    # A training that is killed cannot end its processes.
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    parent_process().join()
    os._exit(1)
