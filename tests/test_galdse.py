"""GALD-SE: the mask shapes the noise and learns from its own loss alone."""

import pytest
import torch
from conftest import FixedMask
from torch import nn

from galdse_brain.nets.ncsnpp import NCSNpp
from galdse_brain.objectives import NegSISNR, Objective
from galdse_brain.spec import SpecTransform

SHAPE = (2, 2, 16, 16)


def spectrogram_error():
    return Objective(
        SpecTransform(alpha=0.5, beta=0.5), {"spec_mse": nn.MSELoss()}, {}
    )


def test_guidance_learns_from_its_own_loss_alone(small_system):
    x_0, y = torch.randn(2, *SHAPE)
    losses = small_system(x_0, y, spectrogram_error())
    losses["spec_mse"].backward()
    assert all(p.grad is None for p in small_system.guidance.parameters())
    losses = small_system(x_0, y, spectrogram_error())
    losses["guidance"].backward()
    assert all(p.grad is not None for p in small_system.guidance.parameters())


@pytest.mark.parametrize("silent", [slice(0, 1), slice(0, 2)])
def test_silent_crops_train_without_nan(small_system, silent):
    spec = SpecTransform(alpha=0.5, beta=0.5)
    clean, noise = torch.randn(2, 2, 1920)
    noisy = clean + noise
    noisy[silent] = clean[silent] = 0
    noisy, clean = spec.normalize(noisy, clean)
    objective = Objective(spec, {"mse": nn.MSELoss()}, {"si": NegSISNR()})
    losses = small_system.train()(spec(clean), spec(noisy), objective)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad.isfinite().all() for p in small_system.parameters())


def test_zero_mask_makes_sampling_independent_of_the_noise(small_system):
    small_system.guidance = FixedMask(torch.zeros(1, 1, 1, 1))
    nn.init.normal_(small_system.net.decoder[-1].to_output.weight)
    y = torch.randn(SHAPE)
    with torch.no_grad():
        first, second = small_system.enhance(y), small_system.enhance(y)
        assert torch.equal(first, second)
        small_system.guidance = FixedMask(torch.ones(1, 1, 1, 1))
        assert not torch.equal(small_system.enhance(y), first)


def test_mask_scales_the_noise_and_nothing_else(small_system):
    x_0, y = torch.randn(2, *SHAPE)
    t = torch.tensor([2, 6])
    mean, std = small_system.path.marginal(x_0, y, t)
    mask = torch.rand(2, 1, 16, 16)
    x_t = small_system.diffuse(x_0, y, t, mask, randn_like=torch.ones_like)
    torch.testing.assert_close(x_t - mean, (std * mask).expand_as(y))
    zero = torch.zeros_like(mask)
    assert torch.equal(small_system.diffuse(x_0, y, t, zero), mean)


def test_fine_tuning_noise_is_nowhere_smaller(small_system):
    x_0, y = torch.zeros(2, *SHAPE)
    t, mask = torch.tensor([3, 4]), torch.rand(2, 1, 16, 16)
    ones = torch.ones_like
    plain = small_system.diffuse(x_0, y, t, mask, ones)
    small_system.mask_exponent = 0.5
    harder = small_system.diffuse(x_0, y, t, mask, ones)
    assert (harder >= plain).all()


def test_network_sees_speech_presence_and_steps_from_zero(small_system):
    seen = []

    class Spy(nn.Module):
        condition = NCSNpp.condition

        def forward(self, x_t, t, cond):
            seen.append((t, cond))
            return x_t

    small_system.net = Spy()
    small_system.guidance = FixedMask(torch.full((1, 1, 1, 1), 0.25))
    y = torch.randn(SHAPE)
    small_system.enhance(y)
    assert [t.tolist() for t, _ in seen] == [[i, i] for i in range(5, -1, -1)]
    for _, cond in seen:
        assert torch.equal(cond[:, :2], y)
        assert (cond[:, 2] == 0.75).all()


def test_the_control_is_the_masked_spectrogram(small_system):
    y = torch.randn(SHAPE)
    small_system.guidance = FixedMask(torch.rand(1, 1, 16, 16))
    expected = (1 - small_system.noise_mask(y)) * y
    assert torch.equal(small_system.enhance_by_mask(y), expected)


def test_noisy_input_is_left_as_it_was(small_system):
    y = torch.randn(SHAPE)
    before = y.clone()
    small_system.enhance(y)
    small_system(torch.randn(SHAPE), y, spectrogram_error())
    assert torch.equal(y, before)
