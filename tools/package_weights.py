#!/usr/bin/env python3
"""Put an exported model into the package, as the one that comes with it.

> python tools/package_weights.py EXPORTED

Writes hyperparams.yaml, config.json and the weights in half precision into
galdse_brain/released/, and the table of scores into the model card there, the
rest of which is written by hand.

Authors
 * The galdse developers
"""

import json
import re
import shutil
import sys
from pathlib import Path

from galdse_brain.card import scores_text
from galdse_brain.export import WIRING
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.released import FOLDER, store

# Where the wiring of an exported folder reads its own file of weights
CHANGES = {
    "enhance_model: !new:galdse_brain.enhancer.Enhancer\n"
    "  system: !ref <system>\n"
    "  spec: !ref <spec>\n": "enhance_model: !apply:galdse_brain.released."
    "restored\n"
    "  enhancer: !new:galdse_brain.enhancer.Enhancer\n"
    "    system: !ref <system>\n"
    "    spec: !ref <spec>\n",
    "  loadables:\n    enhance_model: !ref <enhance_model>\n": (
        "  loadables: {}  # The weights are in the package.\n"
    ),
}


def package(exported, folder=FOLDER):
    """Write the files of an exported folder as those of the package."""
    wiring = WIRING
    for old, new in CHANGES.items():
        assert old in wiring, f"the wiring of an export lacks {old!r}"
        wiring = wiring.replace(old, new)
    yaml = (exported / "hyperparams.yaml").read_text(encoding="utf-8")
    (folder / "hyperparams.yaml").write_text(
        yaml.replace(WIRING, wiring), encoding="utf-8"
    )
    shutil.copy(exported / "config.json", folder)
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    card = (folder / "README.md").read_text(encoding="utf-8")
    scores = f"## Scores\n\n{scores_text(about)}\n\n## "
    card = re.sub(r"## Scores\n.*?\n## ", lambda _: scores, card, flags=re.S)
    (folder / "README.md").write_text(card, encoding="utf-8")
    model = GALDSEEnhancement.from_hparams(exported)
    store(model.mods.enhance_model, folder / "enhance_model.safetensors")


if __name__ == "__main__":
    package(Path(sys.argv[1]))
