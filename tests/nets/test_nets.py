"""The networks: counts, filters, initialisation, input untouched."""

import math

import pytest
import torch
from torch.nn import functional

from galdse_brain.nets.blocks import (
    Attention,
    Downsample,
    StepEmbedding,
    Upsample,
)
from galdse_brain.nets.guidance import GuidanceNet
from galdse_brain.nets.ncsnpp import NCSNpp


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts_are_the_published_ones(closed_forms):
    expected = closed_forms["params"]
    guidance, net = count(GuidanceNet()), count(NCSNpp())
    assert guidance == expected["MagMask"]
    assert net == expected["TinyNCSNpp"]
    assert guidance + net == expected["GALDSE_total"]


def dense_filter(x, gain):
    """The filter [1, 3, 3, 1] in both axes on padded input."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]).double()
    kernel = gain * torch.outer(taps, taps) / 64
    return functional.conv2d(x.transpose(0, 1), kernel[None, None]).transpose(
        0, 1
    )


def test_downsampling_is_filtering_and_dropping_every_other():
    x = torch.randn(1, 3, 8, 12).double()
    expected = dense_filter(functional.pad(x, (1, 1, 1, 1)), 1)[..., ::2, ::2]
    torch.testing.assert_close(Downsample(3).double()(x), expected)


def test_upsampling_is_inserting_zeros_and_filtering():
    x = torch.randn(1, 3, 4, 6).double()
    spread = torch.zeros(1, 3, 8, 12).double()
    spread[..., ::2, ::2] = x
    expected = dense_filter(functional.pad(spread, (2, 1, 2, 1)), 4)
    torch.testing.assert_close(Upsample().double()(x), expected)


def test_resampled_constants_fade_at_the_borders_only():
    ones = torch.ones(1, 1, 8, 8)
    down, up = Downsample(1)(ones)[0, 0], Upsample()(ones)[0, 0]
    assert down[0, 0] == 0.765625 and down[0, 1] == 0.875 and down[1, 1] == 1
    assert up[0, 0] == 0.5625 and up[0, 1] == 0.75 and up[1, 1] == 1


def test_step_features_are_sines_then_cosines():
    embedding = StepEmbedding(32)
    embedding.layers = torch.nn.Identity()
    features = embedding(torch.tensor([3]))[0].tolist()
    angles = [3 * 10000 ** (-k / 15) for k in range(16)]
    assert features[:16] == pytest.approx(list(map(math.sin, angles)))
    assert features[16:] == pytest.approx(list(map(math.cos, angles)))


def test_attention_is_a_softmax_over_all_positions():
    attention = Attention(16)
    torch.nn.init.normal_(attention.out.weight)
    x = torch.randn(2, 16, 4, 6)
    h = attention.norm(x)
    q, k, v = (
        layer(h).flatten(2)
        for layer in (attention.query, attention.key, attention.value)
    )
    weights = torch.softmax(torch.einsum("bci,bcj->bij", q, k) / 4, dim=-1)
    h = torch.einsum("bij,bcj->bci", weights, v).view(x.shape)
    expected = (x + attention.out(h)) / 2**0.5
    torch.testing.assert_close(attention(x), expected, atol=1e-5, rtol=1e-5)


def test_untrained_net_returns_the_bias_of_its_last_layer():
    net = NCSNpp(channels=8)
    x, cond = torch.randn(2, 2, 32, 16), torch.randn(2, 3, 32, 16)
    output = net(x, torch.tensor([0, 5]), cond)
    bias = net.conv_out.bias.view(1, 2, 1, 1)
    torch.testing.assert_close(
        output, bias.expand_as(output), atol=1e-4, rtol=0
    )


def test_inputs_are_left_as_they_were():
    x, cond = torch.randn(1, 2, 32, 16), torch.rand(1, 3, 32, 16)
    before = x.clone(), cond.clone()
    NCSNpp(channels=8)(x, torch.tensor([1]), cond)
    GuidanceNet(hidden_size=4)(x)
    assert torch.equal(x, before[0]) and torch.equal(cond, before[1])


def test_a_size_that_cannot_be_halved_is_refused():
    x, cond = torch.randn(1, 2, 32, 12), torch.rand(1, 3, 32, 12)
    with pytest.raises(ValueError, match=r"multiples of 8, got \(32, 12\)"):
        NCSNpp(channels=8)(x, torch.tensor([1]), cond)
    with pytest.raises(ValueError, match="multiple of 4, got 30"):
        GuidanceNet(hidden_size=4)(torch.randn(1, 2, 30, 8))


def test_items_of_a_batch_do_not_see_each_other():
    net, guidance = NCSNpp(channels=8), GuidanceNet(hidden_size=4).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x, cond = torch.randn(3, 2, 32, 16), torch.rand(3, 3, 32, 16)
    t = torch.tensor([0, 3, 5])
    batch, alone = net(x, t, cond), net(x[1:2], t[1:2], cond[1:2])
    torch.testing.assert_close(batch[1:2], alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(guidance(x).mask[1:2], guidance(x[1:2]).mask)
