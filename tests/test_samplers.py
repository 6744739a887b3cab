"""The walk of GALD-SE; what holds for every path is in test_identities."""

import pytest
import torch

from galdse_brain.samplers import (
    deterministic,
    markov,
    step,
    walk,
)

SHAPE = (1, 2, 16, 16)


def test_drawn_states_have_the_published_spread(path):
    """x_t from its marginal, then the posterior, 131072 draws."""
    x_0, y = torch.zeros(2, 1, 2, 256, 256)
    expected = [0.00000625, 0.001770, 0.010210, 0.036267, 0.101478]
    for t, variance in enumerate(expected, start=2):
        t, u = torch.tensor([t]), torch.tensor([t - 1])
        x_t = path.marginal(x_0, y, t)[1] * torch.randn_like(y)
        noise = torch.randn_like(y)
        x_u = step(path, x_t, x_0, y, t, u, markov, noise)
        assert x_u.var().item() == pytest.approx(variance, rel=0.02)


def test_network_is_called_at_six_to_one(path):
    calls = []

    def estimate(x_t, t):
        calls.append(t.tolist())
        return x_t

    walk(path, estimate, torch.randn(2, 2, 8, 8), markov)
    assert calls == [[t, t] for t in (6, 5, 4, 3, 2, 1)]


def test_share_of_noisy_speech_falls_with_the_schedule(path):
    """Along the oracle's chain y weighs eta_t / eta_T."""
    y, x_0 = torch.ones(SHAPE), torch.zeros(SHAPE)
    seen = []

    def oracle(x_t, t):
        seen.append(x_t.mean().item())
        return x_0

    walk(path, oracle, y, markov, randn_like=torch.zeros_like)
    expected = [1, 0.414153, 0.148012, 0.041670, 0.007223, 0.0000255]
    assert seen == pytest.approx(expected, abs=1e-6)


def test_deterministic_rule_draws_nothing_after_the_prior(path):
    x_t, y = torch.randn(2, *SHAPE)
    t, u = torch.tensor([6]), torch.tensor([5])
    args = (path, x_t, 0.5 * y, y, t, u, deterministic)
    first = step(*args, torch.randn(SHAPE))
    second = step(*args, torch.randn(SHAPE))
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)


def test_zero_noise_makes_two_walks_equal(path):
    y = torch.randn(SHAPE)
    walks = [
        walk(path, lambda x, t: 0.5 * x, y, markov, randn_like=torch.zeros_like)
        for _ in range(2)
    ]
    assert torch.equal(*walks)


def test_halved_noise_halves_the_spread_of_the_prior(path):
    y = torch.randn(SHAPE)
    seen = {}
    for scale in (1.0, 0.5):
        noise = torch.ones(SHAPE) * scale

        def estimate(x_t, t, scale=scale):
            seen.setdefault(scale, x_t - y)
            return x_t

        walk(path, estimate, y, markov, randn_like=lambda x, n=noise: n)
    torch.testing.assert_close(seen[0.5], seen[1.0] / 2)


def test_gradients_flow_through_the_walk(path):
    y = torch.randn(SHAPE, requires_grad=True)
    walk(path, lambda x, t: 0.5 * x, y, markov).sum().backward()
    assert y.grad.abs().sum() > 0
