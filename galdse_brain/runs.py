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
from ruamel.yaml.error import YAMLError
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.fetching import fetch

from galdse_brain.enhancer import Enhancer
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.released import packaged

PREFIX = "module."  # AveragedModel calls what it averages so.
KEYS = "enhancer", "selection_metric", "annotations", "data_folder"
PARTS = "sample_rate", "spec", "pieces", "system"


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


def start_from(system, source):
    """Give a system the weights of another.

    Arguments
    ---------
    system : torch.nn.Module
        What to train.
    source : str or pathlib.Path
        A run, whose averaged weights are taken, an exported model, or the
        name of one in the package or on the Hugging Face hub. It holds a
        system of the same classes in all parts, perhaps inside another, as a
        few-step system does. ValueError otherwise, because weights that fit
        may mean another thing: a spectrogram or its noise, on this path or on
        another.
    """
    yaml = Path(source) / "hyperparams.yaml"
    if yaml.is_file() and "enhancer" in YAML().load(yaml):
        whole = load_hyperpyyaml(enhancer_yaml(source))["system"]
        weights = best_weights(source)
    else:
        model = GALDSEEnhancement.from_hparams(
            source, run_opts={"device": "cpu"}
        )
        whole = model.mods.enhance_model.system
        weights = whole.state_dict()
    name, other = next(
        (
            (name, part)
            for name, part in whole.named_modules()
            if type(part) is type(system)
        ),
        ("", whole),
    )
    prefix = name and f"{name}."
    for here, there in zip(system.modules(), other.modules()):
        if type(here) is not type(there):
            found, expected = (
                f"{type(part).__module__}.{type(part).__qualname__}"
                for part in (there, here)
            )
            raise ValueError(f"{source} holds {found}, expected {expected}")
    system.load_state_dict(
        {
            name.removeprefix(prefix): tensor
            for name, tensor in weights.items()
            if name.startswith(prefix)
        }
    )


def losses_of(source):
    """Names of the losses that the weights of a run or a model have seen.

    Those of what it was started from are among them: a score is marked when
    any stage was trained on it.
    """
    folder = Path(packaged(source))
    if (folder / "save").is_dir():
        about = {**settings(source), **best_checkpoint(source).meta}
    else:
        text = fetch("config.json", str(folder)).read_text(encoding="utf-8")
        about = json.loads(text)
    # What was written before this was kept has the weights alone.
    weights = about.get("loss_weights", {})
    return about.get("losses", [k for k, weight in weights.items() if weight])


def load_enhancer(run_folder):
    """The trained Enhancer of a run, in evaluation mode, on the CPU."""
    parts = load_hyperpyyaml(enhancer_yaml(run_folder))
    parts["system"].load_state_dict(best_weights(run_folder))
    return Enhancer(parts["system"], parts["spec"], parts["pieces"]).eval()


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
    try:
        found = YAML().load(path) or {}
    except YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
    missing = [key for key in KEYS if key not in found]
    if missing:
        raise ValueError(f"{path} has no {missing[0]}: {run_folder} is no run")
    return found


def pairs(run_folder, split):
    """Id to paths of the pairs of a split, as the run saw them."""
    found = settings(run_folder)
    text = Path(found["annotations"][split]).read_text(encoding="utf-8")
    return json.loads(text.replace("{data_root}", str(found["data_folder"])))
