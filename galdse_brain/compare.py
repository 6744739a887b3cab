"""Two tests side by side: paired differences of their scores.

Authors
 * The galdse developers
"""

import math

from galdse_brain.report import LABELS, change, suspicions
from galdse_brain.results import (
    SYSTEM,
    Results,
    interval,
    markdown,
    merit,
    number,
    summarize,
    zero_is_right,
)


def compare(first, second):
    """Differences of a second test from a first one, utterance by utterance.

    Arguments
    ---------
    first, second : str or pathlib.Path
        Two ``results.csv``, or folders that hold one.

    Returns
    -------
    rows : list of dict
        Of each metric that both have: ``metric``, means ``first`` and
        ``second``, mean ``difference``, its 95 % interval ``low`` to ``high``,
        the share of utterances that are ``better`` (higher, or nearer to 0
        where that is right), ``n``, the pairs with finite scores, from which
        all of this is, and ``of``, all pairs.
        ValueError names an utterance that only one of them has, and files
        that share no metric.
    """
    tests = {path: Results.read_csv(path) for path in (first, second)}
    for path, test in tests.items():
        if SYSTEM not in test.signals:
            raise ValueError(f"{path} has {test.signals}, no {SYSTEM!r}")
    a, b = tests[first].of(SYSTEM), tests[second].of(SYSTEM)
    for here, there, lacking in ((a, b, second), (b, a, first)):
        lost = sorted(here.keys() - there.keys())
        if lost:
            raise ValueError(
                f"{lacking} lacks {lost[0]!r} ({len(lost)} such utterances)"
            )
    shared = [n for n in tests[first].names if n in tests[second].names]
    if not shared:
        raise ValueError(f"{first} and {second} have no metric in common")
    return [difference(a, b, name) for name in shared]


def difference(first, second, name):
    """Row of ``compare`` for one metric; both are utterance to scores."""
    pairs = [(first[key][name], second[key][name]) for key in first]
    pairs = [pair for pair in pairs if all(map(math.isfinite, pair))]
    gains = [b - a for a, b in pairs]
    better = [merit(name, b) > merit(name, a) for a, b in pairs]
    low, high = interval(gains)
    return {
        "metric": name,
        "first": summarize([a for a, _ in pairs])["mean"],
        "second": summarize([b for _, b in pairs])["mean"],
        "difference": summarize(gains)["mean"],
        "low": low,
        "high": high,
        "better": sum(better) / max(len(better), 1),
        "n": len(pairs),
        "of": len(first),
    }


def compare_table(rows):
    """Markdown of what ``compare`` gives, with notes and warnings."""
    table = markdown(
        ["", "A", "B", "B − A", "95 % interval", "B better", "pairs"],
        [
            [
                LABELS.get(row["metric"], row["metric"]),
                number(row["first"]),
                number(row["second"]),
                change(row["difference"]),
                f"[{number(row['low'])}, {number(row['high'])}]",
                f"{row['better']:.0%}",
                f"{row['n']} of {row['of']}",
            ]
            for row in rows
        ],
    )
    first, second = (
        {row["metric"]: row[side] for row in rows}
        for side in ("first", "second")
    )
    lines = [
        f"{text} B is better where nearer." for text in zero_is_right(first)
    ]
    lines += [f"**Warning**: {text}" for text in suspicions(second, first)]
    return "\n\n".join([table, *lines])
