#!/usr/bin/env python3
"""Enhancement from waveform to waveform against one pass of the naive form.

> python benchmarks/enhance.py [--seconds 2 10 30] [--steps 6 3]
      [--precision fp32 bf16] [--threads 1 2] [--markdown enhance.md]
> python benchmarks/enhance.py --seconds 60 3600 --without-naive

Real-time factors are seconds of computing per second of audio, medians of
repetitions in turn. The naive form (``naive.py`` in place of our denoiser, the
guidance as it is) hears the whole recording at once, ours runs in pieces, from
a stream of blocks. Memory is what enhancing adds to the largest resident size,
each form in a process of its own. Weights do not change the speed: they are
random, or those of --model.

Authors
 * The galdse developers
"""

import argparse
import sys
from itertools import product
from pathlib import Path

import torch
from hyperpyyaml import load_hyperpyyaml
from measure import (
    in_process,
    interleaved,
    publish,
    resident_mib,
    table,
)
from naive import NaiveNet

from galdse_brain.cost import processor
from galdse_brain.enhancer import Enhancer
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.pieces import Pieces
from galdse_brain.systems.parts import part_with

SAMPLE_RATE = 16000
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
HPARAMS = Path(__file__).parent.parent / "hparams" / "galdse.yaml"
COLUMNS = (
    *("audio, s", "steps", "precision", "threads"),
    *("naive, RTF", "RTF", "times as fast", "naive, MiB", "MiB"),
)


class Callable(torch.nn.Module):
    """A function where a module is wanted."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def enhancer(model, naive):
    """Of an exported folder, or with random weights."""
    if model:
        found = GALDSEEnhancement.from_hparams(model).mods.enhance_model
    else:
        parts = load_hyperpyyaml(HPARAMS.read_text(encoding="utf-8"))
        found = Enhancer(parts["system"], parts["spec"]).eval()
    if naive:
        system = part_with(found.system, "net")
        system.net = Callable(NaiveNet(system.net.state_dict()))
        found.pieces = Pieces(num_samples=10**12)
    return found


def prepared(naive, seconds, steps, precision, threads, model):
    """A call without arguments that enhances."""
    torch.set_num_threads(threads)
    enhance = enhancer(model, naive).stream
    dtype = DTYPES[precision]

    def call():
        noise = torch.Generator().manual_seed(0)
        second = torch.randn(1, SAMPLE_RATE, generator=noise)
        blocks = (second for _ in range(seconds))
        cast = torch.autocast("cpu", dtype, dtype != torch.float32)
        with torch.no_grad(), cast:
            for _ in enhance(blocks, num_steps=steps):
                pass

    return call


def times(naive, repeats, *setting):
    """Seconds of ours, and before them those of naive if it is wanted."""
    precise = (*setting[:2], "fp32", *setting[3:])
    calls = {"naive": prepared(True, *precise)} if naive else {}
    calls["ours"] = prepared(False, *setting)
    return interleaved(calls, repeats)


def memory(naive, *setting):
    """MiB that enhancing adds."""
    call = prepared(naive, *setting)
    before = resident_mib()
    call()
    return resident_mib() - before


def row(naive, repeats, *setting):
    """One line of the table."""
    seconds = setting[0]
    found = in_process(times, naive, repeats, *setting)
    mib = {"ours": in_process(memory, False, *setting)}
    if naive:
        precise = (*setting[:2], "fp32", *setting[3:])
        mib["naive"] = in_process(memory, True, *precise)
    factor = {name: f"{time / seconds:.3f}" for name, time in found.items()}
    ratio = f"{found['naive'] / found['ours']:.2f}" if naive else ""
    rounded = {name: f"{value:.0f}" for name, value in mib.items()}
    return (
        *setting[:4],
        *(factor.get("naive", ""), factor["ours"], ratio),
        *(rounded.get("naive", ""), rounded["ours"]),
    )


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--seconds", type=int, nargs="+", default=[2, 10, 30])
    add("--steps", type=int, nargs="+", default=[6, 3])
    add("--precision", nargs="+", choices=DTYPES, default=[*DTYPES])
    add("--threads", type=int, nargs="+", default=[1, 2])
    add("--model", help="exported folder, instead of random weights")
    add("--without-naive", action="store_true", help="ours alone")
    add("--repeats", type=int, default=3)
    add("--markdown", type=Path, help="file to write the table to")
    args = parser.parse_args()
    rows = []
    for setting in product(
        args.seconds, args.steps, args.precision, args.threads, [args.model]
    ):
        rows.append(row(not args.without_naive, args.repeats, *setting))
        print(*rows[-1], file=sys.stderr, flush=True)
    publish(f"{processor()}\n\n{table(COLUMNS, rows)}", args.markdown)


if __name__ == "__main__":
    main()
