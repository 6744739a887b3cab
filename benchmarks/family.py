#!/usr/bin/env python3
"""Trains the small members of the family one after the other; compares them.

> python benchmarks/family.py --data_folder CORPUS --output_folder OUT
      [--steps 1500] [--valid_pairs 6] [--test_pairs 30] [--threads 2]
      [--only bridge_mini predictive_mini]

Each has as many steps of training, on batches of the same size. One that
starts from the run of another has its own steps besides. All are validated and
tested on the same few pairs, evenly taken from those of the corpus. The same
command again goes on where it was interrupted, and what is finished is not
trained again. One that fails does not stop the others.

Prints a markdown table of the finished members and writes it to OUT/table.md:
scores of the test, parameters, calls of networks for one enhancement,
multiplications and additions per second of speech, real-time factor, steps of
training. Real-time factors deserve a quiet machine.

Authors
 * The galdse developers
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from galdse_brain.cost import cost
from galdse_brain.report import LABELS
from galdse_brain.runs import load_enhancer, settings

RECIPE = Path(__file__).parents[1] / "recipes" / "VoicebankDEMAND" / "galdse"
VALID_SPEAKERS = "p226", "p287"
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
SHOWN = "pesq", "estoi", "si_sdr", "dnsmos_ovrl"  # report.md has all.
COLUMNS = "parameters", "calls", "GMAC/s", "RTF", "steps"


def costs(run):
    """Name to text: what enhancing by a run costs, on this machine."""
    return cost(load_enhancer(run), "cpu")


def evenly(items, count):
    """So many of the items, or all if there are fewer."""
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def small_corpus(args):
    """A folder of links to the corpus, with few pairs to validate and test.

    ValueError if the folder is there with other pairs: scores would differ.
    """
    sys.path.insert(0, str(RECIPE.parent))
    from voicebank_prepare import find_splits

    splits = find_splits(args.data_folder, VALID_SPEAKERS)
    splits["valid"] = evenly(splits["valid"], args.valid_pairs)
    splits["test"] = evenly(splits["test"], args.test_pairs)
    folder = args.output_folder / "corpus"
    links = {
        folder / split / kind / wav.name: wav.resolve()
        for split, pairs in splits.items()
        for pair in pairs
        for kind, wav in zip(("clean", "noisy"), pair)
    }
    found = {path: path.resolve() for path in folder.glob("*/*/*")}
    if found and found != links:
        raise ValueError(
            f"{folder} holds other pairs: use its data_folder, valid_pairs "
            "and test_pairs, or another output_folder"
        )
    for link in links.keys() - found.keys():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(links[link])
    return folder


def finished(run):
    """What the last step of train.py leaves, or None."""
    config = run / "exported" / "config.json"
    return json.loads(config.read_text()) if config.is_file() else None


def train(name, corpus, args):
    """Train and test one member, and before it the one it starts from."""
    run, start = args.output_folder / name, MEMBERS[name]
    if finished(run):
        return
    options = {"data_folder": corpus, "output_folder": run, "device": "cpu"}
    options["number_of_steps"] = args.steps
    if start:
        train(start, corpus, args)
        options["start_from"] = args.output_folder / start
    print(f"{name}: {args.steps} steps", file=sys.stderr)
    subprocess.run(
        [sys.executable, "train.py", f"hparams/{name}.yaml", "--noprogressbar"]
        + [f"--{key}={value}" for key, value in options.items()],
        cwd=RECIPE,
        check=True,
        stdout=sys.stderr,
    )


def trained_steps(name, args):
    """Steps of training, after those of what a member started from."""
    run, start = args.output_folder / name, MEMBERS[name]
    steps = str(settings(run)["number_of_steps"])
    return f"{trained_steps(start, args)} + {steps}" if start else steps


def line(label, scores, cells):
    """One line of the table."""
    shown = [scores[name] for name in SHOWN if name in scores]
    numbers = (f"{score['mean']:.2f} ± {score['std']:.2f}" for score in shown)
    return f"| {' | '.join([label, *numbers, *cells])} |"


def table(names, args):
    """Markdown table of the finished members."""
    lines = []
    for name in names:
        run = args.output_folder / name
        about = finished(run)
        if not about:
            continue
        scores, cost = about["scores"], costs(run)
        if not lines:
            labels = [LABELS[n] for n in SHOWN if n in scores["noisy"]]
            title = ["", *labels, *COLUMNS]
            lines += [f"| {' | '.join(title)} |", "|---" * len(title) + "|"]
            lines.append(line("noisy", scores["noisy"], [""] * len(COLUMNS)))
        start = MEMBERS[name]
        cells = [
            f"{about['parameters']:,}",
            " + ".join(
                f"{n} {net}" for net, n in about["network_calls"].items()
            ),
            cost.get("GMAC per second of audio", ""),
            cost.get("real-time factor", "").partition(" ")[0],
            trained_steps(name, args),
        ]
        label = f"{name} after {start}" if start else name
        lines.append(line(label, scores["enhanced"], cells))
    return "\n".join(lines)


def main():
    """Train, then print; the exit status is the number that failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_folder", type=Path, required=True)
    parser.add_argument("--output_folder", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--valid_pairs", type=int, default=6)
    parser.add_argument("--test_pairs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--only", nargs="+", choices=MEMBERS, default=list(MEMBERS)
    )
    args = parser.parse_args()
    args.data_folder = args.data_folder.resolve()
    args.output_folder = args.output_folder.resolve()
    # For the processes that train and that measure.
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    corpus, failed = small_corpus(args), []
    for name in args.only:
        try:
            train(name, corpus, args)
        except subprocess.CalledProcessError as error:
            failed.append(f"{name} failed: {error}")
    text = table(args.only, args)
    (args.output_folder / "table.md").write_text(f"{text}\n", encoding="utf-8")
    print("\n".join([text, *failed]))
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
