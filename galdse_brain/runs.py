"""Trained runs: their best checkpoint, and the enhancer in it.

Authors
 * The galdse developers
"""

import hashlib
import json
from io import StringIO
from pathlib import Path

import torch
from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml import YAML
from speechbrain.utils.checkpoints import Checkpointer

from galdse_brain.enhancer import Enhancer

PREFIX = "module."  # AveragedModel calls what it averages so.
KEYS = "enhancer", "selection_metric", "annotations", "data_folder"
PARTS = "sample_rate", "spec", "system"


def best_checkpoint(run_folder):
    """The checkpoint that the run's ``selection_metric`` chooses.

    Arguments
    ---------
    run_folder : str or pathlib.Path
        The ``output_folder`` of a training.

    Returns
    -------
    checkpoint : speechbrain.utils.checkpoints.Checkpoint
        With ``meta`` and ``paramfiles``. FileNotFoundError if there is no such
        run or no checkpoint with that metric.
    """
    key = settings(run_folder)["selection_metric"]
    folder = Path(run_folder) / "save"
    checkpoint = folder.is_dir() and Checkpointer(folder).find_checkpoint(
        max_key=key
    )
    if not checkpoint:
        raise FileNotFoundError(f"no checkpoint with {key!r} in {folder}")
    return checkpoint


def fingerprint(checkpoint):
    """Epoch, and beginning of the SHA-256 of the averaged weights, as text."""
    weights = Path(checkpoint.paramfiles["ema"]).read_bytes()
    digest = hashlib.sha256(weights).hexdigest()[:12]
    return f"epoch {checkpoint.meta['epoch']}, SHA-256 of ema.ckpt {digest}"


def best_weights(run_folder):
    """Averaged weights of the best checkpoint, on the CPU.

    Arguments
    ---------
    run_folder : str or pathlib.Path
        The ``output_folder`` of a training.

    Returns
    -------
    state : dict
        For ``load_state_dict`` of the system.
    """
    state = torch.load(
        best_checkpoint(run_folder).paramfiles["ema"],
        map_location="cpu",
        weights_only=True,
    )
    return {
        name.removeprefix(PREFIX): tensor
        for name, tensor in state.items()
        if name.startswith(PREFIX)
    }


def start_from(system, run_folder):
    """Give a system the averaged weights of a run; ValueError if of another."""
    # Weights that fit may mean another thing: a spectrogram or its noise.
    found = settings(run_folder)["enhancer"]["system"].tag.value
    kind = type(system)
    expected = f"!new:{kind.__module__}.{kind.__qualname__}"
    if found != expected:
        raise ValueError(f"{run_folder} holds {found}, expected {expected}")
    system.load_state_dict(best_weights(run_folder))


def load_enhancer(run_folder):
    """The trained Enhancer of a run, in evaluation mode, on the CPU."""
    parts = load_hyperpyyaml(enhancer_yaml(run_folder))
    start_from(parts["system"], run_folder)
    return Enhancer(parts["system"], parts["spec"]).eval()


def enhancer_yaml(run_folder):
    """HyperPyYAML text that builds a run's enhancer, all values filled in."""
    enhancer, stream = settings(run_folder)["enhancer"], StringIO()
    parts = {name: enhancer[name] for name in PARTS}
    YAML().dump(parts, stream)
    return stream.getvalue()


def settings(run_folder):
    """The resolved YAML of a run, nothing built."""
    path = Path(run_folder) / "hyperparams.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {run_folder} is no run")
    found = YAML().load(path) or {}
    missing = [key for key in KEYS if key not in found]
    if missing:
        raise ValueError(f"{path} has no {missing[0]}: {run_folder} is no run")
    return found


def pairs(run_folder, split):
    """Id to paths of the pairs of a split, as the run saw them."""
    found = settings(run_folder)
    text = Path(found["annotations"][split]).read_text(encoding="utf-8")
    return json.loads(text.replace("{data_root}", str(found["data_folder"])))
