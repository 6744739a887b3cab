#!/usr/bin/env python3
"""A model folder of weights that the first script for light systems trained.

> python tools/convert_light.py WEIGHTS.pt OUT --example noisy.wav

That script called the layers otherwise, kept both convolutions of the
denoiser's planes in one, counted steps from 1, and gave the guidance a
spectrogram that is not scaled. tools/light_stable.pt holds, in half precision
and under its names, the weights of the packaged model before its learning rate
fell: what training goes on from (its ``--init``).

Authors
 * The galdse developers
"""

import argparse
import re
from io import StringIO
from pathlib import Path

import torch
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml import YAML

from galdse_brain.enhancer import Enhancer
from galdse_brain.export import write_folder
from galdse_brain.runs import PARTS

HPARAMS = Path(__file__).parents[1] / "hparams" / "galdse_light.yaml"
LOSSES = [
    "guidance_spectra",
    "guidance_neg_snr",
    "spectra",
    "neg_snr",
    "pesq",
]
BODY = {
    "e2.conv": "down",
    "e2.rest.0": "act_2.0",
    "e2.rest.1": "act_2.1",
    "e3.conv": "mix",
    "e3.rest.0": "act_3.0",
    "e3.rest.1": "act_3.1",
    "e1.rest.0": "act_1.0",
    "e1.rest.1": "act_1.1",
    "d3.conv": "unmix",
    "d3.rest.0": "act_4.0",
    "d3.rest.1": "act_4.1",
    "d2.conv": "up",
    "d2.rest.0": "act_5.0",
    "d2.rest.1": "act_5.1",
    "d1.conv": "out",
    "fine2.conv": "fine_out",
}
PATH = {
    "across": "bands.rnn",
    "across_out": "bands.project",
    "across_norm": "bands_norm",
    "along": "frames.rnn",
    "along_out": "frames.project",
    "along_norm": "frames_norm",
}


def body(state):
    """Layers that changed nothing but their names."""
    found = {}
    for name, value in state.items():
        layer, _, leaf = name.rpartition(".")
        path = re.fullmatch(r"path\.(\d+)\.(\w+)", layer)
        if layer in BODY:
            found[f"body.{BODY[layer]}.{leaf}"] = value
        elif path:
            found[f"body.blocks.{path[1]}.{PATH[path[2]]}.{leaf}"] = value
    return found


def planes(state, order):
    """First layers, and what the fine one adds to the body's planes.

    ``order`` maps the names of our planes to the places of theirs.
    """
    out = state["fine2.conv.weight"].shape[0]
    coarse, fine = state["e1.conv.weight"], state["fine1.conv.weight"]
    found = {"body.fine_in.weight": fine[:, :out]}
    for name, places in order.items():
        found[f"{name}.coarse.weight"] = coarse[:, places]
        found[f"{name}.fine.weight"] = fine[:, [out + i for i in places]]
    first = next(iter(order))
    found[f"{first}.coarse.bias"] = state["e1.conv.bias"]
    found[f"{first}.fine.bias"] = state["fine1.conv.bias"]
    return found


def guidance(state, beta):
    """Of ``BandGuidance``; its planes are beta times as large as theirs."""
    found = planes(state, {"planes": [0, 1, 2]})
    for layer in ("coarse", "fine"):
        found[f"planes.{layer}.weight"] = found[f"planes.{layer}.weight"] / beta
    return {**found, **body(state)}


def denoiser(state):
    """Of ``BandDenoiser``."""
    found = planes(state, {"known": [2, 3, 4, 5, 6, 7], "state": [0, 1]})
    join, channels = state["join.weight"], len(state["join.weight"])
    found["body.join.weight"] = join[:, :channels]
    found["features.weight"] = join[:, channels:]
    found["features.bias"] = state["join.bias"]
    found["step.weight"] = state["time.weight"][1:]
    return {**found, **body(state)}


def part(state, prefix):
    """Entries below a prefix."""
    return {
        name.removeprefix(prefix): value
        for name, value in state.items()
        if name.startswith(prefix)
    }


def converted(state, beta=0.15):
    """``state_dict`` of the light GALD-SE, or of its guidance alone."""
    first = part(state, "body.")
    if first:
        return guidance(first, beta)
    found = guidance(part(state, "guidance.body."), beta)
    found = {f"guidance.{name}": value for name, value in found.items()}
    net = denoiser(part(state, "denoiser.body."))
    return {**found, **{f"net.{name}": value for name, value in net.items()}}


def export(weights, out, example, hparams=HPARAMS):
    """Write a model folder of the weights of a light GALD-SE."""
    tree = YAML().load(resolve_references(hparams.read_text()).getvalue())
    stream = StringIO()
    YAML().dump({name: tree[name] for name in PARTS}, stream)
    parts = load_hyperpyyaml(stream.getvalue())
    state = torch.load(weights, map_location="cpu", weights_only=True)
    parts["system"].load_state_dict(converted(state, parts["spec"].beta))
    enhancer = Enhancer(parts["system"], parts["spec"], parts["pieces"]).eval()
    about = {"converted_from": weights.name, "losses": LOSSES}
    return write_folder(out, stream.getvalue(), enhancer, about, example, True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("out")
    parser.add_argument("--example", required=True, help="a noisy file")
    args = parser.parse_args()
    print(export(args.weights, args.out, args.example))
