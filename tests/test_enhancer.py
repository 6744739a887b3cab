"""From waveform to waveform: exact lengths, levels, independent items."""

from types import SimpleNamespace

import pytest
import torch

from galdse_brain.enhancer import Enhancer, normalize
from galdse_brain.spec import SpecTransform

IDENTITY = SimpleNamespace(enhance=lambda y, randn_like: y)


@pytest.fixture
def identity():
    """An enhancer that changes nothing."""
    return Enhancer(IDENTITY, SpecTransform(alpha=0.5, beta=0.15))


@pytest.mark.parametrize("num_samples", [1, 2, 100, 8000, 192000, 600000])
def test_an_identity_system_gives_the_input_back(identity, num_samples):
    noisy = torch.rand(1, num_samples) * 2 - 1
    wavs, feats = identity(noisy)
    torch.testing.assert_close(wavs, noisy, atol=1e-5, rtol=0)
    assert len(feats) == 1 and feats[0].shape[:3] == (1, 2, 256)


@pytest.mark.parametrize("gain", [1e-4, 1.0, 100.0])
def test_output_follows_the_level_of_the_input(small_system, gain):
    enhancer = Enhancer(small_system, SpecTransform(alpha=0.5, beta=0.15))
    noisy = torch.randn(1, 2000)
    with torch.no_grad():
        expected, _ = enhancer(noisy, randn_like=torch.zeros_like)
        wavs, _ = enhancer(gain * noisy, randn_like=torch.zeros_like)
    torch.testing.assert_close(wavs / gain, expected, atol=1e-4, rtol=1e-3)


def test_silence_stays_silence(small_system):
    enhancer = Enhancer(small_system, SpecTransform(alpha=0.5, beta=0.15))
    with torch.no_grad():
        wavs, _ = enhancer(torch.zeros(2, 2000))
    assert torch.equal(wavs, torch.zeros(2, 2000))


def test_a_padded_item_equals_the_item_alone(small_system):
    torch.nn.init.normal_(small_system.net.conv_out.weight)
    torch.nn.init.normal_(small_system.net.decoder[0].to_output.weight)
    enhancer = Enhancer(small_system, SpecTransform(alpha=0.5, beta=0.15))
    noisy = torch.randn(3, 4000)
    lengths = torch.tensor([1.0, 0.5, 0.25])
    zeros = torch.zeros_like
    with torch.no_grad():
        wavs, feats = enhancer(noisy, lengths, zeros)
        for i, n in enumerate([4000, 2000, 1000]):
            alone, feat = enhancer(noisy[i : i + 1, :n], randn_like=zeros)
            torch.testing.assert_close(
                wavs[i, :n], alone[0], atol=1e-5, rtol=1e-4
            )
            torch.testing.assert_close(feats[i], feat[0])
            assert (wavs[i, n:] == 0).all()


def test_items_of_one_length_run_together():
    calls = []

    def enhance(y, randn_like):
        calls.append(len(y))
        return y

    spec = SpecTransform(alpha=0.5, beta=0.15)
    enhancer = Enhancer(SimpleNamespace(enhance=enhance), spec)
    enhancer(torch.randn(4, 1000), torch.tensor([1.0, 0.5, 1.0, 1.0]))
    assert sorted(calls) == [1, 3]


def test_clean_speech_is_divided_by_the_noisy_peak():
    noisy, clean = torch.randn(2, 3, 100)
    scaled_noisy, scaled_clean = normalize(noisy, clean)
    torch.testing.assert_close(scaled_noisy.abs().amax(1), torch.ones(3))
    torch.testing.assert_close(scaled_clean / scaled_noisy, clean / noisy)
