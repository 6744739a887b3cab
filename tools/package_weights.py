#!/usr/bin/env python3
"""Put an exported model into the package, under a name.

> OMP_NUM_THREADS=1 python tools/package_weights.py EXPORTED NAME \\
      --summary TEXT --scores results.csv [--auto_steps N] [--bf16]

Writes galdse_brain/released/NAME: the files of an exported folder, with the
weights in half precision and, in config.json, the scores of a test (what
`galdse evaluate --model` or `train.py` has written), what an enhancement
costs, and a line on what the model is for; and tables of scores into its card
and the README, between the comments that mark their places. The rest of a card
is written by hand. `benchmarks/steps.py` finds on validation pairs how few
steps keep the scores, and whether bf16 does.

Authors
 * The galdse developers
"""

import argparse
import json
import shutil
from pathlib import Path

import torch

from galdse_brain.card import scores_text
from galdse_brain.cost import cost
from galdse_brain.export import finite
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.released import FOLDER
from galdse_brain.report import LABELS, trained_on
from galdse_brain.results import SYSTEM, Results, markdown, number

README = Path(__file__).parents[1] / "README.md"
SCORES = "pesq", "estoi", "si_sdr", "dnsmos_ovrl", "level"
# Released weights of others, enhanced at 16 kHz (DeepFilterNet3 at 48 kHz and
# back) and scored by `galdse evaluate` on the same pairs.
PEERS = {
    "GTCRN (VoiceBank)": ("48,000", "2.614", "0.815", "16.64", "3.04", "–"),
    "DeepFilterNet3": ("", "2.557", "0.821", "16.12", "3.13", "–"),
}
START, END = "<!-- scores -->", "<!-- end of scores -->"
WEIGHTS = "enhance_model.ckpt"


def halve(source, target, names):
    """Copy weights, those of these names in half precision."""
    state = torch.load(source, map_location="cpu", weights_only=True)
    torch.save(
        {k: v.half() if k in names else v for k, v in state.items()}, target
    )


def package(exported, folder, more, yaml=""):
    """Write the files of a packaged model.

    Arguments
    ---------
    exported, folder : pathlib.Path
        The exported folder, and that of the packaged model.
    more : dict
        What config.json gets beside what it has.
    yaml : str
        Lines that hyperparams.yaml gets beside those that it has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    enhancer = GALDSEEnhancement.from_hparams(exported).mods.enhance_model
    names = {name for name, _ in enhancer.named_parameters()}
    halve(exported / WEIGHTS, folder / WEIGHTS, names)
    text = (exported / "hyperparams.yaml").read_text(encoding="utf-8")
    (folder / "hyperparams.yaml").write_text(text + yaml, encoding="utf-8")
    if not (folder / "example.wav").is_file():
        shutil.copyfile(exported / "example.wav", folder / "example.wav")
    about = json.loads((exported / "config.json").read_text(encoding="utf-8"))
    about |= {**more, "cost": cost(enhancer, "cpu", seconds=30)}
    text = json.dumps(about, indent=2)
    (folder / "config.json").write_text(f"{text}\n", encoding="utf-8")
    card = folder / "README.md"
    if not card.is_file():
        card.write_text(START + END, encoding="utf-8")
    replace(card, scores_text(about))


def readme_table(folder=FOLDER):
    """The table of scores in the project's README."""
    abouts = {
        name: json.loads((folder / name / "config.json").read_text("utf-8"))
        for name in ("light", "galdse")
    }
    light, galdse = abouts["light"], abouts["galdse"]
    rows = [
        ["noisy", "", *_row(light, "noisy")],
        ["`light`, mask alone", "98,166", *_row(light, "mask alone")],
        ["**`light`, one step**", _size(light), *_row(light, SYSTEM)],
        ["`galdse`, one step", _size(galdse), *_row(galdse, SYSTEM)],
        *([name, *cells] for name, cells in PEERS.items()),
        ["clean", "", *_row(light, "clean")],
    ]
    labels = [LABELS[name] for name in SCORES]
    return markdown(["", "parameters", *labels], rows)


def _size(about):
    return f"{about['parameters']:,}"


def _row(about, signal):
    trained = trained_on(about["losses"]) - {"level"}
    ours = signal not in ("noisy", "clean")
    cells = about["scores"][signal]
    return [
        number(cells[name]["mean"]) + " †" * (ours and name in trained)
        if name in cells
        else "∞"
        for name in SCORES
    ]


def replace(page, text):
    """Put a text between the comments of a page that mark its place."""
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    page.write_text(
        f"{before}{START}\n\n{text}\n\n{END}{after}", encoding="utf-8"
    )


def main():
    """Put a model into the package."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exported", type=Path)
    parser.add_argument("name")
    parser.add_argument("--summary", required=True, help="what it is for")
    parser.add_argument("--scores", type=Path, help="results.csv of a test")
    parser.add_argument("--auto_steps", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="keeps its scores")
    args = parser.parse_args()
    more = {"summary": args.summary, "licence": "Apache-2.0"}
    if args.scores:
        results = Results.read_csv(args.scores)
        more["scores"] = finite(results.summary())
        more["test_pairs"] = len(results.of(SYSTEM))
    yaml = f"\nauto_steps: {args.auto_steps}\nbf16_keeps_scores: {args.bf16}\n"
    package(args.exported, FOLDER / args.name, more, yaml)
    replace(README, readme_table())


if __name__ == "__main__":
    main()
