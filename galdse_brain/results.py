"""Scores of a test: signals by metrics, per utterance and in short.

Authors
 * The galdse developers
"""

import csv
import math
from collections import Counter
from pathlib import Path

import numpy as np
import torch

SYSTEM, REFERENCE, CONTROL = "enhanced", "noisy", "clean"
HEAD = ("id", "signal", "snr")  # Of a row; the rest of it are scores.
BIN = 5  # dB
# Scores that are best at 0, and what it means if they are above.
ZERO_IS_RIGHT = {"level": "above is louder", "delay": "above is late"}


def merit(name, score):
    """A score so that higher is better, also of those that are best at 0.

    Example
    -------
    >>> merit("pesq", 2.0), merit("level", 0.5), merit("delay", -3.0)
    (2.0, -0.5, -3.0)
    """
    return -abs(score) if name in ZERO_IS_RIGHT else score


def zero_is_right(names):
    """Sentences: which of some scores are best at 0.

    Example
    -------
    >>> zero_is_right(["pesq", "level", "delay"])
    ['0 is right for level (above is louder) and delay (above is late).']
    >>> zero_is_right(["pesq"])
    []
    """
    said = [f"{k} ({v})" for k, v in ZERO_IS_RIGHT.items() if k in names]
    return [f"0 is right for {' and '.join(said)}."] if said else []


def summarize(scores):
    """Mean, standard deviation and number of failures of a list of scores.

    Example
    -------
    >>> summarize([1.0, 3.0, float("nan")])
    {'mean': 2.0, 'std': 1.0, 'failures': 1}
    """
    scores = torch.tensor(scores, dtype=torch.float64)
    valid = scores[~scores.isnan()]
    mean = valid.mean()
    return {
        "mean": float(mean),
        "std": float((valid - mean).square().mean().sqrt()),
        "failures": len(scores) - len(valid),
    }


def interval(scores, seed=0, draws=2000):
    """95 % bootstrap interval of the mean of a list of scores.

    Percentiles of the means of ``draws`` samples with replacement; NaN where
    fewer than two scores are finite.

    Example
    -------
    >>> interval([1.0, 1.0, 1.0])
    (1.0, 1.0)
    """
    scores = np.asarray(scores, dtype=np.float64)
    scores = scores[np.isfinite(scores)]
    if len(scores) < 2:
        return math.nan, math.nan
    picks = np.random.default_rng(seed).integers(
        len(scores), size=(draws, len(scores))
    )
    low, high = np.percentile(scores[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


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


def markdown(header, rows):
    """A table of texts that is easy to read in a terminal too."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    return "\n".join(
        f"| {' | '.join(map(str.ljust, row, widths))} |"
        for row in (header, ["-" * width for width in widths], *rows)
    )


def speaker(row):
    """What stands before the first underscore of the file's name.

    Example
    -------
    >>> speaker({"id": "test/p232_001"})
    'p232'
    """
    return row["id"].rpartition("/")[2].partition("_")[0]


def snr_bin(row):
    """Input SNR in steps of 5 dB.

    Example
    -------
    >>> snr_bin({"snr": 2.5}), snr_bin({"snr": -0.1})
    ('0 to 5 dB', '-5 to 0 dB')
    """
    if not math.isfinite(row["snr"]):
        return "no SNR"
    low = BIN * math.floor(row["snr"] / BIN)
    return f"{low} to {low + BIN} dB"


class Results:
    """Scores of several signals, such as noisy and enhanced, by metric.

    Arguments
    ---------
    rows : iterable of dict
        ``id``, ``signal``, perhaps ``snr``, and scores; the same keys in all.

    Example
    -------
    >>> row = {"id": "p226_001", "signal": "noisy", "pesq": 2.0}
    >>> Results([row]).mean("noisy")
    {'pesq': 2.0}
    """

    def __init__(self, rows):
        self.rows = list(rows)

    @property
    def names(self):
        """Names of the scores."""
        return [key for key in self.rows[0] if key not in HEAD]

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
        return {label: Results(rows) for label, rows in groups.items()}

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

    def floor_mean(self, name):
        """Mean merit of the system where no failure is better than the rest.

        A failure counts as the lowest score that there is; if all utterances
        failed there is none, and nothing is worse than that.
        """
        scores = [merit(name, s) for s in self.scores(SYSTEM, name)]
        scores = torch.tensor(scores)
        known = scores[~scores.isnan()]
        lowest = float(known.min()) if len(known) else -math.inf
        return float(scores.nan_to_num(lowest, math.inf, -math.inf).mean())

    def paired_means(self, *signals):
        """metric -> mean of each signal, where all of them have a score."""
        means = [{} for _ in signals]
        for name in self.names:
            scores = torch.tensor([self.scores(s, name) for s in signals])
            scores = scores[:, ~scores.isnan().any(0)]
            for found, row in zip(means, scores.tolist()):
                found[name] = summarize(row)["mean"]
        return means

    def failures(self):
        """Lines that say which scores are missing, and how many."""
        return [
            f"{signal}: {name} is undefined for {cell['failures']} of "
            f"{len(self.of(signal))} utterances"
            for signal, cells in self.summary().items()
            for name, cell in cells.items()
            if cell["failures"]
        ]

    def write_csv(self, path):
        """One line for each utterance and signal."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)

    @classmethod
    def read_csv(cls, path):
        """What ``write_csv`` wrote, a ``results.csv`` or the folder of one.

        ValueError names a file that is something else, or an utterance that
        it has twice.
        """
        path = Path(path)
        path = path / "results.csv" if path.is_dir() else path
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if not (rows and {"id", "signal"} <= rows[0].keys()):
            raise ValueError(f"{path} has no rows with id and signal")
        text = HEAD[:2]
        ids = Counter(tuple(row[key] for key in text) for row in rows)
        (twice, times), *_ = ids.most_common(1)
        if times > 1:
            raise ValueError(f"{path} has {times} rows of {' '.join(twice)!r}")
        return cls(
            {k: v if k in text else float(v) for k, v in row.items()}
            for row in rows
        )
