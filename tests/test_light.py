"""The light GALD-SE as a system: steps, level, pieces, shared work."""

import runpy

import pytest
import torch
from conftest import ROOT
from hyperpyyaml import load_hyperpyyaml
from torch import nn

from galdse_brain.cost import network_calls
from galdse_brain.enhancer import Enhancer
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.nets.band import BandDenoiser, BandGuidance
from galdse_brain.objectives import NegSNR, Objective
from galdse_brain.pieces import Pieces
from galdse_brain.systems.galdse import GALDSE

SMALL = """
guidance_channels: 8
guidance_hidden: 4
channels: 8
hidden_size: 4
"""
SHAPE = 2, 2, 256, 16


def built(name="galdse_light", overrides=SMALL):
    """Parts of a model file, small, whose denoiser says something."""
    with open(ROOT / "hparams" / f"{name}.yaml", encoding="utf-8") as file:
        parts = load_hyperpyyaml(file, overrides)
    torch.manual_seed(1)
    body = parts["system"].net.body
    for layer in (body.out, body.fine_out):
        nn.init.normal_(layer.weight, std=0.1)
    parts["system"].eval()
    return parts


@pytest.fixture
def parts():
    """A small light system and what is around it."""
    return built()


def test_the_light_model_has_the_size_that_it_is_known_by():
    parts = built(overrides="")
    assert sum(p.numel() for p in parts["system"].parameters()) == 316346


def test_what_steps_share_is_computed_once_and_the_network_each_step(parts):
    enhancer = Enhancer(parts["system"], parts["spec"], parts["pieces"])
    once = {"guidance": 1, "net.known": 1, "net.features": 1}
    assert network_calls(enhancer) == {**once, "net": 1}
    enhancer.num_steps = 6
    assert network_calls(enhancer) == {**once, "net": 6}
    enhancer.num_steps = 0
    assert network_calls(enhancer) == {"guidance": 1}


@torch.no_grad()
def test_no_step_is_the_guidance_alone(parts):
    system, y = parts["system"], torch.randn(SHAPE)
    alone = system.guidance(y).estimate
    assert torch.equal(system.enhance(y, num_steps=0), alone)
    assert torch.equal(system.enhance_by_mask(y), alone)
    assert not torch.allclose(system.enhance(y, torch.zeros_like), alone)


@torch.no_grad()
def test_one_step_is_the_default_and_more_are_to_be_had(parts):
    system, y = parts["system"], torch.randn(SHAPE)
    one, own, six = (
        system.enhance(y, torch.zeros_like, n) for n in (1, None, 6)
    )
    assert torch.equal(one, own) and not torch.allclose(one, six)
    with pytest.raises(ValueError, match="num_steps .* 1 to 6.* got 7"):
        system.enhance(y, num_steps=7)


def losses(system):
    """Of one pass, with an objective for both stages."""
    spec = parts_spec()
    objective = Objective(
        spec, {"mse": nn.MSELoss()}, {"snr": NegSNR()},
        {"guidance": Objective(spec, {}, {"snr": NegSNR()})},
    )  # fmt: skip
    x_0, y = torch.randn(2, *SHAPE)
    return system.train()(x_0, y, objective)


def parts_spec():
    """The transform of the light model."""
    return built()["spec"]


@pytest.mark.parametrize("joint", [True, False])
def test_the_denoiser_trains_the_guidance_if_they_learn_together(parts, joint):
    system = parts["system"]
    system.joint = joint
    found = losses(system)
    assert found.keys() == {"guidance_snr", "mse", "snr"}
    found["mse"].backward()
    moved = [p.grad is not None for p in system.guidance.parameters()]
    assert all(moved) if joint else not any(moved)


def test_features_of_another_size_are_refused_with_both_names(parts):
    old = parts["system"]
    net = BandDenoiser(8, 4, num_features=16)
    with pytest.raises(
        ValueError, match="BandGuidance gives BandDenoiser 8 .* made for 16"
    ):
        GALDSE(old.path, BandGuidance(8, 4), net, old.sampler)


def test_the_level_is_not_divided_out(parts):
    noisy = torch.randn(2, 1, 400)
    assert torch.equal(parts["spec"].scale(noisy[0]), torch.ones(1, 1))
    a, b = parts["spec"].normalize(*noisy)
    assert torch.equal(a, noisy[0]) and torch.equal(b, noisy[1])


@torch.no_grad()
def test_silence_stays_silent_and_one_sample_is_enough(parts):
    enhancer = Enhancer(parts["system"], parts["spec"], parts["pieces"])
    for samples in (1, 300, 5000):
        wavs, _ = enhancer(torch.zeros(1, samples))
        assert torch.equal(wavs, torch.zeros(1, samples))
        assert enhancer(torch.ones(1, samples))[0].isfinite().all()


