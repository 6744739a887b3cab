"""What a test found, as tables and sentences, and as markdown.

Authors
 * The galdse developers
"""

import hashlib
import math
from pathlib import Path

from galdse_brain.metrics import interval, summarize
from galdse_brain.results import number, spread

LABELS = {
    "pesq": "PESQ-WB",
    "pesq_nb": "PESQ-NB",
    "stoi": "STOI",
    "estoi": "ESTOI",
    "si_sdr": "SI-SDR, dB",
    "seg_snr": "segmental SNR, dB",
    "csig": "CSIG",
    "cbak": "CBAK",
    "covl": "COVL",
    "si_sir": "SI-SIR, dB",
    "si_sar": "SI-SAR, dB",
    "dnsmos_sig": "DNSMOS SIG",
    "dnsmos_bak": "DNSMOS BAK",
    "dnsmos_ovrl": "DNSMOS OVRL",
    "dnsmos_p808": "DNSMOS P.808",
}
CONTAINS_PESQ = {"pesq", "pesq_nb", "csig", "cbak", "covl"}
JUDGES = ("si_sdr", "dnsmos_ovrl")  # of a gain in PESQ
BIN = 5  # dB
SHOWN = 5  # utterances at either end
RANKS = ("pesq", "estoi", "si_sdr")  # The first one that is not in the loss.
CONTROL, REFERENCE = "clean", "noisy"


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


