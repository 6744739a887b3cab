"""Scores of many utterances, computed while the network goes on.

Authors
 * The galdse developers
"""

import os
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from threading import Thread

import torch


class Scorer:
    """Scores signals in other processes, or in this one.

    Arguments
    ---------
    metrics : dict
        Name to (estimate, clean) -> float; functions of a module, so that
        other processes find them.
    num_jobs : int
        Processes, which start with the first signal; 0 is none.

    Example
    -------
    >>> from galdse_brain.metrics import si_sdr
    >>> scorer = Scorer({"si_sdr": si_sdr}, num_jobs=0)
    >>> scorer.add(0, "p226_001", "noisy", torch.eye(2)[0], torch.ones(2))
    >>> scorer.rows()
    [(0, {'id': 'p226_001', 'signal': 'noisy', 'si_sdr': nan})]
    """

    def __init__(self, metrics, num_jobs):
        self.metrics = metrics
        self.pool = Here()
        if num_jobs:
            self.pool = ProcessPoolExecutor(
                # A fork would inherit the threads and the device of training.
                num_jobs,
                get_context("spawn"),
                initializer=_start,
            )
        self.jobs = []

    def add(self, position, utterance, signal, estimate, clean):
        """Score a signal (N,) of the utterance at a position of its set."""
        wavs = (wav.cpu().numpy() for wav in (estimate, clean))
        job = self.pool.submit(scores, self.metrics, *wavs)
        head = {"id": utterance, "signal": signal}
        self.jobs.append((position, head, job))

    def rows(self):
        """Position and scores of what was added, which is then forgotten."""
        jobs, self.jobs = self.jobs, []
        return [(at, {**head, **job.result()}) for at, head, job in jobs]


class Here:
    """The one method of an executor that is needed, without processes."""

    def submit(self, function, *args):
        """The result of a function, as a Future."""
        future = Future()
        future.set_result(function(*args))
        return future


def scores(metrics, estimate, clean):
    """Name to score of numpy waveforms (N,)."""
    wavs = torch.from_numpy(estimate), torch.from_numpy(clean)
    return {name: metric(*wavs) for name, metric in metrics.items()}


def _start():
    torch.set_num_threads(1)
    # A training that is killed cannot end its processes.
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    parent_process().join()
    os._exit(1)
