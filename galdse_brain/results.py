"""The table of a test: signals by metrics, per utterance and in short.

Authors
 * The galdse developers
"""

import csv

from galdse_brain.metrics import summarize


class Results:
    """Scores of several signals, such as noisy and enhanced, by metric.

    Arguments
    ---------
    metrics : dict
        Name to (estimate, clean) -> float.

    Example
    -------
    >>> import torch
    >>> results = Results({"sum": lambda estimate, _: float(estimate.sum())})
    >>> results.add("p232_001", "noisy", torch.ones(2), torch.ones(2))
    >>> results.mean("noisy")
    {'sum': 2.0}
    """

    def __init__(self, metrics):
        self.metrics = metrics
        self.rows = []

    @classmethod
    def read_csv(cls, path):
        """The scores that ``write_csv`` wrote."""
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            results = cls(dict.fromkeys(reader.fieldnames[2:]))
            results.rows = [
                {**row, **{name: float(row[name]) for name in results.metrics}}
                for row in reader
            ]
        return results

    def add(self, utterance, signal, estimate, clean):
        """Score one signal of one utterance, waveforms (N,)."""
        estimate, clean = estimate.cpu(), clean.cpu()
        scores = {
            name: metric(estimate, clean)
            for name, metric in self.metrics.items()
        }
        self.rows.append({"id": utterance, "signal": signal, **scores})

    def summary(self):
        """signal -> metric -> mean, std, failures."""
        signals = dict.fromkeys(row["signal"] for row in self.rows)
        return {
            signal: {
                name: summarize(
                    [row[name] for row in self.rows if row["signal"] == signal]
                )
                for name in self.metrics
            }
            for signal in signals
        }

    def mean(self, signal):
        """metric -> mean of one signal."""
        summary = self.summary()[signal]
        return {name: cell["mean"] for name, cell in summary.items()}

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
            "| | " + " | ".join(self.metrics) + " |",
            "|---" * (len(self.metrics) + 1) + "|",
        ]
        for signal, cells in self.summary().items():
            numbers = (
                f"{cell['mean']:.3f} ± {cell['std']:.3f}"
                for cell in cells.values()
            )
            lines.append(f"| {signal} | " + " | ".join(numbers) + " |")
        return "\n".join([*lines, *self.failures()])

    def write_csv(self, path):
        """One line for each utterance and signal."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["id", "signal", *self.metrics])
            writer.writeheader()
            writer.writerows(self.rows)
