"""Streams of blocks: no delay, exact lengths, nothing read in advance."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galdse_brain.streams import first, mixed, resampled, resampled_length

RATES = [8000, 11025, 16000, 22050, 44100, 48000, 96000]
FEW = settings(max_examples=30, derandomize=True, deadline=None)


def joined(blocks):
    """One tensor (C, N) of all blocks."""
    return torch.cat(list(blocks), dim=-1)


@FEW
@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.sampled_from(RATES),
    st.sampled_from(RATES),
    st.integers(1, 8),
)
def test_blocks_of_any_size_give_the_same_samples(n, size, rate, new, channels):
    wav = torch.randn(channels, n)
    whole = joined(resampled([wav], rate, new, n))
    assert whole.shape == (channels, resampled_length(n, rate, new))
    parts = joined(resampled(wav.split(size, dim=-1), rate, new, n))
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("new", RATES)
@pytest.mark.parametrize("rate", RATES)
def test_a_tone_stays_in_its_place(rate, new):
    source, expected = (
        (2 * math.pi * 440 * torch.arange(r, dtype=torch.float64) / r).sin()
        for r in (rate, new)
    )
    found = joined(resampled([source[None].float()], rate, new, rate))[0]
    inside = slice(new // 40, -new // 40)
    torch.testing.assert_close(
        found[inside], expected[inside].float(), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("rate", RATES)
def test_a_round_trip_covers_the_length_that_came_in(rate):
    for n in range(1, 40):
        there = resampled_length(n, rate, 16000)
        assert there >= 1
        assert resampled_length(there, 16000, rate) >= n


def test_a_resampler_is_one_block_ahead_at_most():
    read = []

    def blocks():
        for i in range(100):
            read.append(i)
            yield torch.zeros(1, 4000)

    stream = resampled(blocks(), 44100, 16000, 400000)
    for i in range(1, 50):
        next(stream)
        assert len(read) == i


def test_equal_rates_hand_the_blocks_on():
    blocks = [torch.randn(2, 5), torch.randn(2, 3)]
    found = list(resampled(iter(blocks), 16000, 16000, 8))
    assert all(a is b for a, b in zip(found, blocks, strict=True))


@FEW
@given(st.integers(1, 300), st.integers(1, 50), st.integers(1, 50))
def test_a_mixture_is_exact_at_its_ends_and_linear_between(n, ours, theirs):
    enhanced, noisy = torch.randn(2, 2, n)

    def at(mix):
        blocks = [enhanced[:, :0], *enhanced.split(ours, dim=-1)]
        return joined(mixed(blocks, iter(noisy.split(theirs, dim=-1)), mix))

    assert torch.equal(at(0.0), enhanced)
    assert torch.equal(at(1.0), noisy)
    torch.testing.assert_close(at(0.25), 0.75 * enhanced + 0.25 * noisy)


@FEW
@given(st.integers(0, 60), st.integers(1, 50), st.integers(1, 20))
def test_the_first_samples_are_the_first_samples(wanted, n, size):
    wav = torch.randn(2, n)
    found = joined(first(wav.split(size, dim=-1), wanted))
    assert torch.equal(found, wav[:, :wanted])
