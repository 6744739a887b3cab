"""Folders that ``from_hparams`` loads, here and on the Hugging Face hub.

Authors
 * The galdse developers
"""

import json
import math
import shutil
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from tempfile import TemporaryDirectory
from zipfile import is_zipfile

import huggingface_hub
import soundfile
import torch

from galdse_brain.card import card
from galdse_brain.convert import converted
from galdse_brain.cost import network_calls
from galdse_brain.released import packaged
from galdse_brain.results import Results
from galdse_brain.runs import (
    best_checkpoint,
    enhancer_yaml,
    load_enhancer,
    losses_of,
    pairs,
    settings,
)
from galdse_brain.systems.parts import title

WIRING = """
enhance_model: !new:galdse_brain.enhancer.Enhancer
  system: !ref <system>
  spec: !ref <spec>
  pieces: !ref <pieces>

modules:
  enhance_model: !ref <enhance_model>
  # For pipelines with a SepFormer in front, such as SepformerSeparation
  encoder: !new:galdse_brain.compat.WaveOnly
    enhancer: !ref <enhance_model>
  masknet: !new:galdse_brain.compat.OnesMask
  decoder: !new:torch.nn.Identity
num_spks: 1

pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables:
    enhance_model: !ref <enhance_model>
"""
FILES = (
    "hyperparams.yaml",
    "enhance_model.ckpt",
    "config.json",
    "README.md",
    "example.wav",
)


def export_run(run_folder, out, example=None, overwrite=False):
    """Export the best averaged weights of a training.

    Arguments
    ---------
    run_folder : str or pathlib.Path
        The ``output_folder`` of the training.
    out : str or pathlib.Path
        The folder to make.
    example : str or pathlib.Path, optional
        A noisy file to put in; by default the first of the test.
    overwrite : bool
        Replace the model in a folder that is there; FileExistsError
        otherwise, and if the folder holds something else.

    Returns
    -------
    out : pathlib.Path
    """
    chosen = settings(run_folder)
    about = {
        "training_data": training_data(run_folder),
        "epoch": best_checkpoint(run_folder).meta["epoch"],
        "selection_metric": chosen["selection_metric"],
        "loss_weights": dict(chosen["loss_weights"]),
        "losses": losses_of(run_folder),
    }
    results = Path(run_folder) / "results.csv"
    if results.is_file():
        about["scores"] = finite(Results.read_csv(results).summary())
        about["test_pairs"] = len(pairs(run_folder, "test"))
    if example is None:
        example = next(iter(pairs(run_folder, "test").values()))["noisy_wav"]
    return write_folder(
        out,
        enhancer_yaml(run_folder),
        load_enhancer(run_folder),
        about,
        example,
        overwrite,
    )


def finite(summary):
    """The cells that JSON can hold: clean speech has an infinite SI-SDR."""
    return {
        signal: {n: c for n, c in cells.items() if math.isfinite(c["mean"])}
        for signal, cells in summary.items()
    }


def training_data(run_folder):
    """What a run was trained on, in words; folders by their names alone."""
    chosen, parts = settings(run_folder), []
    if "train" in chosen["annotations"]:
        count = len(pairs(run_folder, "train"))
        parts.append(f"{count} pairs of `{Path(chosen['data_folder']).name}`")
    if chosen["mixing"]:
        speech, noise = (
            ", ".join(f"`{Path(f).name}`" for f in chosen["mixing"][folders])
            for folders in ("speech_folders", "noise_folders")
        )
        parts.append(f"speech of {speech} with noise of {noise}")
    return " and ".join(parts)


def export_published(checkpoint, out, example, averaged=True, overwrite=False):
    """Export a published GALD-SE checkpoint.

    Arguments
    ---------
    checkpoint : str or pathlib.Path
        The file, see ``galdse_brain.convert.published``.
    out, example, overwrite
        As for ``export_run``; the example is needed.
    averaged : bool
        Take the averaged parameters instead of the raw ones.

    Returns
    -------
    out : pathlib.Path
    """
    with open(checkpoint, "rb") as file:
        if not is_zipfile(file):
            raise ValueError(f"{checkpoint} is no file that torch.save wrote")
    try:
        enhancer, yaml = converted(checkpoint, averaged)
    except UnpicklingError as error:
        raise ValueError(
            f"{checkpoint} holds more than tensors and plain values: {error}"
        ) from error
    about = {"converted_from": Path(checkpoint).name}
    return write_folder(out, yaml, enhancer, about, example, overwrite)


