"""What several tests share: golden numbers and small objects."""

import json
import sys
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from speechbrain.utils.importutils import LazyModule

from galdse_brain.nets.guidance import GuidanceNet
from galdse_brain.nets.ncsnpp import NCSNpp
from galdse_brain.paths.bbed import BBED
from galdse_brain.paths.bridge_ve import BridgeVE
from galdse_brain.paths.ouve import OUVE
from galdse_brain.paths.residual_shift import ResidualShift
from galdse_brain.samplers import markov, walk
from galdse_brain.systems.galdse import GALDSE

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
    **SDES,
}


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
