"""Two tests side by side: paired differences of their scores.

Authors
 * The galdse developers
"""

import math

from galdse_brain.metrics import interval, summarize
from galdse_brain.report import LABELS, suspicions
from galdse_brain.results import Results, number


def compare(first, second, signal="enhanced", seed=0):
    """Differences of a second test from a first one, utterance by utterance.

    Arguments
    ---------
    first, second : str or pathlib.Path
        Two ``results.csv``.
    signal : str
        The signal to compare.
    seed : int
        Of the bootstrap.

    Returns
    -------
    rows : list of dict
        Of each metric that both have: ``metric``, means ``first`` and
        ``second``, mean ``difference``, its 95 % interval ``low`` to ``high``,
        the share of utterances that are ``better``, and ``n``, the pairs with
        finite scores, from which all of this is. ValueError names an
        utterance or a signal that only one of them has.
    """
    a, b = Results.read_csv(first), Results.read_csv(second)
    for path, results in ((first, a), (second, b)):
        if signal not in results.signals:
            raise ValueError(f"{path} has {results.signals}, no {signal!r}")
    ids = a.of(signal).keys() ^ b.of(signal).keys()
    if ids:
        missing = min(ids)
        has, lacks = (
            (first, second) if missing in a.of(signal) else (second, first)
        )
        raise ValueError(
            f"{has} has {missing!r} but {lacks} lacks it "
            f"({len(ids)} such utterances)"
        )
    names = [name for name in a.names if name in b.names]
    return [difference(a.of(signal), b.of(signal), n, seed) for n in names]


def difference(first, second, name, seed):
    """Row of ``compare`` for one metric; both are utterance to scores."""
    pairs = [(first[key][name], second[key][name]) for key in first]
    pairs = [pair for pair in pairs if all(map(math.isfinite, pair))]
    gains = [b - a for a, b in pairs]
    low, high = interval(gains, seed)
    return {
        "metric": name,
        "first": summarize([a for a, _ in pairs])["mean"],
        "second": summarize([b for _, b in pairs])["mean"],
        "difference": summarize(gains)["mean"],
        "low": low,
        "high": high,
        "better": sum(gain > 0 for gain in gains) / max(len(gains), 1),
        "n": len(pairs),
    }


def compare_table(rows, first="A", second="B"):
    """Markdown of what ``compare`` gives, with its warnings."""
    lines = [
        f"| | {first} | {second} | difference | 95 % interval | better | n |",
        "|---" * 7 + "|",
    ]
    for row in rows:
        interval_text = f"{number(row['low'])} to {number(row['high'])}"
        lines.append(
            f"| {LABELS.get(row['metric'], row['metric'])} "
            f"| {number(row['first'])} | {number(row['second'])} "
            f"| {row['difference']:+.3f} | {interval_text} "
            f"| {row['better']:.0%} | {row['n']} |"
        )
    means, reference = (
        {row["metric"]: row[side] for row in rows}
        for side in ("second", "first")
    )
    warnings = suspicions(means, reference)
    return "\n".join([*lines, *(f"\n**Warning**: {w}" for w in warnings)])
