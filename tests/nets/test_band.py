"""The light networks: bands, causality, lengths, gradients, shared work."""

import pytest
import torch
from torch import nn

from galdse_brain.nets.band import (
    BINS,
    HIGH,
    LOW,
    BandDenoiser,
    BandGuidance,
    BandSplit,
)

SIZES = {"channels": 8, "hidden_size": 4}
AHEAD = 1  # Frames that a causal network hears beyond the one it gives.


def networks(causal=False):
    """A small guidance and denoiser whose outputs hang on all parameters."""
    guidance = BandGuidance(**SIZES, causal=causal)
    net = BandDenoiser(**SIZES, num_features=8, causal=causal)
    for layer in (net.body.out, net.body.fine_out):
        nn.init.normal_(layer.weight, std=0.1)
    return guidance.eval(), net.eval()


def one_call(guidance, net, y, x_t, step=5):
    """Mask, first estimate, and the denoiser's estimate."""
    found = guidance(y)
    t = torch.full((len(y),), step)
    estimate = net(x_t, t, net.condition(y, found))
    return found.mask, found.estimate, estimate


def test_low_bins_stay_and_high_bands_are_evenly_spaced_in_erb_numbers():
    split, x = BandSplit(), torch.randn(3, BINS)
    bands = split(x)
    assert torch.equal(bands[:, :LOW], x[:, :LOW])
    centres = split(torch.arange(BINS) * 16000 / 510)[LOW:]
    erb = 21.4 * torch.log10(1 + 0.00437 * centres)
    torch.testing.assert_close(
        erb.diff(), ((erb[-1] - erb[0]) / (HIGH - 1)).expand(HIGH - 1),
        atol=0.06, rtol=0,
    )  # fmt: skip


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("frames", [1, 2, 3, 8, 17])
@torch.no_grad()
def test_any_number_of_frames_comes_back(frames, causal):
    y, x_t = torch.randn(2, 2, 2, BINS, frames)
    mask, first, estimate = one_call(*networks(causal), y, x_t)
    assert mask.shape == (2, 1, BINS, frames)
    assert first.shape == estimate.shape == y.shape


@torch.no_grad()
def test_a_missing_last_frame_is_as_good_as_zeros():
    y = torch.randn(1, 2, BINS, 9)
    guidance, _ = networks()
    odd, even = guidance(y), guidance(nn.functional.pad(y, (0, 1)))
    torch.testing.assert_close(odd.mask, even.mask[..., :9])
    torch.testing.assert_close(odd.estimate, even.estimate[..., :9])
    torch.testing.assert_close(odd.features, even.features)


@pytest.mark.parametrize("changed", [6, 7, 12])
@torch.no_grad()
def test_a_causal_frame_depends_on_none_later_than_the_next(changed):
    y, x_t = torch.randn(2, 1, 2, BINS, 16)
    nets = networks(causal=True)
    before = one_call(*nets, y, x_t)
    y[..., changed:], x_t[..., changed:] = torch.randn(2)
    after = one_call(*nets, y, x_t)
    for old, new in zip(before, after):
        free = changed - AHEAD - (changed - AHEAD) % 2
        torch.testing.assert_close(
            old[..., :free], new[..., :free], atol=1e-6, rtol=1e-5
        )
        assert not torch.allclose(old[..., changed], new[..., changed])


@torch.no_grad()
def test_the_other_kind_hears_both_ways():
    y, x_t = torch.randn(2, 1, 2, BINS, 16)
    nets = networks()
    before = one_call(*nets, y, x_t)
    y[..., 15] += 1
    for old, new in zip(before, one_call(*nets, y, x_t)):
        assert not torch.allclose(old[..., 0], new[..., 0], atol=1e-7)


@pytest.mark.parametrize("cuts", [[8, 8], [2, 4, 10], [6, 6, 3]])
@torch.no_grad()
def test_a_causal_network_goes_on_where_it_ended(cuts):
    guidance, net = networks(causal=True)
    frames = sum(cuts)
    y, x_t = torch.randn(2, 1, 2, BINS, frames)
    whole = one_call(guidance, net, y, x_t)
    past, past_of_step, parts = {}, {}, []
    for y_i, x_i in zip(y.split(cuts, -1), x_t.split(cuts, -1)):
        found = guidance(y_i, past)
        cond = net.condition(y_i, found, past)
        estimate = net(x_i, torch.tensor([5]), cond, past_of_step)
        parts.append((found.mask, found.estimate, estimate))
    for one, pieces in zip(whole, zip(*parts)):
        torch.testing.assert_close(
            torch.cat(pieces, -1), one, atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_reach_all_parameters(causal):
    guidance, net = networks(causal)
    y, x_t = torch.randn(2, 2, 2, BINS, 8)
    *_, estimate = one_call(guidance.train(), net.train(), y, x_t)
    estimate.square().sum().backward()
    for part in (guidance, net):
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


def test_the_mask_turns_and_never_raises_a_bin():
    guidance, _ = networks()
    y = torch.randn(2, 2, BINS, 8)
    with torch.no_grad():
        mask, estimate, _ = guidance(y)
    gain = (estimate.norm(dim=1) / y.norm(dim=1)).square()
    assert (gain < 1).all() and (0 < mask).all() and (mask < 1).all()
    torch.testing.assert_close(gain, 1 - mask[:, 0], atol=1e-3, rtol=0)


def test_before_training_the_denoiser_returns_the_guidance():
    guidance, net = BandGuidance(**SIZES), BandDenoiser(**SIZES, num_features=8)
    y, x_t = torch.randn(2, 2, 2, BINS, 8)
    _, first, estimate = one_call(guidance, net, y, x_t)
    torch.testing.assert_close(estimate, first)


@torch.no_grad()
def test_items_of_a_batch_do_not_see_each_other():
    nets = networks()
    y, x_t = torch.randn(2, 3, 2, BINS, 8)
    batch, alone = one_call(*nets, y, x_t), one_call(*nets, y[1:2], x_t[1:2])
    for many, one in zip(batch, alone):
        torch.testing.assert_close(many[1:2], one, atol=1e-5, rtol=1e-4)


def test_other_numbers_of_bins_are_refused():
    with pytest.raises(ValueError, match="made for 256 bins, got 257"):
        BandGuidance(**SIZES)(torch.randn(1, 2, 257, 8))
