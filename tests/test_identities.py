"""What holds for every path, every rule and every sampler."""

from functools import partial
from itertools import pairwise

import pytest
import torch
from conftest import PATHS, SDES

from galdse_brain.samplers import (
    deterministic,
    euler_maruyama,
    markov,
    predictor_corrector,
    probability_flow,
    renoise,
    step,
    through_last_call,
    walk,
)

RULES = [markov, deterministic, renoise]
WALKS = [partial(walk, keep=keep) for keep in RULES]
SDE_SAMPLERS = [
    (predictor_corrector, 2, 0),
    (euler_maruyama, 1, 0),
    (probability_flow, 2, 1),
]
SHAPE = (1, 2, 16, 16)
every_path = pytest.mark.parametrize("name", PATHS)
# The bridge starts where its rate is infinite.
every_sde = pytest.mark.parametrize("name", [n for n in SDES if n != "sbve"])


@every_path
def test_a_path_ends_at_the_clean_speech(name):
    path = PATHS[name]()
    end = path.times()[-1:]
    assert end.item() == 0
    assert [c.item() for c in path.coefficients(end)] == [1, 0, 0]


@every_path
@pytest.mark.parametrize("keep", RULES)
def test_a_step_from_the_marginal_has_the_earlier_marginal(name, keep):
    """Mean and variance by their coefficients, without a draw."""
    path = PATHS[name]()
    x_0, y = torch.randn(2, 1, 2, 8, 8)
    zero, one = torch.zeros_like(y), torch.ones_like(y)
    for t, u in pairwise(path.times(6)[:, None]):
        mean_t, std_t = path.marginal(x_0, y, t)
        mean_u, std_u = path.marginal(x_0, y, u)
        if not std_t and keep is deterministic:
            continue  # Without noise at the start there is none later.
        mean = step(path, mean_t, x_0, y, t, u, keep, zero)
        torch.testing.assert_close(mean, mean_u, atol=1e-5, rtol=0)
        kept = step(path, mean_t + std_t, x_0, y, t, u, keep, zero) - mean
        fresh = step(path, mean_t, x_0, y, t, u, keep, one) - mean
        torch.testing.assert_close(
            kept**2 + fresh**2, std_u**2 * one, atol=1e-5, rtol=1e-4
        )


@every_path
@pytest.mark.parametrize("keep", RULES)
@pytest.mark.parametrize("num_steps", [1, 2, 6])
def test_an_oracle_is_returned_exactly_after_that_many_calls(
    name, keep, num_steps
):
    path = PATHS[name]()
    x_0, y = torch.randn(2, *SHAPE)
    calls = []

    def oracle(x_t, t):
        calls.append(t.item())
        return x_0

    assert torch.equal(walk(path, oracle, y, keep, num_steps), x_0)
    assert calls == path.times(num_steps).tolist()[:-1]
    assert len(calls) == num_steps


@every_sde
@pytest.mark.parametrize("sampler, a_step, less", SDE_SAMPLERS)
@pytest.mark.parametrize("num_steps", [1, 5])
def test_samplers_of_an_sde_call_the_network_as_often_as_they_say(
    name, sampler, a_step, less, num_steps
):
    path, calls = SDES[name](), []

    def estimate(x_t, t):
        calls.append(t)
        return x_t

    sampler(path, estimate, torch.randn(SHAPE), num_steps=num_steps)
    assert len(calls) == a_step * num_steps - less
    assert torch.cat(calls).unique(sorted=True).flip(0).tolist() == (
        path.times(num_steps)[:-1].tolist()
    )


@pytest.mark.parametrize(
    "name, corrector_steps, rms",
    [
        ("ouve_16k", 0, 0.0026),
        ("ouve_16k", 1, 0.0022),
        ("bbed_052", 0, 0.0053),
        ("bbed_052", 1, 0.0038),
    ],
)
def test_the_exact_score_leaves_an_error_of_the_published_size(
    name, corrector_steps, rms
):
    path = SDES[name](num_steps=30)
    x_0, y = torch.randn(2, 1, 2, 128, 128)
    sampler = partial(predictor_corrector, corrector_steps=corrector_steps)
    error = sampler(path, lambda x_t, t: x_0, y) - x_0
    # Of a complex number, whose two components are counted.
    assert 2**0.5 * error.std().item() == pytest.approx(rms, rel=0.2)


