#!/usr/bin/env python3
"""Enhancement from waveform to waveform against one pass of the naive form.

> python benchmarks/enhance.py [--seconds 2 10 30] [--steps 6 3]
      [--precision fp32 bf16] [--threads 1 2] [--kept] [--markdown enhance.md]
> python benchmarks/enhance.py --seconds 60 3600 --without-naive
> python benchmarks/enhance.py --seconds 600 --without-naive --precision bf16
      --device cuda [--compile] [--batch 16] --share

Real-time factors are seconds of computing per second of audio, medians of
repetitions in turn, each form in a process of its own. The naive form
(``naive.py`` in place of our denoiser, the guidance as it is) hears the whole
recording at once in fp32, ours runs in pieces, from a stream of blocks, and
keeps freed memory as the command does; with --kept the naive form does, too.
Memory is what enhancing adds to the largest resident size, on a GPU to its
tensors. --share adds hours of audio per minute, and the operations per second
over those of large matrix products on the same device in the same precision.
Weights do not change the speed: they are random, or those of --model.

Authors
 * The galdse developers
"""

import argparse
import sys
from itertools import product, starmap
from pathlib import Path
from typing import NamedTuple

import torch
from hyperpyyaml import load_hyperpyyaml
from measure import Form, highest, in_process, in_processes, publish, table
from naive import NaiveNet

from galdse_brain.cost import hardware, multiplications
from galdse_brain.enhancer import Enhancer
from galdse_brain.inference import PIECES_AT_ONCE, GALDSEEnhancement
from galdse_brain.pieces import Pieces
from galdse_brain.systems.parts import part_with

SAMPLE_RATE = 16000
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
HPARAMS = Path(__file__).parent.parent / "hparams" / "galdse.yaml"
COLUMNS = (
    *("audio, s", "steps", "precision", "threads"),
    *("naive, RTF", "RTF", "times as fast", "naive, MiB", "MiB"),
)


SHARE = "hours per minute", "of matrix peak"


class Setting(NamedTuple):
    """What is enhanced, and how."""

    seconds: int
    steps: int
    precision: str
    threads: int


class Callable(torch.nn.Module):
    """A function in place of a network, under the same condition."""

    def __init__(self, function, net):
        super().__init__()
        self.forward, self.condition = function, net.condition


def enhancer(naive, args):
    """Of an exported folder, or with random weights."""
    if args.model:
        found = GALDSEEnhancement.from_hparams(args.model).mods.enhance_model
    else:
        parts = load_hyperpyyaml(HPARAMS.read_text(encoding="utf-8"))
        found = Enhancer(parts["system"], parts["spec"]).eval()
    at_once = args.batch or PIECES_AT_ONCE.get(args.device, 1)
    found.pieces = found.pieces._replace(at_once=at_once)
    system = part_with(found.system, "net")
    if naive:
        net = system.net
        system.net = Callable(NaiveNet(net.state_dict()), net)
        found.pieces = Pieces(num_samples=10**12)
    if args.compile:
        system.net = torch.compile(system.net)
    return found.to(args.device)


def prepared(naive, setting, args):
    """A call without arguments that enhances."""
    torch.set_num_threads(setting.threads)
    enhance, device = enhancer(naive, args).stream, args.device
    dtype = DTYPES[setting.precision]

    def call():
        noise = torch.Generator().manual_seed(0)
        second = torch.randn(1, SAMPLE_RATE, generator=noise)
        blocks = (second.to(device) for _ in range(setting.seconds))
        cast = torch.autocast(device, dtype, dtype != torch.float32)
        with torch.no_grad(), cast:
            for block in enhance(blocks, num_steps=setting.steps):
                block.cpu()

    return call


def share(second, setting, args):
    """Hours of audio per minute, and share of the matrix peak."""
    operations = 2 * multiplications(prepared(False, setting, args))
    most = highest(args.device, DTYPES[setting.precision])
    return (
        f"{setting.seconds / 60 / second:.2f}",
        f"{operations / second / most:.1%}",
    )


def row(setting, args):
    """One line of the table."""
    forms = {"ours": Form(prepared, (False, setting, args))}
    if not args.without_naive:
        given = True, setting._replace(precision="fp32"), args
        forms["naive"] = Form(prepared, given, keeps_memory=args.kept)
    found = in_processes(forms, args.repeats, args.device)
    ours = found["ours"].seconds
    factor = {n: f"{f.seconds / setting.seconds:.3f}" for n, f in found.items()}
    ratio = {n: f"{f.seconds / ours:.2f}" for n, f in found.items()}
    mib = {n: f"{f.mib:.0f}" for n, f in found.items()}
    cells = (
        *setting,
        *(factor.get("naive", ""), factor["ours"], ratio.get("naive", "")),
        *(mib.get("naive", ""), mib["ours"]),
    )
    if args.share:
        cells += in_process(share, ours, setting, args)
    return cells


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
    add("--kept", action="store_true", help="naive keeps memory, too")
    add("--repeats", type=int, default=3)
    add("--markdown", type=Path, help="file to write the table to")
    add("--device", default="cpu", help="cpu or cuda")
    add("--compile", action="store_true", help="the network by torch.compile")
    add("--batch", type=int, help="pieces at once")
    add("--share", action="store_true", help="two columns more, see above")
    args = parser.parse_args()
    rows = []
    for setting in starmap(
        Setting,
        product(args.seconds, args.steps, args.precision, args.threads),
    ):
        rows.append(row(setting, args))
        print(*rows[-1], file=sys.stderr, flush=True)
    columns = COLUMNS + SHARE * args.share
    name = hardware(args.device).partition(",")[0]  # Without threads
    publish(f"{name}\n\n{table(columns, rows)}", args.markdown)


if __name__ == "__main__":
    main()