def test_times_of_training_are_half_uniform_and_half_at_the_end(parts):
    path = parts["path"]
    path.last_share = 0.4
    t = path.sample_time(torch.zeros(60000, 1))
    shares = torch.bincount(t, minlength=7) / len(t)
    expected = torch.tensor([0, *[0.1] * 5, 0.5])
    torch.testing.assert_close(shares, expected, atol=0.01, rtol=0)


def first_script(state, tool, order):
    """A network's weights as the first script for light systems had them."""
    layers = {ours: theirs for theirs, ours in tool["BODY"].items()}
    paths = {ours: theirs for theirs, ours in tool["PATH"].items()}
    found = {}
    for name, value in state.items():
        layer, _, leaf = name.removeprefix("body.").rpartition(".")
        block = layer.removeprefix("blocks.")
        if layer in layers:
            found[f"{layers[layer]}.{leaf}"] = value
        elif block != layer:
            number, _, part = block.partition(".")
            found[f"path.{number}.{paths[part]}.{leaf}"] = value
    known, *_ = order
    join = [state.get("body.join.weight"), state.get("features.weight")]
    for kind, theirs, more in (("coarse", "e1", []), ("fine", "fine1", None)):
        more = [state["body.fine_in.weight"]] if more is None else more
        planes = [state[f"{name}.{kind}.weight"] for name in reversed(order)]
        found[f"{theirs}.conv.weight"] = torch.cat([*more, *planes], 1)
        found[f"{theirs}.conv.bias"] = state[f"{known}.{kind}.bias"]
    if join[0] is not None:
        found["join.weight"] = torch.cat(join, 1)
        found["join.bias"] = state["features.bias"]
        steps = state["step.weight"]
        found["time.weight"] = torch.cat([torch.zeros_like(steps[:1]), steps])
    return found


def test_weights_of_the_first_script_become_ours_and_nothing_is_left_over():
    tool = runpy.run_path(str(ROOT / "tools" / "convert_light.py"))
    system = built(overrides="")["system"]
    guidance = first_script(system.guidance.state_dict(), tool, ["planes"])
    net = first_script(system.net.state_dict(), tool, ["known", "state"])
    theirs = {f"guidance.body.{k}": v for k, v in guidance.items()}
    theirs |= {f"denoiser.body.{k}": v for k, v in net.items()}
    found = tool["converted"](theirs, beta=1)
    assert found.keys() == system.state_dict().keys()
    for name, value in system.state_dict().items():
        assert torch.equal(found[name], value), name
    # Their spectrograms were not scaled.
    scaled = tool["converted"](theirs, beta=0.5)
    weight = system.guidance.planes.coarse.weight
    assert torch.equal(scaled["guidance.planes.coarse.weight"], 2 * weight)


def test_pieces_of_the_packaged_model_are_near_one_pass():
    """By 30 dB where a voice is synthetic, and in level by 0.05 dB."""
    from recipe_runs import voice

    model = GALDSEEnhancement.from_hparams("light")
    enhancer = model.mods.enhance_model
    noisy = torch.from_numpy(voice(150, 192000)).float()
    noisy += 0.02 * torch.randn(len(noisy))
    enhancer.pieces = enhancer.pieces.scaled(64256, 128, 2)
    in_pieces = model.enhance_waveform(noisy, 16000)
    enhancer.pieces = Pieces(num_samples=len(noisy), overlap=0)
    whole = model.enhance_waveform(noisy, 16000)
    error = (in_pieces - whole).square().sum() / whole.square().sum()
    assert -10 * torch.log10(error) > 30
    level = (in_pieces @ whole) / (whole @ whole)
    assert abs(20 * torch.log10(level)) < 0.05


@pytest.mark.parametrize("samples", [700, 9000, 40001])
@pytest.mark.parametrize("steps", [0, 1, 3])
@torch.no_grad()
def test_a_causal_system_gives_the_same_however_a_recording_is_cut(
    samples, steps
):
    small = SMALL.strip().replace("\n", ", ")
    parts = built("galdse_live", f"light: {{{small}}}")
    enhancer = Enhancer(parts["system"], parts["spec"], parts["pieces"])
    noisy = 0.3 * torch.randn(2, samples)
    whole, _ = enhancer(noisy, num_steps=steps)
    for size, context in ((2048, 1024), (6400, 1024), (9984, 1280)):
        enhancer.pieces = Pieces(size, 0, context).checked()
        cut, _ = enhancer(noisy, num_steps=steps)
        torch.testing.assert_close(cut, whole, atol=1e-5, rtol=0)
    # In one piece it is what the system makes of the whole spectrogram.
    y = parts["spec"](noisy)
    x_0 = parts["system"].enhance(y, enhancer._randn_like(0, [0, 0]), steps)
    plain = parts["spec"].inverse(x_0, samples)
    torch.testing.assert_close(whole, plain, atol=1e-5, rtol=0)
