"""Scores of a test: signals by metrics, per utterance and in short.

Authors
 * The galdse developers
"""

import csv
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import torch
from threadpoolctl import ThreadpoolController
from tqdm import tqdm

from galdse_brain.metrics import si_sar, si_sir, snr, summarize

HEAD = ("id", "signal", "snr")  # Of a row; the rest of it are scores.

WITH_NOISE = {"snr": snr, "si_sir": si_sir, "si_sar": si_sar}


# Sums in one order: every process, of any number, finds equal scores.
THREADS = ThreadpoolController()


def number(value):
    """A score as text.

    Example
    -------
    >>> [number(value) for value in (1.23456, math.inf, math.nan)]
    ['1.235', '∞', '–']
    """
    if math.isfinite(value):
        return f"{value:.3f}"
    return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"


def spread(cell):
    """Mean and, where it is finite, standard deviation as text."""
    deviation = f" ± {cell['std']:.3f}" * math.isfinite(cell["mean"])
    return number(cell["mean"]) + deviation


def names_of(metrics):
    """The scores that metrics give; one function may give several.

    Example
    -------
    >>> names_of({"sig, bak, ovrl": max, "stoi": min})
    ['sig', 'bak', 'ovrl', 'stoi']
    """
    return [name.strip() for names in metrics for name in names.split(",")]


def score(metrics, *wavs):
    """Name to score of waveforms (N,), NumPy arrays.

    ValueError if a metric gives more or fewer scores than it has names.
    """
    wavs = [torch.from_numpy(wav) for wav in wavs]
    scores = {}
    with THREADS.limit(limits=1):
        for names, metric in metrics.items():
            values = torch.as_tensor(metric(*wavs), dtype=torch.float64)
            scores.update(
                zip(names_of([names]), values.reshape(-1).tolist(), strict=True)
            )
    return scores


def score_all(metrics, estimate, clean, noise):
    """As ``score``; with noise (N,) and not None, SNR and SIR as well."""
    if noise is None:
        return score(metrics, estimate, clean)
    return {
        **score(metrics, estimate, clean),
        **score(WITH_NOISE, estimate, clean, noise),
    }


class Results:
    """Scores of several signals, such as noisy and enhanced, by metric.

    Arguments
    ---------
    metrics : dict
        Name to (estimate, clean) -> float, or several names with commas
        between them to a function that returns so many.
    n_jobs : int
        Processes that score. With more than one, functions must be importable
        and ``rows`` is complete after ``collect``. The scores do not change.
    rows : iterable of dict
        Earlier rows: ``id``, ``signal`` and scores.

    Example
    -------
    >>> import torch
    >>> results = Results({"sum": lambda estimate, _: float(estimate.sum())})
    >>> results.add("p232_001", "noisy", torch.ones(2), torch.ones(2))
    >>> results.mean("noisy")
    {'sum': 2.0}
    """

    def __init__(self, metrics, n_jobs=1, rows=()):
        self.metrics = metrics
        self.n_jobs = n_jobs
        self.rows = list(rows)
        self._pool, self._pending = None, []

    def add(self, utterance, signal, estimate, clean, noisy=None):
        """Score one signal of one utterance, waveforms (N,).

        With the noisy speech, the row has the input SNR, SI-SIR and SI-SAR.
        """
        noise = None if noisy is None else (noisy - clean).cpu().numpy()
        wavs = estimate.cpu().numpy(), clean.cpu().numpy(), noise
        head = {"id": utterance, "signal": signal}
        if self.n_jobs > 1:
            if self._pool is None:
                # Forked, a process would inherit threads and a busy device.
                spawn = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(self.n_jobs, spawn)
            future = self._pool.submit(score_all, self.metrics, *wavs)
            self._pending.append((head, future))
        else:
            self.rows.append({**head, **score_all(self.metrics, *wavs)})

    def add_utterance(self, utterance, signals, clean, noisy=None):
        """Score signals (name to waveform) beside the rows of control.

        These are ``clean``, which shows the upper limits, and ``noisy``.
        """
        noisy_too = {} if noisy is None else {"noisy": noisy}
        for signal, wav in {"clean": clean, **noisy_too, **signals}.items():
            self.add(utterance, signal, wav, clean, noisy)

    def collect(self):
        """Wait for the processes, with a progress bar, and end them."""
        if self._pool is None:
            return
        with self._pool:
            for head, future in tqdm(self._pending, desc="scoring"):
                self.rows.append({**head, **future.result()})
        self._pool, self._pending = None, []

    @property
    def names(self):
        """Names of the scores."""
        keys = dict.fromkeys(key for row in self.rows for key in row)
        return [key for key in keys if key not in HEAD]

    @property
    def signals(self):
        """Names of the signals."""
        return list(dict.fromkeys(row["signal"] for row in self.rows))

    def of(self, signal):
        """Utterance to row of one signal."""
        return {r["id"]: r for r in self.rows if r["signal"] == signal}

    def scores(self, signal, name):
        """One score of one signal, of all utterances."""
        return [row[name] for row in self.of(signal).values()]

    def by(self, group):
        """Label to Results of the rows that ``group(row)`` labels so."""
        groups = {}
        for row in self.rows:
            groups.setdefault(group(row), []).append(row)
        return {
            label: Results(self.metrics, rows=rows)
            for label, rows in groups.items()
        }

    def summary(self):
        """signal -> metric -> mean, std, failures."""
        return {
            signal: {
                name: summarize(self.scores(signal, name))
                for name in self.names
            }
            for signal in self.signals
        }

    def mean(self, signal):
        """metric -> mean of one signal."""
        return {
            name: summarize(self.scores(signal, name))["mean"]
            for name in self.names
        }

    def failures(self):
        """Lines that say which scores are missing, and how many."""
        return [
            f"{signal}: {name} is undefined for {cell['failures']} utterances"
            for signal, cells in self.summary().items()
            for name, cell in cells.items()
            if cell["failures"]
        ]

    def table(self):
        """Markdown table of means and standard deviations."""
        lines = [
            "| | " + " | ".join(self.names) + " |",
            "|---" * (len(self.names) + 1) + "|",
        ]
        for signal, cells in self.summary().items():
            numbers = " | ".join(map(spread, cells.values()))
            lines.append(f"| {signal} | {numbers} |")
        return "\n".join([*lines, *self.failures()])

    def write_csv(self, path):
        """One line for each utterance and signal."""
        known = [key for key in HEAD if key in (self.rows or [{}])[0]]
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*known, *self.names])
            writer.writeheader()
            writer.writerows(self.rows)

    @classmethod
    def read_csv(cls, path):
        """What ``write_csv`` wrote; ValueError names a file that it did not."""
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if not (rows and {"id", "signal"} <= rows[0].keys()):
            raise ValueError(f"{path} has no rows with id and signal")
        text = HEAD[:2]
        return cls(
            {},
            rows=[
                {k: v if k in text else float(v) for k, v in row.items()}
                for row in rows
            ],
        )
