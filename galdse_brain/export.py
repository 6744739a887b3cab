"""Folders that ``from_hparams`` loads, here and on the Hugging Face hub.

Authors
 * The galdse developers
"""

import json
import shutil
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import huggingface_hub
import soundfile
import torch

from galdse_brain.card import card
from galdse_brain.convert import converted
from galdse_brain.results import Results
from galdse_brain.runs import (
    best_checkpoint,
    enhancer_yaml,
    load_enhancer,
    pairs,
    settings,
)

WIRING = """
enhance_model: !new:galdse_brain.enhancer.Enhancer
  system: !ref <system>
  spec: !ref <spec>

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
        Replace a folder that is there; FileExistsError otherwise.

    Returns
    -------
    out : pathlib.Path
    """
    chosen = settings(run_folder)
    meta = best_checkpoint(run_folder).meta
    about = {
        "data": Path(chosen["data_folder"]).name,
        "training_pairs": len(pairs(run_folder, "train")),
        "epoch": meta["epoch"],
        "selection_metric": chosen["selection_metric"],
        "loss_weights": dict(chosen["loss_weights"]),
    }
    results = Path(run_folder) / "results.csv"
    if results.is_file():
        about["scores"] = Results.read_csv(results).summary()
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
    enhancer, yaml = converted(checkpoint, averaged)
    about = {"converted_from": Path(checkpoint).name}
    return write_folder(out, yaml, enhancer, about, example, overwrite)


def write_folder(out, yaml, enhancer, about, example, overwrite=False):
    """Write the files of a model; all of them appear, or nothing.

    Arguments
    ---------
    out : str or pathlib.Path
        The folder to make.
    yaml : str
        HyperPyYAML with ``sample_rate``, ``system`` and ``spec``.
    enhancer : Enhancer
        Built from it, with its weights.
    about : dict
        For ``config.json`` and the model card.
    example : str or pathlib.Path
        A noisy file.
    overwrite : bool
        Replace a folder that is there; FileExistsError otherwise.

    Returns
    -------
    out : pathlib.Path
    """
    out = Path(out)
    if not overwrite and out.exists():
        raise FileExistsError(f"{out} is there already")
    samples, rate = soundfile.read(example, dtype="float32")
    about = {
        "speechbrain_interface": "GALDSEEnhancement",
        "galdse_version": version("galdse"),
        "system": type(enhancer.system).__name__,
        "parameters": sum(p.numel() for p in enhancer.parameters()),
        "network_calls": network_calls(enhancer),
        **about,
    }
    half = out.with_name(f".{out.name}.part")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    weights = {
        name: tensor.detach().cpu()
        for name, tensor in enhancer.float().state_dict().items()
    }
    torch.save(weights, half / "enhance_model.ckpt")
    for name, text in {
        "hyperparams.yaml": f"# yamllint disable\n{yaml.strip()}\n{WIRING}",
        "config.json": json.dumps(about, indent=2),
        "README.md": card(about),
    }.items():
        (half / name).write_text(text, encoding="utf-8")
    soundfile.write(half / "example.wav", samples, rate)
    shutil.rmtree(out, ignore_errors=True)
    half.rename(out)
    return out


def network_calls(enhancer):
    """Part of the system -> how often one enhancement calls it."""
    calls = Counter()
    hooks = [
        part.register_forward_hook(lambda *_, name=name: calls.update([name]))
        for name, part in enhancer.system.named_children()
    ]
    with torch.no_grad():
        enhancer(torch.ones(1, 1))
    for hook in hooks:
        hook.remove()
    return dict(calls)


def publish(folder, repo_id, private=False):
    """Upload an exported folder to the Hugging Face hub.

    Arguments
    ---------
    folder : str or pathlib.Path
        What ``export_run`` wrote; FileNotFoundError names what is missing.
    repo_id : str
        Such as ``user/galdse``.
    private : bool
        For a repository that is made now.

    Returns
    -------
    url : str
        Of the commit.
    """
    missing = [name for name in FILES if not (Path(folder) / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} has no {missing[0]}: export first")
    huggingface_hub.create_repo(repo_id, private=private, exist_ok=True)
    return str(
        huggingface_hub.upload_folder(repo_id=repo_id, folder_path=str(folder))
    )
