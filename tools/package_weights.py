#!/usr/bin/env python3
"""Put an exported model into the package, as the one that comes with it.

> python tools/package_weights.py EXPORTED --steps N [--bf16_keeps_scores]

Writes hyperparams.yaml, config.json and the weights in half precision into
galdse_brain/released/, and the table of scores into the model card there and
into the project's README, between the comments that mark its place; the rest
of both is written by hand. N is how many steps the model takes unless it
is asked for others; ``benchmarks/steps.py`` finds it on validation pairs, and
whether bf16 keeps the scores.

Authors
 * The galdse developers
"""

import argparse
import json
from pathlib import Path

from galdse_brain.card import scores_text
from galdse_brain.cost import network_calls
from galdse_brain.export import WIRING
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.released import FOLDER, store

README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- scores -->", "<!-- end of scores -->"
# Instead of the wiring that reads a file of weights beside the YAML
ENHANCER = """
num_steps: {steps}
auto_steps: {steps}
bf16_keeps_scores: {bf16}

enhance_model: !apply:galdse_brain.released.restored
  enhancer: !new:galdse_brain.enhancer.Enhancer
    system: !ref <system>
    spec: !ref <spec>
    num_steps: !ref <num_steps>
"""
PRETRAINER = """
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables: {}  # The weights are in the package.
"""


def package(exported, steps, bf16, folder=FOLDER, pages=(README,)):
    """Write the files of an exported folder as those of the package."""
    yaml = (exported / "hyperparams.yaml").read_text(encoding="utf-8")
    parts, _, _ = yaml.partition(WIRING)
    _, modules, others = WIRING.partition("\nmodules:")
    others, _, _ = others.partition("\npretrainer:")
    yaml = (
        parts
        + ENHANCER.format(steps=steps, bf16=bf16)
        + modules
        + others
        + PRETRAINER
    )
    (folder / "hyperparams.yaml").write_text(yaml, encoding="utf-8")
    model = GALDSEEnhancement.from_hparams(exported)
    store(model.mods.enhance_model, folder / "enhance_model.safetensors")

    enhancer = GALDSEEnhancement.from_hparams(folder).mods.enhance_model
    about = json.loads((exported / "config.json").read_text(encoding="utf-8"))
    about["network_calls"] = network_calls(enhancer)
    text = json.dumps(about, indent=2)
    (folder / "config.json").write_text(f"{text}\n", encoding="utf-8")
    for page in (folder / "README.md", *pages):
        before, _, rest = page.read_text(encoding="utf-8").partition(START)
        after = rest.partition(END)[2]
        text = f"{before}{START}\n\n{scores_text(about)}\n\n{END}{after}"
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exported", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--bf16_keeps_scores", action="store_true")
    args = parser.parse_args()
    package(args.exported, args.steps, args.bf16_keeps_scores)