def test_last_steps_have_the_published_factors():
    """g^2 dt / std^2 of the last step of SGMSE+ and of CRP's only one."""
    for path, expected in (
        (SDES["ouve_16k"](), 1.118412),
        (SDES["bbed_052"](start_time=0.5, num_steps=1), 2.796227),
    ):
        t = path.times()[-2:-1]
        (_, diffusion), (_, _, s) = path.sde(t), path.coefficients(t)
        assert (diffusion * t / s**2).item() == pytest.approx(
            expected, abs=2e-6
        )


def test_a_corrector_step_is_the_published_one():
    """At t = 1 of SGMSE+: e is 0.075654, sqrt(2 e) is 0.388983."""
    x_0, y, z = torch.randn(3, *SHAPE)
    path, states = SDES["ouve_16k"](), []

    def oracle(x_t, t):
        states.append(x_t)
        return x_0

    predictor_corrector(path, oracle, y, num_steps=1, randn_like=lambda _: z)
    mean, _ = path.marginal(x_0, y, torch.tensor([1.0]))
    score = -(states[0] - mean) / 0.388983**2
    expected = states[0] + 0.075654 * score + 0.388983 * z / 2**0.5
    torch.testing.assert_close(states[1], expected)


def test_one_predictor_step_is_the_arithmetic_of_crp():
    """x_0 = y + 2 s z + g^2 dt score, which is not the oracle's."""
    path = SDES["bbed_052"](start_time=0.5, num_steps=1)
    x_0, y, z = torch.randn(3, *SHAPE)
    x = euler_maruyama(path, lambda x_t, t: x_0, y, randn_like=lambda _: z)
    t = torch.tensor([0.5])
    _, _, s = path.coefficients(t)
    score = -path.noise(y + s * z, x_0, y, t) / s
    torch.testing.assert_close(
        x, y + 2 * 0.49168520 / 2**0.5 * z + 0.676 / 2 * score
    )
    assert not torch.allclose(x, x_0, atol=0.1)


@every_sde
def test_the_flow_of_the_exact_score_is_the_deterministic_walk(name):
    """Up to an error of second order in the step."""
    path = SDES[name]()
    path.start.fill_(0.9)  # Before the rate of BBED becomes infinite.
    x_0, y = torch.randn(2, *SHAPE, dtype=torch.float64)

    def error(num_steps):
        ends = []
        for sampler in (probability_flow, partial(walk, keep=deterministic)):
            states = []

            def oracle(x_t, t, states=states):
                states.append(x_t)
                return x_0

            sampler(
                path.double(),
                oracle,
                y,
                num_steps=num_steps,
                randn_like=torch.ones_like,
            )
            ends.append(states[-1])
        return (ends[0] - ends[1]).abs().max().item()

    coarse, fine = error(100), error(200)
    assert fine < 2e-3
    assert coarse / fine == pytest.approx(4, rel=0.1)


@every_sde
@pytest.mark.parametrize("sampler", [probability_flow, *WALKS])
def test_the_exact_score_leads_to_the_clean_end(name, sampler):
    x_0, y = torch.randn(2, *SHAPE)
    x = sampler(SDES[name](), lambda x_t, t: x_0, y, num_steps=3)
    assert torch.equal(x, x_0)


def test_the_bridge_and_galdse_have_one_posterior():
    """The step of the SDE sampler is GALD-SE's where kappa is sigma(1)."""
    bridge, galdse = SDES["sbve"](), PATHS["resshift_default"]()
    t = torch.tensor([0.3, 0.7])
    _, eta, _ = bridge.coefficients(t)
    galdse.etas = eta.flatten()
    galdse.stds = (bridge.end / 2) ** 0.5 * galdse.etas.sqrt()
    x_t, x_hat, y, noise = torch.randn(4, *SHAPE)
    one, zero = torch.tensor([1]), torch.tensor([0])
    torch.testing.assert_close(
        step(bridge, x_t, x_hat, y, t[1:], t[:1], markov, noise),
        step(galdse, x_t, x_hat, y, one, zero, markov, noise),
    )


