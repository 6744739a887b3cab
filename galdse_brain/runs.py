"""Trained runs: their best checkpoint, and the enhancer in it.

Authors
 * The galdse developers
"""

from io import StringIO
from pathlib import Path

import ruamel.yaml
import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.utils.checkpoints import Checkpointer

from galdse_brain.enhancer import Enhancer

PREFIX = "module."  # AveragedModel calls what it averages so.


def best_weights(run_folder):
    """Averaged weights of the best checkpoint, on the CPU.

    Arguments
    ---------
    run_folder : str or pathlib.Path
        The ``output_folder`` of a training. Its ``selection_metric`` chooses.

    Returns
    -------
    state : dict
        For ``load_state_dict`` of the system. FileNotFoundError if there is
        no such run or no checkpoint with that metric.
    """
    hparams = _hparams(run_folder)
    folder, key = Path(run_folder) / "save", hparams["selection_metric"]
    checkpoint = folder.is_dir() and Checkpointer(folder).find_checkpoint(
        max_key=key
    )
    if not checkpoint:
        raise FileNotFoundError(f"no checkpoint with {key!r} in {folder}")
    state = torch.load(
        checkpoint.paramfiles["ema"], map_location="cpu", weights_only=True
    )
    return {
        name.removeprefix(PREFIX): tensor
        for name, tensor in state.items()
        if name.startswith(PREFIX)
    }


def start_from(system, run_folder):
    """Give a system the averaged weights of a trained run, to fine-tune.

    ValueError if the run is of another
    system: equal networks may mean different things.
    """
    found = _hparams(run_folder)["enhancer"]["system"].tag.value
    kind = type(system)
    expected = f"!new:{kind.__module__}.{kind.__qualname__}"
    if found != expected:
        raise ValueError(f"{run_folder} holds {found}, expected {expected}")
    system.load_state_dict(best_weights(run_folder))


def load_enhancer(run_folder):
    """The trained Enhancer of a run, in evaluation mode, on the CPU."""
    stream = StringIO()
    ruamel.yaml.YAML().dump(_hparams(run_folder)["enhancer"], stream)
    stream.seek(0)
    parts = load_hyperpyyaml(stream)
    start_from(parts["system"], run_folder)
    return Enhancer(parts["system"], parts["spec"]).eval()


def _hparams(run_folder):
    """The resolved YAML of a run, nothing built."""
    path = Path(run_folder) / "hyperparams.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {run_folder} is no run")
    return ruamel.yaml.YAML().load(path)
