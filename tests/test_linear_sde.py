"""The continuous paths against closed forms and against their own SDE."""

import math

import pytest
import torch
from conftest import SDES
from scipy.integrate import solve_ivp

from galdse_brain.paths.bbed import BBED
from galdse_brain.paths.bridge_ve import BridgeVE
from galdse_brain.paths.ouve import OUVE
from galdse_brain.samplers import markov, step

COMPLEX = math.sqrt(2)  # Papers count both components of a complex normal.


def at(*times):
    return torch.tensor(times, dtype=torch.float64)


@pytest.mark.parametrize("name", SDES)
def test_marginals_have_the_published_numbers(name, closed_forms):
    path, expected = SDES[name](), closed_forms[name]
    t = at(*expected["t"])
    a, b, s = (c.flatten() for c in path.coefficients(t))
    _, diffusion = path.sde(t)
    assert a.tolist() == pytest.approx(expected["w_x"], abs=1e-9)
    torch.testing.assert_close(a + b, torch.ones_like(a))
    assert (COMPLEX * s).tolist() == pytest.approx(expected["std"], abs=1e-8)
    g = COMPLEX * diffusion.sqrt().flatten()
    assert g.tolist() == pytest.approx(expected["g"], abs=1e-8)


@pytest.mark.parametrize("name", SDES)
def test_closed_forms_solve_the_equations_of_the_sde(name):
    """a' = -r a, P' = g^2 - 2 r P, and a deviation fades as a does."""
    path = SDES[name]()

    def right_side(t, state):
        rate, diffusion = (c.item() for c in path.sde(at(t)))
        a, variance = state
        return [-rate * a, diffusion - 2 * rate * variance]

    t = at(0.01, 0.03, 0.25, 0.4, 0.5, 0.7, 0.75, 0.99)
    numerical = solve_ivp(
        right_side, (0, 0.99), [1, 0], t_eval=t, rtol=1e-10, atol=1e-12
    )
    a, _, s = (c.flatten() for c in path.coefficients(t))
    assert a.tolist() == pytest.approx(numerical.y[0].tolist(), abs=1e-8)
    assert (s**2).tolist() == pytest.approx(numerical.y[1].tolist(), abs=1e-8)
    for u in (0.03, 0.5):
        numerical = solve_ivp(
            right_side, (u, 0.9), [1, 0], rtol=1e-10, atol=1e-12
        )
        left = path.persistence(at(u), at(0.9)).item()
        assert left == pytest.approx(numerical.y[0, -1], abs=1e-8)


@pytest.mark.parametrize("name", SDES)
def test_single_precision_is_enough(name):
    path, t = SDES[name](), torch.linspace(0.03, 0.999, 50)
    for single, double in zip(
        path.coefficients(t), path.coefficients(t.double())
    ):
        torch.testing.assert_close(
            single.double(), double, rtol=1e-4, atol=1e-6
        )


def test_the_noise_is_highest_where_it_is_published_to_be(closed_forms):
    bridge = closed_forms["sbve"]
    t = torch.linspace(0, 0.999, 100000, dtype=torch.float64)
    for name, where, highest in (
        ("bbed_052", 0.7133, 0.539752),
        ("sbve", bridge["t_peak"], bridge["std_peak"]),
    ):
        s = SDES[name]().coefficients(t)[2].flatten()
        assert t[s.argmax()].item() == pytest.approx(where, abs=1e-4)
        assert COMPLEX * s.max().item() == pytest.approx(highest, abs=1e-6)


def test_the_bridge_spreads_as_published(closed_forms):
    """sigma(t) = g without the pinning; sqrt(eta) of it at the end."""
    path = SDES["sbve"]()
    sigma = closed_forms["sbve"]["sigma_T"]
    assert math.sqrt(path.end) == pytest.approx(sigma, abs=1e-12)
    t = at(1e-4, 0.03, 0.25, 0.5, 0.75, 1)
    _, eta, s = (c.flatten() for c in path.coefficients(t))
    table = [0.006325, 0.111133, 0.358041, 0.578705, 0.817436, 1.098015]
    assert (sigma * eta.sqrt()).tolist() == pytest.approx(table, abs=1e-6)
    assert COMPLEX * s[0].item() == pytest.approx(0.006325, abs=1e-6)


@pytest.mark.parametrize(
    "name, kept, fresh",
    [
        ("sbve", 0.408395, 0.376992),
        ("ouve_16k", 0.153266, 0.090591),
        ("bbed_052", 0.342871, 0.406660),
    ],
)
def test_a_markov_step_has_the_published_coefficients(name, kept, fresh):
    """From 0.7 to 0.4, of the deviation and of the fresh noise."""
    zero, one = torch.zeros(2, 1, 1, 1, 1, dtype=torch.float64)
    one = one + 1
    args = SDES[name](), zero, zero
    t, u = at(0.7), at(0.4)
    path = args[0]
    of_deviation = step(path, one, zero, zero, t, u, markov, zero)
    of_noise = step(path, zero, zero, zero, t, u, markov, one)
    assert of_deviation.item() == pytest.approx(kept, abs=1e-6)
    assert COMPLEX * of_noise.item() == pytest.approx(fresh, abs=1e-6)


def test_grids_are_the_published_ones():
    grid = OUVE(1.5, 0.05, 0.5).times()
    assert len(grid) == 31 and grid[[0, -1]].tolist() == [1, 0]
    assert grid[29].item() == pytest.approx(0.03)
    assert (grid[0] - grid[1]).item() == pytest.approx(0.033448, abs=1e-6)
    assert BBED(2.6, 0.52, start_time=0.5).times(1).tolist() == [0.5, 0]
    assert BridgeVE(2.6, 0.4).times(4).tolist() == [1, 0.75, 0.5, 0.25, 0]


def test_training_times_are_those_that_sampling_meets():
    path = BBED(2.6, 0.52, start_time=0.5)
    times = path.sample_time(torch.zeros(10000, 2, 1, 1))
    assert times.shape == (10000,)
    assert 0.03 <= times.min() < 0.04 and 0.49 < times.max() <= 0.5


def test_a_bridge_starts_exactly_at_the_noisy_speech():
    y = torch.randn(2, 2, 4, 4)
    mean, std = SDES["sbve"]().prior(y)
    assert torch.equal(mean, y) and std.item() == 0


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: OUVE(0, 0.05, 0.5), "theta must be positive.*got 0"),
        (lambda: OUVE(1.5, 0.5, 0.05), "sigma_min < sigma_max"),
        (lambda: OUVE(1.5, 0.05, 0.5, 0), "at least 1, got 0"),
        (lambda: BBED(2.6, 0.52, start_time=2), "start_time must.*got 2"),
        (lambda: BBED(1, 0.52), "between 1 and 5.*got 1"),
        (lambda: BridgeVE(2.6, 0), "c be positive, got 2.6 and 0"),
        (lambda: BridgeVE(2.6, 0.4).times(0), "at least 1, got 0"),
    ],
)
def test_impossible_numbers_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
