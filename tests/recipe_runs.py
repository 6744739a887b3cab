"""Runs of the real train.py, in this process, on a corpus of seconds."""

import math
import os
import runpy
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile

from galdse_brain.metrics import estoi, pesq_wb, si_sdr

HERE = Path(__file__).parent
# Processes that tests start import what the tests do.
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)]),
}
RECIPE = HERE.parent / "recipes" / "VoicebankDEMAND" / "galdse"
TINY = {
    "enhancer": "{channels: 8, hidden_size: 4}",
    "batch_size": 2,
    "num_workers": 0,
    "score_jobs": 0,
    "test_metrics": "!name:recipe_runs.few",
    "cost": "!name:recipe_runs.no_cost",
    "number_of_epochs": 1,
    "number_of_steps": 20,
    "device": "cpu",
}
SPEAKERS = {
    "trainset_28spk": ["p227_001", "p227_002", "p228_001", "p228_002"]
    + ["p226_001", "p287_001"],
    "testset": ["p232_001", "p257_001"],
}


def few():
    """Scores that take no time."""
    return {"pesq": pesq_wb, "estoi": estoi, "si_sdr": si_sdr}


def no_cost(enhancer, device):
    """What is measured of an enhancer in most tests."""
    return {}


def voice(pitch, num_samples):
    """Harmonics with the rhythm of speech."""
    t = np.arange(num_samples) / 16000
    tone = sum(np.sin(2 * math.pi * pitch * k * t) / k for k in range(1, 20))
    return 0.1 * tone * np.clip(np.sin(2 * math.pi * 3 * t) + 0.3, 0, None)


def write_corpus(folder):
    """The official folders with one-second pairs at 16 kHz."""
    rng = np.random.default_rng(0)
    for split, names in SPEAKERS.items():
        for i, name in enumerate(names):
            clean = voice(100 + 17 * i, 16000)
            noisy = clean + 0.02 * rng.standard_normal(16000)
            for kind, wav in (("clean", clean), ("noisy", noisy)):
                path = folder / f"{kind}_{split}_wav" / f"{name}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, wav, 16000)
    return folder


def train(
    data_folder, output_folder, *flags, recipe="galdse_mini", **overrides
):
    """Run train.py on a recipe, made tiny; gives its variables."""
    script, yaml = RECIPE / "train.py", RECIPE / f"hparams/{recipe}.yaml"
    options = {
        "data_folder": data_folder,
        "output_folder": output_folder,
        **TINY,
        **overrides,
    }
    argv = [f"--{key}={value}" for key, value in options.items()]
    argv += ["--noprogressbar", *flags]
    with (
        mock.patch.object(sys, "argv", [str(script), str(yaml), *argv]),
        mock.patch.object(sys, "path", [str(RECIPE), *sys.path]),
        mock.patch.object(sys, "excepthook", sys.excepthook),
    ):
        return runpy.run_path(str(script), run_name="__main__")


def log_lines(run_folder):
    """Lines of the training log."""
    return (Path(run_folder) / "train_log.txt").read_text().splitlines()
