#!/usr/bin/env python3
"""Scores against the number of steps, both step rules and both precisions.

> python benchmarks/steps.py MODEL NOISY_FOLDER CLEAN_FOLDER [--threads 2]
      [--limit 50] [--markdown steps.md] [--figure steps.png]

Files of the two folders belong together by name, at the rate of the model.
Prints PESQ, SI-SDR and the real-time factor of every combination, and the
lines for the model's ``hyperparams.yaml`` that ``--steps auto`` and
``--precision auto`` go by: the fewest steps of the model's own rule within
0.03 PESQ of its best, and whether bf16 changes its PESQ by less than 0.01.
Choose on validation pairs, not on the test.

Authors
 * The galdse developers
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from measure import publish, table

from galdse_brain.cost import processor
from galdse_brain.effort import set_precision
from galdse_brain.evaluate import paired, read
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.memory import keep_freed_memory
from galdse_brain.metrics import pesq_wb, si_sdr
from galdse_brain.samplers import deterministic, markov, unwrapped, walk
from galdse_brain.systems.parts import part_with

RULES = {"markov": markov, "deterministic": deterministic}
PESQ_LOST, PESQ_MOVED = 0.03, 0.01
COLUMNS = "rule", "precision", "steps", "PESQ-WB", "SI-SDR (dB)", "RTF"


class Row(NamedTuple):
    """A combination and its means."""

    rule: str
    precision: str
    steps: int
    pesq: float
    si_sdr: float
    factor: float


def read_pairs(noisy_folder, clean_folder, limit):
    """Noisy and clean samples (N,) of files with the same name."""
    files = paired({"noisy": noisy_folder, "clean": clean_folder})
    return [list(read(paths).values()) for paths in files.values()][:limit]


def walker(model):
    """The system in a model that walks by a rule, and the rule's name.

    ValueError if it has another sampler.
    """
    system = part_with(model.mods.enhance_model.system, "sampler")
    sampler = unwrapped(system.sampler)
    rule = getattr(sampler, "keywords", {}).get("keep")
    if rule not in RULES.values():
        raise ValueError(f"{sampler} does not walk by one of {list(RULES)}")
    return system, rule.__name__


def measured(model, pairs, rule, precision, steps):
    """Means over the pairs, and seconds of computing per second of audio."""
    system, _ = walker(model)
    system.sampler = partial(walk, keep=RULES[rule])
    set_precision(model, precision)
    scores, spent, heard = [], 0.0, 0.0
    for noisy, clean in pairs:
        start = time.perf_counter()
        enhanced = model.enhance_batch(noisy[None], num_steps=steps)[0]
        spent += time.perf_counter() - start
        heard += len(noisy) / model.hparams.sample_rate
        scores.append([pesq_wb(enhanced, clean), si_sdr(enhanced, clean)])
    means = torch.tensor(scores, dtype=torch.float64).nanmean(dim=0).tolist()
    return Row(rule, precision, steps, *means, spent / heard)


def chosen(rows, own_rule):
    """What the model may say of itself, a line of YAML each."""
    scores = {"fp32": {}, "bf16": {}}
    for row in rows:
        if row.rule == own_rule:
            scores[row.precision][row.steps] = row.pesq
    full, half = scores.values()
    best = max(full.values())
    auto = min(n for n, score in full.items() if score >= best - PESQ_LOST)
    moved = max(abs(half[n] - score) for n, score in full.items())
    return (
        f"auto_steps: {auto}\nbf16_keeps_scores: {moved < PESQ_MOVED}"
        f"  # at most {moved:.4f} of PESQ"
    )


def draw(rows, path):
    """PESQ and SI-SDR against the real-time factor."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="tight")
    for axis, score in zip(axes, ("pesq", "si_sdr")):
        for rule, precision in sorted({(r.rule, r.precision) for r in rows}):
            line = [
                r for r in rows if (r.rule, r.precision) == (rule, precision)
            ]
            heights = [getattr(r, score) for r in line]
            label = f"{rule}, {precision}"
            axis.plot([r.factor for r in line], heights, "o-", label=label)
            for r, height in zip(line, heights):
                axis.annotate(r.steps, (r.factor, height))
        axis.set(xlabel="real-time factor", ylabel=score)
    axes[0].legend()
    figure.savefig(path)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", help="exported folder")
    add("noisy", type=Path)
    add("clean", type=Path)
    add("--steps", type=int, nargs="+", default=[1, 2, 3, 4, 6])
    add("--threads", type=int, default=2)
    add("--limit", type=int, help="as many pairs")
    add("--markdown", type=Path, help="file to write the table to")
    add("--figure", type=Path, help="picture to write")
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    model = GALDSEEnhancement.from_hparams(args.model)
    _, own = walker(model)
    pairs = read_pairs(args.noisy, args.clean, args.limit)
    rows = []
    for rule in RULES:
        for precision in ("fp32", "bf16"):
            for steps in args.steps:
                rows.append(measured(model, pairs, rule, precision, steps))
                print(*rows[-1], file=sys.stderr, flush=True)
    shown = [
        (*r[:3], f"{r.pesq:.3f}", f"{r.si_sdr:.2f}", f"{r.factor:.3f}")
        for r in rows
    ]
    head = f"{len(pairs)} pairs, {args.threads} threads, {processor()}"
    publish(f"{head}\n\n{table(COLUMNS, shown)}", args.markdown)
    print(f"\n{chosen(rows, own)}")
    if args.figure:
        draw(rows, args.figure)


if __name__ == "__main__":
    main()
