"""What several tests share: golden numbers and small objects."""

import json
import os
import sys
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hyperpyyaml import load_hyperpyyaml, resolve_references
from speechbrain.utils.importutils import LazyModule
from torch import nn

from galdse_brain.enhancer import Enhancer
from galdse_brain.export import write_folder
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.nets.guidance import Guidance, GuidanceNet
from galdse_brain.nets.ncsnpp import NCSNpp
from galdse_brain.paths.bbed import BBED
from galdse_brain.paths.bridge_ve import BridgeVE
from galdse_brain.paths.ouve import OUVE
from galdse_brain.paths.residual_shift import ResidualShift
from galdse_brain.recipe import read_recipe
from galdse_brain.samplers import markov, walk
from galdse_brain.spec import SpecTransform
from galdse_brain.systems.galdse import GALDSE

CPU = {"device": "cpu"}
TINY_MODEL = """
hidden_size: 4
channels: 8
multipliers: [1, 1, 1, 1]
"""
TINY_LIGHT = """
guidance_channels: 8
guidance_hidden: 4
channels: 8
hidden_size: 4
"""
ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
sys.path.append(str(GOLDEN))
# The paths under their names in closed_forms.json.
SDES = {
    "ouve_16k": partial(OUVE, 1.5, 0.05, 0.5),
    "ouve_48k": partial(OUVE, 2.0, 0.1, 1.0),
    "bbed_052": partial(BBED, 2.6, 0.52),
    "bbed_051": partial(BBED, 2.6, 0.51),
    "sbve": partial(BridgeVE, 2.6, 0.4),
}
PATHS = {
    "resshift_default": partial(ResidualShift, 0.5, 0.39, 0.005),
    "resshift_finetune": partial(ResidualShift, 0.1, 0.39, 0.006),
    "resshift_issue1": partial(ResidualShift, 0.3, 0.39, 0.003),
    **SDES,
}


def write(path, num_samples=600, rate=16000, **how):
    """A file of quiet noise, always the same for a length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(num_samples)
    noise = 0.1 * torch.randn(num_samples, generator=generator)
    soundfile.write(path, noise.numpy(), rate, **how)
    return path


class FixedMask(nn.Module):
    """A guidance whose mask is what it is told."""

    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def forward(self, y):
        mask = self.mask.expand(len(y), 1, *y.shape[2:])
        return Guidance(mask, (1 - mask) * y)


def pytest_configure():
    """One thread: equal sums in this process and in those that tests start."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems():
    """Hypothesis asks all modules for their file; lazy ones would import."""
    for module in [
        m for m in sys.modules.values() if isinstance(m, LazyModule)
    ]:
        vars(module).setdefault("__file__", None)


@pytest.fixture(autouse=True)
def seeded():
    """Every test draws the same random numbers."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def golden():
    """What the published network computes."""
    with np.load(GOLDEN / "cases.npz") as cases:
        return {name: torch.from_numpy(cases[name]) for name in cases.files}


@pytest.fixture(scope="session")
def closed_forms():
    """Schedules and counts in float64."""
    return json.loads((GOLDEN / "closed_forms.json").read_text())


@pytest.fixture
def published_content():
    """What a published file holds, free to be changed."""
    from weights import official_checkpoint

    return deepcopy(official_checkpoint())


@pytest.fixture
def path():
    """The path of the published command line."""
    return ResidualShift(kappa=0.5, power=0.39, min_noise_level=0.005)


@pytest.fixture
def small_system(path):
    """GALD-SE with little networks, in evaluation mode."""
    guidance, net = GuidanceNet(hidden_size=4), NCSNpp(channels=8)
    return GALDSE(path, guidance, net, partial(walk, keep=markov)).eval()


def waken(enhancer):
    """Replace the zeros that an untrained network ends in."""
    torch.manual_seed(0)
    for parameter in enhancer.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=1.0)
    return enhancer.eval()


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A folder that ``from_hparams`` loads, with tiny networks."""
    return model_folder(tmp_path_factory, "galdse", TINY_MODEL)


@pytest.fixture(scope="session")
def light_folder(tmp_path_factory):
    """The same of a light model."""
    return model_folder(tmp_path_factory, "galdse_light", TINY_LIGHT)


def model_folder(tmp_path_factory, name, values):
    """A folder of the model file ``name`` with other values."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    recipe = read_recipe(ROOT / "hparams" / f"{name}.yaml", values)
    yaml = resolve_references(recipe).getvalue()
    parts = load_hyperpyyaml(yaml)
    enhancer = Enhancer(parts["system"], parts["spec"], parts["pieces"])
    waken(enhancer)
    noise = 0.1 * torch.randn(8000, generator=torch.Generator().manual_seed(1))
    soundfile.write(folder / "noisy.wav", noise.numpy(), 16000)
    about = {
        "training_data": "8 pairs of `corpus`",
        "epoch": 3,
        "selection_metric": "pesq",
        "loss_weights": {"spec_mse": 1.0},
        "losses": ["spec_mse"],
    }
    out = folder / "exported"
    return write_folder(out, yaml, enhancer, about, folder / "noisy.wav")


class Unchanged(torch.nn.Module):
    """A system that changes nothing, for what is around it."""

    def enhance(self, y, randn_like, num_steps):
        """The spectrogram as it is."""
        return y


def make_unchanged():
    """An interface to a model that changes nothing."""
    enhancer = Enhancer(Unchanged(), SpecTransform(alpha=0.5, beta=0.5))
    modules, hparams = {"enhance_model": enhancer}, {"sample_rate": 16000}
    return GALDSEEnhancement(modules, hparams, run_opts=CPU)


@pytest.fixture
def unchanged():
    """See ``make_unchanged``."""
    return make_unchanged()


@pytest.fixture
def tiny(exported):
    """The tiny model of the exported folder."""
    return GALDSEEnhancement.from_hparams(exported, run_opts=CPU)
