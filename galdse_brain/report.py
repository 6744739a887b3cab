"""What a test found, as tables and sentences, and as markdown.

Authors
 * The galdse developers
"""

import math
from functools import cached_property
from statistics import median

from galdse_brain.results import (
    CONTROL,
    REFERENCE,
    SYSTEM,
    interval,
    markdown,
    merit,
    number,
    snr_bin,
    speaker,
    summarize,
    zero_is_right,
)

LABELS = {
    "pesq": "PESQ-WB",
    "pesq_nb": "PESQ-NB",
    "stoi": "STOI",
    "estoi": "ESTOI",
    "si_sdr": "SI-SDR, dB",
    "level": "level, dB",
    "delay": "delay, samples",
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
TRAINED = {  # Losses whose metrics have other names, or are part of others.
    "pesq": {"pesq", "pesq_nb", "csig", "cbak", "covl"},
    "neg_si_snr": {"si_sdr", "si_sir", "si_sar"},  # 1/SDR = 1/SIR + 1/SAR
    "neg_snr": {"si_sdr", "si_sir", "si_sar", "seg_snr", "level"},
}
JUDGES = ("si_sdr", "dnsmos_ovrl")  # of a gain in PESQ
LEVEL_ERROR = 0.5  # dB, of the mean; more is a warning.
SHOWN = 5  # utterances at either end
RANKS = ("pesq", "estoi", "si_sdr")  # The first one that is not in the loss.


def trained_on(losses):
    """Names of the metrics that losses hold, from names of losses.

    Example
    -------
    >>> sorted(trained_on(["neg_si_snr", "spec_mse"]))
    ['si_sar', 'si_sdr', 'si_sir', 'spec_mse']
    """
    names = {name.removeprefix("guidance_") for name in losses}
    return {metric for name in names for metric in TRAINED.get(name, {name})}


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


def misfits(rows):
    """Sentences on speech that is not where or as loud as the clean speech.

    The level is of utterances without a delay: with one, nothing is known.

    Arguments
    ---------
    rows : iterable of dict
        Scores of the system.

    Example
    -------
    >>> misfits([{"level": -0.7, "delay": 0.0}, {"level": -0.5, "delay": 0.0}])
    ['Enhanced speech is 0.6 dB quieter than clean speech: ...']
    """
    rows, found = list(rows), []
    late = [r["delay"] for r in rows if _is_late(r)]
    if late:
        found.append(
            f"{len(late)} of {len(rows)} enhanced utterances have a delay (its "
            f"median in samples: {median(late):g}): scores that compare sample "
            "by sample suffer, such as SI-SDR and segmental SNR."
        )
    levels = [r.get("level", math.nan) for r in rows if not _is_late(r)]
    mean = summarize(levels)["mean"]
    if abs(mean) > LEVEL_ERROR:
        found.append(
            f"Enhanced speech is {abs(mean):.1f} dB "
            f"{'louder' if mean > 0 else 'quieter'} than clean speech: PESQ, "
            "STOI and SI-SDR do not see it, segmental SNR and CBAK suffer."
        )
    return found


def _is_late(row):
    return abs(row.get("delay", 0)) > 0  # NaN is not.


class Report:
    """What screen, markdown and page show.

    Arguments
    ---------
    results : Results
        Scores of ``enhanced`` and of what to compare with.
    facts : dict
        Name to text of what a reader needs to judge and repeat the test:
        seed, checkpoint, folders, cost.
    in_loss : set of str
        Metrics that the system was trained on, see ``trained_on``.
    """

    def __init__(self, results, facts, in_loss=frozenset()):
        self.results, self.facts, self.in_loss = results, facts, in_loss
        self.with_reference = REFERENCE in results.signals
        first = [s for s in (SYSTEM, REFERENCE) if s in results.signals]
        self.signals = list(dict.fromkeys([*first, *results.signals]))
        self.signals.sort(key=CONTROL.__eq__)  # Stable: the control goes last.
        ranks = [name for name in RANKS if name in results.names]
        fair = [name for name in ranks if name not in in_loss]
        self.rank_by = (*fair, *ranks, *results.names)[0]

    def label(self, name):
        """Name of a metric, with a dagger if the system was trained on it."""
        return LABELS.get(name, name) + " †" * (name in self.in_loss)

    @cached_property
    def tables(self):
        """Title to header and rows; a cell is a list of lines."""
        tables = {"Scores": self.overview()}
        if "snr" in self.results.rows[0]:
            tables["By input SNR"] = self.grouped(
                snr_bin, lambda row: row["snr"]
            )
        tables["By speaker"] = self.grouped(speaker, speaker)
        return tables

    def overview(self):
        """Header and rows: metrics by signals."""
        return self.signals, [
            (
                self.label(name),
                [_cell(self.results.scores(s, name)) for s in self.signals],
            )
            for name in self.results.names
        ]

    def grouped(self, group, order):
        """Header and rows: metrics of the system by groups."""
        groups = self.results.by(group)
        labels = sorted(groups, key=lambda key: order(groups[key].rows[0]))
        header = [f"{key} ({len(groups[key].of(SYSTEM))})" for key in labels]
        return header, [
            (self.label(name), [self.beside(groups[k], name) for k in labels])
            for name in self.results.names
        ]

    def beside(self, results, name):
        """Lines of a cell: the system, and the noisy speech where both are."""
        lines = _cell(results.scores(SYSTEM, name))
        if self.with_reference:
            _, means = results.paired_means(SYSTEM, REFERENCE)
            lines.append(f"{REFERENCE} {number(means[name])}")
        return lines

    def warnings(self):
        """Sentences that a reader must see."""
        found = self.results.failures()
        found += misfits(self.results.of(SYSTEM).values())
        if not self.with_reference:
            return found
        means = self.results.paired_means(SYSTEM, REFERENCE)
        return found + suspicions(*means)

    def ranking(self):
        """Utterance to gain over the noisy speech, else to score, best first.

        Utterances without a score are left out.
        """
        name, noisy = self.rank_by, self.results.of(REFERENCE)
        gains = {
            utterance: merit(name, row[name])
            - merit(name, noisy.get(utterance, {name: 0})[name])
            for utterance, row in self.results.of(SYSTEM).items()
        }
        known = {u: gain for u, gain in gains.items() if math.isfinite(gain)}
        return dict(sorted(known.items(), key=lambda item: -item[1]))

    def ends(self):
        """Title to utterances and gains: without a score, worst and best."""
        order = list(self.ranking().items())
        best = min(SHOWN, (len(order) + 1) // 2)
        worst = min(SHOWN, len(order) // 2)
        what = self.label(self.rank_by)
        if self.with_reference:
            what = f"gain in {what} over {REFERENCE}"
        known = dict(order)
        lost = [u for u in self.results.of(SYSTEM) if u not in known]
        first = {f"Without {what}": [(u, math.nan) for u in lost[:SHOWN]]}
        return {
            **(first if lost else {}),
            f"Worst by {what}": order[::-1][:worst],
            f"Best by {what}": order[:best],
        }

    def notes(self):
        """How to read the tables."""
        notes = [
            f"{len(self.results.of(SYSTEM))} utterances. Mean ± standard "
            "deviation, then the 95 % bootstrap interval of the mean. Higher "
            f"is better; {CONTROL} against {CONTROL} is the most there can be.",
            *zero_is_right(self.results.names),
        ]
        if self.in_loss & set(self.results.names):
            notes.append(
                "† The metric, or what it is made of, is part of the training "
                "loss: a high score may be training for the test."
            )
        return notes

    def table(self, title):
        """One of the tables as markdown."""
        header, rows = self.tables[title]
        texts = [[label, *map(" ".join, cells)] for label, cells in rows]
        return markdown(["", *header], texts)

    def markdown(self):
        """The report as text."""
        lines = ["# Scores of enhanced speech", ""]
        lines += [f"- {name}: {text}" for name, text in self.facts.items()]
        lines += [f"\n**Warning**: {text}" for text in self.warnings()]
        lines += [f"\n{note}" for note in self.notes()]
        for title in self.tables:
            lines += ["", f"## {title}", "", self.table(title)]
        for title, utterances in self.ends().items():
            lines += ["", f"## {title}", ""]
            lines += [f"- {u}: {change(gain)}" for u, gain in utterances]
        return "\n".join(lines) + "\n"


def change(value):
    """A gain as text.

    Example
    -------
    >>> [change(value) for value in (0.5, -1.0, math.nan)]
    ['+0.500', '-1.000', '–']
    """
    return f"{value:+.3f}" if math.isfinite(value) else number(value)


def _cell(scores):
    """Lines: mean and deviation, interval, what failed."""
    cell = summarize(scores)
    lines = [number(cell["mean"])]
    if math.isfinite(cell["mean"]):
        lines[0] += f" ± {cell['std']:.3f}"
        lines.append("[{}, {}]".format(*map(number, interval(scores))))
    if cell["failures"]:
        lines.append(f"({cell['failures']} undefined)")
    return lines