def test_the_bridge_without_noise_starts_with_its_mean():
    path = SDES["sbve"]()
    x_hat, y, noise = torch.randn(3, *SHAPE)
    t, u = torch.tensor([1.0]), torch.tensor([0.6])
    x_u = step(path, y, x_hat, y, t, u, deterministic, noise)
    assert torch.equal(x_u, path.marginal(x_hat, y, u)[0])


@every_path
def test_noise_and_clean_end_are_the_same_knowledge(name):
    path = PATHS[name]()
    x_0, y, eps = torch.randn(3, *SHAPE)
    for t in path.times(5)[1:-1, None]:
        mean, std = path.marginal(x_0, y, t)
        x_t = mean + std * eps
        torch.testing.assert_close(
            path.clean(x_t, eps, y, t), x_0, atol=1e-3, rtol=1e-4
        )
        torch.testing.assert_close(
            path.noise(x_t, x_0, y, t), eps, atol=2e-3, rtol=1e-4
        )


def states(path, sampler, mask, seed):
    """What a walk shows its network under noise times a mask, and its end."""
    y, seen = torch.ones(SHAPE, dtype=torch.float64), []
    path = path.double()  # The rate of BBED magnifies what is rounded.
    generator = torch.Generator().manual_seed(seed)

    def estimate(x_t, t):
        seen.append(x_t)
        return x_t / 2 if mask is None else y / 2

    def randn_like(x):
        noise = torch.randn(x.shape, generator=generator)
        return 0 * noise if mask is None else mask * noise

    end = sampler(path, estimate, y, num_steps=3, randn_like=randn_like)
    return torch.stack([*seen, end])


@every_path
@pytest.mark.parametrize("sampler", WALKS)
def test_where_the_mask_is_silent_the_seed_changes_nothing(name, sampler):
    first, second = (states(PATHS[name](), sampler, None, i) for i in (0, 1))
    assert torch.equal(first, second)


@every_sde
@pytest.mark.parametrize("sampler", [row[0] for row in SDE_SAMPLERS])
def test_without_noise_samplers_of_an_sde_do_not_know_the_seed(name, sampler):
    first, second = (states(SDES[name](), sampler, None, i) for i in (0, 1))
    assert torch.equal(first, second)


@every_path
@pytest.mark.parametrize("sampler", WALKS)
def test_a_mask_scales_the_noise_and_nothing_else(name, sampler):
    check_scaling(PATHS[name](), sampler)


@every_sde
@pytest.mark.parametrize("sampler", [row[0] for row in SDE_SAMPLERS])
def test_a_mask_scales_the_noise_of_samplers_of_an_sde(name, sampler):
    check_scaling(SDES[name](), sampler)


def check_scaling(path, sampler):
    """What a mask leaves of the noise stays in proportion all the way."""
    mask = torch.rand(SHAPE, dtype=torch.float64)
    shaped, full, silent = (
        states(path, sampler, m, 0)
        for m in (mask, torch.ones(SHAPE), torch.zeros(SHAPE))
    )
    torch.testing.assert_close(shaped - silent, mask * (full - silent))


@pytest.mark.parametrize("sampler", [*WALKS, SDE_SAMPLERS[1][0]])
@pytest.mark.parametrize("num_steps", [1, 4])
def test_a_gradient_through_the_last_call_is_that_call_s_alone(
    sampler, num_steps
):
    path, y = SDES["bbed_052"](), torch.randn(SHAPE)
    weight = torch.ones((), requires_grad=True)
    states = []

    def estimate(x_t, t):
        states.append(x_t)
        return weight * (0.5 * x_t + t.view(-1, 1, 1, 1))

    through_last_call(path, estimate, y, sampler, num_steps).sum().backward()
    assert len(states) == num_steps
    assert not any(state.requires_grad for state in states)
    assert weight.grad != 0
