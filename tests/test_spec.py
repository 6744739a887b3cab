"""The transform undoes itself and follows its formula."""

import pytest
import torch

from galdse_brain.spec import SpecTransform

LENGTHS = [1, 2, 127, 128, 129, 255, 1000, 8000, 32640, 192000]


@pytest.mark.parametrize("num_samples", LENGTHS)
@pytest.mark.parametrize("alpha, beta", [(0.5, 0.5), (0.76, 0.15), (1.0, 1.0)])
def test_inverse_returns_every_sample(num_samples, alpha, beta):
    spec = SpecTransform(alpha=alpha, beta=beta)
    wav = torch.rand(2, num_samples) * 2 - 1
    back = spec.inverse(spec(wav), num_samples)
    torch.testing.assert_close(back, wav, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "alpha, beta, expected",
    [
        (0.5, 0.5, 0.670820 + 0.894427j),
        (0.76, 0.15, 0.305816 + 0.407754j),
        (0.5, 0.15, 0.201246 + 0.268328j),
    ],
)
def test_compression_of_a_pythagorean_bin(alpha, beta, expected):
    spec = SpecTransform(alpha=alpha, beta=beta)
    compressed = spec.compress(torch.full((1, 1, 1), 3 + 4j)).flatten()
    assert compressed.tolist() == pytest.approx(
        [expected.real, expected.imag], abs=1e-6
    )


def test_a_training_crop_has_256_frames():
    assert SpecTransform(alpha=0.5, beta=0.5).num_frames(32640) == 256


def test_frames_are_a_multiple_of_the_stride():
    spec = SpecTransform(alpha=0.5, beta=0.5, frame_multiple=8)
    for num_samples in LENGTHS:
        frames = spec(torch.randn(1, num_samples)).shape[-1]
        assert frames % 8 == 0
        assert (frames - 8 - 1) * spec.hop_length < num_samples


def test_gradients_are_finite_on_silence():
    spec = SpecTransform(alpha=0.76, beta=0.15)
    wav = torch.zeros(1, 1000, requires_grad=True)
    spec.inverse(spec(wav)).sum().backward()
    assert wav.grad.isfinite().all()


def test_half_precision_spectrograms_are_inverted():
    spec = SpecTransform(alpha=0.5, beta=0.5)
    wav = torch.randn(1, 1000)
    back = spec.inverse(spec(wav).bfloat16(), 1000)
    assert back.dtype == torch.float32
    torch.testing.assert_close(back, wav, atol=0.1, rtol=0)


def test_an_empty_waveform_is_refused():
    with pytest.raises(ValueError, match="at least one sample, got 0"):
        SpecTransform(alpha=0.5, beta=0.5)(torch.zeros(1, 0))


@pytest.mark.parametrize("alpha, beta", [(0, 0.5), (1.1, 0.5), (0.5, -1)])
def test_a_compression_outside_its_range_is_refused(alpha, beta):
    with pytest.raises(ValueError, match="must"):
        SpecTransform(alpha=alpha, beta=beta)
