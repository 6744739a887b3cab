"""The schedule of GALD-SE against its closed forms."""

import pytest
import torch

from galdse_brain.paths.residual_shift import ResidualShift
from galdse_brain.samplers import markov, step

PRESETS = ["resshift_default", "resshift_finetune", "resshift_issue1"]


@pytest.fixture(params=PRESETS)
def preset(request, closed_forms):
    """Expected numbers and the path that shall have them."""
    expected = closed_forms[request.param]
    path = ResidualShift(
        kappa=expected["kappa"],
        power=expected["power"],
        min_noise_level=expected["min_noise_level"],
        end_level=expected["etas_end"],
        num_steps=expected["T"],
    )
    return path, {
        name: torch.tensor(value, dtype=torch.float64)
        for name, value in expected.items()
    }


def test_schedule_has_the_published_numbers(preset):
    path, expected = preset
    a, b, s = (c.flatten() for c in path.coefficients(torch.arange(1, 7)))
    torch.testing.assert_close(b.double(), expected["eta"], atol=1e-6, rtol=0)
    torch.testing.assert_close(
        s.double(), expected["marginal_std"], atol=1e-6, rtol=0
    )
    torch.testing.assert_close(a + b, torch.ones(6))


def test_a_step_is_the_published_posterior(preset):
    path, expected = preset
    t = torch.arange(1, 7)
    zero, one = torch.zeros(6, 1, 1, 1), torch.ones(6, 1, 1, 1)

    def posterior(x_t, x_hat, noise):
        return step(path, x_t, x_hat, zero, t, t - 1, markov, noise).flatten()

    for actual, name in (
        (posterior(one, zero, zero), "post_coef_xt"),
        (posterior(zero, one, zero), "post_coef_x0"),
        (posterior(zero, zero, one), "post_std"),
    ):
        torch.testing.assert_close(
            actual.double(), expected[name], atol=2e-6, rtol=0
        )


def test_time_zero_is_clean(path):
    a, b, s = path.coefficients(torch.tensor([0]))
    assert (a.item(), b.item(), s.item()) == (1, 0, 0)


def test_prior_is_noisy_speech_with_the_last_noise(path):
    y = torch.randn(1, 2, 8, 8)
    mean, std = path.prior(y)
    assert torch.equal(mean, y)
    assert std.item() == pytest.approx(0.495)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 5, 6])
def test_thinned_grids_fall_from_the_prior_to_zero(path, num_steps):
    times = path.times(num_steps).tolist()
    assert len(times) == num_steps + 1
    assert times[0] == 6 and times[-1] == 0
    assert times == sorted(set(times), reverse=True)


@pytest.mark.parametrize("num_steps", [0, -1, 7])
def test_a_grid_that_the_schedule_does_not_hold_is_refused(path, num_steps):
    with pytest.raises(ValueError, match=f"1 to 6.*got {num_steps}"):
        path.times(num_steps)


def test_training_times_cover_the_schedule_and_nothing_else(path):
    times = path.sample_time(torch.zeros(1000, 2, 1, 1))
    assert times.shape == (1000,)
    assert sorted(set(times.tolist())) == [1, 2, 3, 4, 5, 6]


def test_training_times_prefer_the_noisy_end_as_their_exponent_says():
    path = ResidualShift(0.5, 0.39, 0.005, time_exponent=0.25)
    times = path.sample_time(torch.zeros(100000, 1))
    for t in range(1, 7):
        expected = (t / 6) ** 4 - ((t - 1) / 6) ** 4
        share = (times == t).float().mean().item()
        assert share == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"kappa": 0}, "kappa must be positive, got 0"),
        ({"num_steps": 1}, "ResidualShift must be at least 2, got 1"),
        ({"min_noise_level": 0}, "0 < first < end_level"),
        ({"end_level": 1.5}, "end_level 1.5"),
    ],
)
def test_an_impossible_schedule_is_refused(change, message):
    arguments = {"kappa": 0.5, "power": 0.39, "min_noise_level": 0.005}
    with pytest.raises(ValueError, match=message):
        ResidualShift(**{**arguments, **change})


def test_a_misspelt_argument_is_an_error():
    with pytest.raises(TypeError, match="kapa"):
        ResidualShift(kapa=0.5, power=0.39, min_noise_level=0.005)