def fingerprint(path):
    """First 12 hexadecimal digits of the SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


def suspicions(means, reference):
    """Sentences on gains in PESQ that the other metrics do not share.

    Arguments
    ---------
    means, reference : dict
        Metric to mean of the system and of what to compare with.
    """
    judges = [name for name in JUDGES if name in means]
    if not judges or "pesq" not in means:
        return []
    fallen = all(means[name] < reference[name] for name in judges)
    if not fallen or means["pesq"] <= reference["pesq"]:
        return []
    changes = {
        name: f"from {number(reference[name])} to {number(means[name])}"
        for name in ("pesq", *judges)
    }
    falls = (f"{LABELS[name]} falls {changes[name]}" for name in judges)
    return [
        f"PESQ rises {changes['pesq']} while {' and '.join(falls)}: listen "
        "before you believe the PESQ."
    ]


class Report:
    """What csv, markdown and page show.

    Arguments
    ---------
    results : Results
        Scores of the system and of the controls ``noisy`` and ``clean``.
    facts : dict
        Name to text of what a reader needs to judge and repeat the test:
        seed, checkpoint, folders, cost.
    in_loss : iterable of str
        Metrics that are part of the training loss. With ``pesq``, what
        contains it is marked too.
    system : str
        The signal that the report is on.
    seed : int
        Of the bootstrap.
    """

    def __init__(self, results, facts, in_loss=(), system="enhanced", seed=0):
        if system not in results.signals:
            raise ValueError(f"no {system!r} among {results.signals}")
        self.results, self.facts = results, facts
        self.system, self.seed = system, seed
        self.in_loss = set(in_loss)
        if "pesq" in self.in_loss:
            self.in_loss |= CONTAINS_PESQ
        self.with_reference = REFERENCE in results.signals
        first = (system, REFERENCE, *results.signals)
        self.signals = [s for s in dict.fromkeys(first) if s in results.signals]
        self.signals.sort(key=CONTROL.__eq__)  # Stable: the control goes last.
        ranks = [name for name in RANKS if name in results.names]
        fair = [name for name in ranks if name not in self.in_loss]
        self.rank_by = (*fair, *ranks, *results.names)[0]

    def label(self, name):
        """Name of a metric, with a dagger if the system was trained on it."""
        return LABELS.get(name, name) + " †" * (name in self.in_loss)

    def cell(self, scores):
        """Lines of a cell: mean and deviation, interval, failures."""
        cell = summarize(scores)
        lines = [spread(cell)]
        if math.isfinite(cell["mean"]):
            low, high = interval(scores, self.seed)
            lines.append(f"{number(low)} to {number(high)}")
        if cell["failures"]:
            lines.append(f"{cell['failures']} undefined")
        return lines

    def overview(self):
        """Header and rows: metrics by signals."""
        return self.signals, [
            (
                self.label(name),
                [self.cell(self.results.scores(s, name)) for s in self.signals],
            )
            for name in self.results.names
        ]

    def grouped(self, group, order):
        """Header and rows: metrics of the system by groups."""
        groups = sorted(
            self.results.by(group).items(),
            key=lambda item: order(item[1].rows[0]),
        )
        parts = [part for _, part in groups]
        return [
            f"{label} ({len(part.of(self.system))})" for label, part in groups
        ], [
            (self.label(name), [self.beside(part, name) for part in parts])
            for name in self.results.names
        ]

    def beside(self, results, name):
        """Lines of a cell: the system, and the mean of the noisy speech."""
        lines = self.cell(results.scores(self.system, name))
        if self.with_reference:
            mean = summarize(results.scores(REFERENCE, name))["mean"]
            lines.append(f"{REFERENCE} {number(mean)}")
        return lines

    def tables(self):
        """Title to header and rows."""
        tables = {"Scores": self.overview()}
        if all("snr" in row for row in self.results.rows):
            tables["By input SNR"] = self.grouped(
                snr_bin, lambda row: row["snr"]
            )
        tables["By speaker"] = self.grouped(speaker, speaker)
        return tables

    def warnings(self):
        """Sentences that a reader must see."""
        missing = self.results.failures()
        if not self.with_reference:
            return missing
        return missing + suspicions(
            self.results.mean(self.system), self.results.mean(REFERENCE)
        )

    def ranking(self):
        """Utterance to gain over the noisy speech, else to score, best first.

        Utterances without a score are left out.
        """
        name = self.rank_by
        gains = {u: r[name] for u, r in self.results.of(self.system).items()}
        if self.with_reference:
            for utterance, row in self.results.of(REFERENCE).items():
                gains[utterance] -= row[name]
        known = {u: gain for u, gain in gains.items() if math.isfinite(gain)}
        return dict(sorted(known.items(), key=lambda item: -item[1]))

    def ends(self):
        """Title to utterances and gains: the best ones and the worst ones."""
        order = list(self.ranking().items())
        best = min(SHOWN, (len(order) + 1) // 2)
        worst = min(SHOWN, len(order) // 2)
        what = self.label(self.rank_by)
        if self.with_reference:
            what = f"gain in {what} over {REFERENCE}"
        return {
            f"Best by {what}": order[:best],
            f"Worst by {what}": order[::-1][:worst],
        }

    def notes(self):
        """How to read the tables."""
        notes = [
            f"{len(self.results.of(self.system))} utterances. Mean ± standard "
            "deviation, below it the 95 % bootstrap interval of the mean "
            f"(seed {self.seed}). Higher is better. Clean speech shows the top."
        ]
        if self.in_loss & set(self.results.names):
            notes.append(
                "† The metric, or what it is made of, is part of the training "
                "loss: a high score may be training for the test."
            )
        return notes

    def markdown(self):
        """The report as text."""
        lines = ["# Scores of enhanced speech", ""]
        lines += [f"- {name}: {text}" for name, text in self.facts.items()]
        lines += [f"\n**Warning**: {text}" for text in self.warnings()]
        lines += [f"\n{note}" for note in self.notes()]
        for title, (header, rows) in self.tables().items():
            lines += ["", f"## {title}", "", f"| | {' | '.join(header)} |"]
            lines.append("|---" * (len(header) + 1) + "|")
            for label, cells in rows:
                texts = ("<br>".join(cell) for cell in cells)
                lines.append(f"| {label} | {' | '.join(texts)} |")
        for title, utterances in self.ends().items():
            lines += ["", f"## {title}", ""]
            lines += [f"- {u}: {gain:+.3f}" for u, gain in utterances]
        return "\n".join(lines) + "\n"
