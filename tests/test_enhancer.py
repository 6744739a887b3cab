"""From waveform to waveform: exact lengths, levels, independent items."""

import pytest
import torch

from galdse_brain.enhancer import Enhancer
from galdse_brain.pieces import Pieces
from galdse_brain.spec import SpecTransform

SPEC = SpecTransform(alpha=0.5, beta=0.15)


class Recording(torch.nn.Module):
    """A system that changes nothing and remembers what it was asked."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def enhance(self, y, randn_like, num_steps):
        self.calls.append((tuple(y.shape), num_steps))
        return y


@pytest.fixture
def identity():
    """An enhancer that changes nothing."""
    return Enhancer(Recording(), SPEC)


@pytest.fixture
def enhancer(small_system):
    """An untrained enhancer whose output depends on all of its input."""
    torch.nn.init.normal_(small_system.net.conv_out.weight)
    for level in small_system.net.decoder:
        torch.nn.init.normal_(level.to_output.weight, std=0.1)
    return Enhancer(small_system, SPEC).requires_grad_(False)


@pytest.mark.parametrize("num_samples", [1, 2, 100, 8000, 192000, 600000])
def test_an_identity_system_gives_the_input_back(identity, num_samples):
    noisy = torch.rand(1, num_samples) * 2 - 1
    wavs, feats = identity(noisy)
    torch.testing.assert_close(wavs, noisy, atol=1e-5, rtol=0)
    torch.testing.assert_close(feats, SPEC(wavs))


@pytest.mark.parametrize("gain", [1e-4, 1.0, 100.0])
def test_output_follows_the_level_of_the_input(enhancer, gain):
    noisy = torch.randn(1, 2000)
    expected, _ = enhancer(noisy)
    wavs, _ = enhancer(gain * noisy)
    error = (wavs / gain - expected).norm() / expected.norm()
    assert error < 1e-4


def test_silence_stays_silence(enhancer):
    wavs, _ = enhancer(torch.zeros(2, 2000))
    assert torch.equal(wavs, torch.zeros(2, 2000))


def test_a_padded_item_equals_the_item_alone(enhancer):
    enhancer.pieces = Pieces(3000, 1000)
    noisy = torch.randn(4, 8000)
    samples = [8000, 2000, 1990, 1]
    wavs, _ = enhancer(noisy, torch.tensor(samples) / 8000)
    for i, n in enumerate(samples):
        alone, _ = enhancer(noisy[i : i + 1, :n])
        error = (wavs[i, :n] - alone[0]).norm() / alone.norm()
        assert error < 1e-4  # of rounding, through six untrained steps
        assert (wavs[i, n:] == 0).all()


def test_items_with_equally_many_frames_run_together(identity):
    samples = torch.tensor([8000, 1000, 7999, 890])
    identity(torch.randn(4, 8000), samples / 8000)
    shapes = [shape[::3] for shape, _ in identity.system.calls]
    assert sorted(shapes) == [(1, 8), (1, 16), (2, 64)]


def test_a_long_item_runs_in_pieces_several_at_once(identity):
    identity.pieces = Pieces(7 * 128, 128, at_once=3)
    identity(torch.randn(1, 10000))
    shapes = [shape for shape, _ in identity.system.calls]
    assert shapes == [(3, 2, 256, 8)] * 4 + [(1, 2, 256, 8)]


def test_the_number_of_steps_reaches_the_system(identity):
    identity(torch.randn(1, 1000), num_steps=3)
    identity(torch.randn(1, 1000))
    identity.num_steps = 2
    identity(torch.randn(1, 1000))
    identity(torch.randn(1, 1000), num_steps=3)
    calls = [steps for _, steps in identity.system.calls]
    assert calls == [3, None, 2, 3]


def test_the_seed_decides_and_the_global_state_does_not(enhancer):
    noisy = torch.randn(1, 3000)
    first, _ = enhancer(noisy)
    torch.manual_seed(99)
    again, _ = enhancer(noisy)
    other, _ = enhancer(noisy, seed=1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_a_seed_noise_is_drawn(enhancer):
    noisy = torch.randn(1, 3000)
    first, _ = enhancer(noisy, seed=None)
    again, _ = enhancer(noisy, seed=None)
    assert not torch.equal(first, again)


def test_gradients_reach_weights_and_waveform(enhancer):
    enhancer.requires_grad_(True)
    noisy = torch.randn(1, 3000, requires_grad=True)
    wavs, _ = enhancer(noisy)
    wavs.square().sum().backward()
    assert noisy.grad.isfinite().all() and noisy.grad.any()
    grads = [p.grad for p in enhancer.system.net.parameters()]
    assert all(g is not None and g.isfinite().all() for g in grads)


def test_training_mode_changes_neither_output_nor_statistics(enhancer):
    noisy = torch.randn(2, 3000)
    expected, _ = enhancer.eval()(noisy)
    before = {name: b.clone() for name, b in enhancer.named_buffers()}
    wavs, _ = enhancer.train()(noisy)
    assert torch.equal(wavs, expected)
    assert all(torch.equal(b, before[n]) for n, b in enhancer.named_buffers())
    # What cuDNN asks of a recurrence that gradients go through
    assert enhancer.system.guidance.recurrence[0].time.rnn.training


def test_a_new_enhancer_computes_as_in_evaluation(small_system):
    noisy = torch.randn(1, 3000)
    enhancer = Enhancer(small_system.train(), SPEC)
    fresh, _ = enhancer(noisy)
    expected, _ = enhancer.eval()(noisy)
    assert torch.equal(fresh, expected)


@pytest.mark.parametrize("strict", [True, False])
def test_weights_that_do_not_fit_are_refused(enhancer, strict):
    state = enhancer.state_dict()
    state["system.stranger"] = state.pop("system.net.conv_out.bias")
    with pytest.raises((ValueError, RuntimeError)) as caught:
        enhancer.load_state_dict(state, strict=strict)
    assert "system.net.conv_out.bias" in str(caught.value)
    assert "system.stranger" in str(caught.value)


def test_clean_speech_is_divided_by_the_noisy_peak():
    noisy, clean = torch.randn(2, 3, 100)
    spec = SpecTransform(alpha=0.5, beta=0.5)
    scaled_noisy, scaled_clean = spec.normalize(noisy, clean)
    torch.testing.assert_close(scaled_noisy.abs().amax(1), torch.ones(3))
    torch.testing.assert_close(scaled_clean / scaled_noisy, clean / noisy)
