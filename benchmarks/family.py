#!/usr/bin/env python3
"""Trains small members of the family for equal times and compares them.

> python benchmarks/family.py --data_folder CORPUS --output_folder OUT
      [--minutes 20] [--threads 2] [--only bridge_mini predictive_mini]

Each experiment trains for as many steps as fit into the minutes at the median
speed of a few timed before; validation and test come on top. Members that start
from the run of another have its minutes besides their own. A run whose
results.csv is there is not trained again. Prints the markdown table: scores
of the test, parameters, calls of a network (the guidance's left out) for one
enhancement, multiplications and additions per second of speech, real-time
factor on 4 s. No times but on a quiet machine.

Authors
 * The galdse developers
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from math import prod
from pathlib import Path

import torch
from hyperpyyaml import load_hyperpyyaml
from torch.utils.flop_counter import FlopCounterMode

from galdse_brain.recipe import read_recipe
from galdse_brain.results import Results
from galdse_brain.runs import load_enhancer

RECIPE = Path(__file__).parents[1] / "recipes" / "VoicebankDEMAND" / "galdse"
# Experiment: the one that it starts from.
MEMBERS = {
    "galdse_mini": None,
    "bridge_mini": None,
    "bridge_guided_mini": None,
    "predictive_mini": None,
    "sgmse_mini": None,
    "bbed_mini": None,
    "storm_mini": None,
    "ensemble_mini": None,
    "crp_mini": "bbed_mini",
    "galdse_crp_mini": "galdse_mini",
}
SECONDS, RATE = 4, 16000
STEPS = 15


def lstm_flops(x, w_ih, w_hh, *others, **kwargs):
    """Two for each multiplication of an LSTM layer in one direction."""
    return 2 * prod(x[:-1]) * (prod(w_ih) + prod(w_hh))


def options(name, args):
    """Values of a run that the command line sets."""
    start = MEMBERS[name]
    return {
        "data_folder": args.data_folder,
        "output_folder": args.output_folder / name,
        **({"start_from": args.output_folder / start} if start else {}),
    }


def steps_in(minutes, name, args):
    """Training steps that fit into the minutes, from a few timed ones."""
    pairs = (f"{key}: {value}" for key, value in options(name, args).items())
    recipe = read_recipe(
        RECIPE / "hparams" / f"{name}.yaml", f"{{{', '.join(pairs)}}}"
    )
    hparams = load_hyperpyyaml(recipe)
    system, spec, objective = (
        hparams["modules"][part] for part in ("system", "spec", "objective")
    )
    optimizer = hparams["opt_class"](system.parameters())
    wavs = torch.rand(2, hparams["batch_size"], hparams["segment_samples"]).sub(
        0.5
    )

    def step():
        losses = system(spec(wavs[0]), spec(wavs[1]), objective)
        sum(losses.values()).backward()
        optimizer.step()
        optimizer.zero_grad()
        hparams["ema"].update_parameters(system)

    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return max(1, int(60 * minutes / statistics.median(times)))


def train(name, args):
    """Train and test one member, unless that is done."""
    if (args.output_folder / name / "results.csv").is_file():
        return
    settings = options(name, args) | {
        "number_of_steps": steps_in(args.minutes, name, args),
        "device": "cpu",
    }
    print(f"{name}: {settings['number_of_steps']} steps", file=sys.stderr)
    subprocess.run(
        [sys.executable, "train.py", f"hparams/{name}.yaml"]
        + [f"--{key}={value}" for key, value in settings.items()]
        + ["--noprogressbar"],
        cwd=RECIPE,
        check=True,
        stdout=sys.stderr,
        env=os.environ | {"OMP_NUM_THREADS": str(args.threads)},
    )


def cost(enhancer):
    """Calls of a network, GMAC per second of speech, real-time factor."""
    noisy, calls = torch.rand(1, SECONDS * RATE) - 0.5, []
    hooks = [
        part.register_forward_hook(lambda *_: calls.append(1))
        for name, part in enhancer.named_modules()
        if name.endswith("net")
    ]
    counter = FlopCounterMode(
        display=False,
        custom_mapping={torch.ops.aten.mkldnn_rnn_layer: lstm_flops},
    )
    times = []
    with torch.no_grad():
        with counter:
            enhancer(noisy)
        for hook in hooks:
            hook.remove()
        for _ in range(3):
            start = time.perf_counter()
            enhancer(noisy)
            times.append(time.perf_counter() - start)
    gmac = counter.get_total_flops() / 2e9 / SECONDS
    return len(calls), gmac, statistics.median(times) / SECONDS


def row(label, cells, *costs):
    """One line of the table."""
    scores = (f"{cell['mean']:.3f} ± {cell['std']:.3f}" for cell in cells)
    return f"| {label} | {' | '.join([*scores, *costs])} |"


def table(names, args):
    """Markdown table of the members that were trained."""
    lines = []
    for name in names:
        run = args.output_folder / name
        results = Results.read_csv(run / "results.csv").summary()
        if not lines:
            title = [*results["noisy"], "parameters", "calls", "GMAC/s", "RTF"]
            lines += [f"| | {' | '.join(title)} |", "|---" * 8 + "|"]
            lines.append(row("noisy", results["noisy"].values(), *[""] * 4))
        enhancer = load_enhancer(run)
        size = sum(p.numel() for p in enhancer.parameters())
        calls, gmac, factor = cost(enhancer)
        numbers = f"{size:,}", f"{calls}", f"{gmac:.2f}", f"{factor:.3f}"
        start = f" after {MEMBERS[name]}" if MEMBERS[name] else ""
        cells = results["enhanced"].values()
        lines.append(row(name + start, cells, *numbers))
    return "\n".join(lines)


def main():
    """Train, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_folder", type=Path, required=True)
    parser.add_argument("--output_folder", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--only", nargs="+", choices=MEMBERS, default=list(MEMBERS)
    )
    args = parser.parse_args()
    args.data_folder = args.data_folder.resolve()
    args.output_folder = args.output_folder.resolve()
    torch.set_num_threads(args.threads)
    for name in args.only:
        train(name, args)
    print(table(args.only, args))


if __name__ == "__main__":
    main()