def write_folder(out, yaml, enhancer, about, example, overwrite=False):
    """Write the files of a model; all of them appear, or nothing.

    Arguments
    ---------
    out : str or pathlib.Path
        The folder to make.
    yaml : str
        HyperPyYAML with ``sample_rate``, ``system``, ``spec`` and ``pieces``.
    enhancer : Enhancer
        Built from it, with its weights.
    about : dict
        For ``config.json`` and the model card.
    example : str or pathlib.Path
        A noisy file.
    overwrite : bool
        Replace the model in a folder that is there; FileExistsError
        otherwise, and if the folder holds something else.

    Returns
    -------
    out : pathlib.Path
    """
    out = Path(out).absolute()
    _check_free(out, overwrite)
    samples, rate = soundfile.read(example, dtype="float32")
    about = {
        "speechbrain_interface": "GALDSEEnhancement",
        "galdse_version": version("galdse"),
        "system": title(enhancer.system),
        "parameters": sum(p.numel() for p in enhancer.parameters()),
        "network_calls": network_calls(enhancer),
        **about,
    }
    texts = {
        "hyperparams.yaml": f"# yamllint disable\n{yaml.strip()}\n{WIRING}",
        "config.json": json.dumps(about, indent=2),
        "README.md": card(about),
    }
    weights = {
        name: tensor.detach().cpu()
        for name, tensor in enhancer.float().state_dict().items()
    }

    def write(folder):
        torch.save(weights, folder / "enhance_model.ckpt")
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        soundfile.write(folder / "example.wav", samples, rate)

    return _placed(out, write)


def export_model(folder, out, overwrite=False):
    """Copy an exported folder, such as one that comes with the package.

    Arguments
    ---------
    folder, out : str or pathlib.Path
        The model, and the folder to make.
    overwrite : bool
        As for ``export_run``.

    Returns
    -------
    out : pathlib.Path
        FileNotFoundError if there is no such model.
    """
    check_complete(folder)
    out = Path(out).absolute()
    _check_free(out, overwrite)

    def write(half):
        for name in FILES:
            shutil.copyfile(Path(folder) / name, half / name)

    return _placed(out, write)


def check_complete(folder):
    """FileNotFoundError names what an exported folder lacks."""
    missing = [name for name in FILES if not (Path(folder) / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} has no {missing[0]}: export first")


def _placed(out, write):
    """The folder ``out`` with what ``write`` puts into another one first."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".galdse-", dir=out.parent) as folder:
        half = Path(folder)
        write(half)
        out.mkdir(exist_ok=True)
        for name in FILES:
            (half / name).replace(out / name)
        for stale in out.glob("*.onnx"):
            stale.unlink()
    return out


def _check_free(out, overwrite):
    if not out.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{out} is there already")
    missing = [name for name in FILES if not (out / name).is_file()]
    if missing:
        raise FileExistsError(
            f"{out} is no exported model, it has no {missing[0]}: not replaced"
        )


def publish(folder, repo_id, private=False):
    """Upload an exported folder to the Hugging Face hub.

    Arguments
    ---------
    folder : str or pathlib.Path
        What ``export_run`` wrote, or the name of a packaged model;
        FileNotFoundError names what is missing.
    repo_id : str
        Such as ``user/galdse``.
    private : bool
        For a repository that is made now.

    Returns
    -------
    url : str
        Of the commit.
    """
    folder = packaged(folder)
    check_complete(folder)
    huggingface_hub.create_repo(repo_id, private=private, exist_ok=True)
    return str(
        huggingface_hub.upload_folder(
            repo_id=repo_id,
            folder_path=str(folder),
            allow_patterns=[*FILES, "*.onnx"],
        )
    )
