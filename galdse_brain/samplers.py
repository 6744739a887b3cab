"""Samplers: one reverse step, its rules, and the walk to the clean end.

Every rule keeps the marginals of a path when the estimate is right; the rule
is the sampler.

Authors
 * The galdse developers
"""

from functools import partial
from itertools import pairwise

import torch


def markov(ratio, persistence):
    """Exact posterior of a Markov path, ``persistence s_u / s_t``.

    GALD-SE's posterior and the Schroedinger bridge's SDE sampler.
    """
    return persistence * ratio


def deterministic(ratio, persistence):
    """No fresh noise, 1: DDIM, the bridge's ODE sampler."""
    return torch.ones_like(ratio)


def renoise(ratio, persistence):
    """Nothing is kept, the estimate is noised anew: consistency models."""
    return torch.zeros_like(ratio)


def step(path, x_t, x_hat, y, t, u, keep, noise):
    """One reverse step, from time t to an earlier time u.

    ``x_u = a_u x_hat + b_u y + c (s_u / s_t) (x_t - a_t x_hat - b_t y)
    + s_u sqrt(1 - c^2) noise`` with c from the rule ``keep``.

    Arguments
    ---------
    path : Path
        Gives the coefficients.
    x_t, x_hat, y : torch.Tensor
        State, estimate of the clean spectrogram and noisy spectrogram, each
        (B, 2, F, T).
    t, u : torch.Tensor
        Times, each (B,).
    keep : callable
        A rule: (s_u / s_t, persistence) -> c in [0, 1], the correlation of
        the deviations at t and u.
    noise : torch.Tensor
        Standard normal, or shaped by a mask; shape (B, 2, F, T).

    Returns
    -------
    x_u : torch.Tensor
        The state at u, shape (B, 2, F, T).
    """
    a_t, b_t, s_t = path.coefficients(t)
    a_u, b_u, s_u = path.coefficients(u)
    # Where s_t is 0, as at a bridge's start, there is no deviation to keep.
    ratio = torch.where(s_t > 0, s_u / s_t, torch.zeros_like(s_t))
    c = keep(ratio, path.persistence(u, t))
    fresh = s_u * (1 - c**2).clamp(min=0).sqrt()
    deviation = x_t - a_t * x_hat - b_t * y
    return a_u * x_hat + b_u * y + c * ratio * deviation + fresh * noise


def walk(path, estimate, y, keep, num_steps=None, randn_like=torch.randn_like):
    """Walk from the path's prior to its clean end.

    Arguments
    ---------
    path : Path
        The path to walk back.
    estimate : callable
        (x_t, t) -> estimate of the clean spectrogram.
    y : torch.Tensor
        Noisy spectrogram, shape (B, 2, F, T).
    keep : callable
        One of the rules above.
    num_steps : int, optional
        Calls of ``estimate``; by default those of the path.
    randn_like : callable
        Source of noise. Guided, anisotropic noise comes in here.

    Returns
    -------
    x_0 : torch.Tensor
        The estimate of the last step, shape (B, 2, F, T).
    """
    mean, std = path.prior(y)
    x = mean + std * randn_like(y)
    for t, u in pairwise(path.times(num_steps)):
        t, u = t.expand(len(y)), u.expand(len(y))
        x = step(path, x, estimate(x, t), y, t, u, keep, randn_like(y))
    return x


# Without arguments, to take the place of another in YAML
ddim = partial(walk, keep=deterministic)


def predictor_corrector(
    path,
    estimate,
    y,
    corrector_steps=1,
    num_steps=None,
    randn_like=torch.randn_like,
):
    """Reverse SDE with annealed Langevin steps (arXiv 2011.13456).

    At each time first the corrector, ``x + e score + sqrt(2 e) noise`` with
    ``e = s_t^2 / 2`` (the published "snr" of 0.5), then one Euler-Maruyama
    step; the last is without noise. Arguments and result as of ``walk``, but
    the path needs an ``sde``, and there are ``num_steps (1 + corrector_steps)``
    calls.
    """
    mean, std = path.prior(y)
    for t, u in pairwise(path.times(num_steps)):
        x = mean + std * randn_like(y)
        dt, t = t - u, t.expand(len(y))
        _, _, s = path.coefficients(t)
        for _ in range(corrector_steps):
            noise = path.noise(x, estimate(x, t), y, t)
            x = x + s * (randn_like(y) - noise / 2)
        noise = path.noise(x, estimate(x, t), y, t)
        rate, diffusion = path.sde(t)
        mean = x - (rate * (y - x) + diffusion * noise / s) * dt
        std = (diffusion * dt).sqrt()
    return mean


euler_maruyama = partial(predictor_corrector, corrector_steps=0)


def probability_flow(
    path, estimate, y, num_steps=None, randn_like=torch.randn_like
):
    """Probability-flow ODE by Heun's method, then the estimate itself.

    On the path's grid: steps that adapt themselves would make an item depend
    on its batch. Arguments and result as of ``walk``, but the path needs an
    ``sde``, and there are ``2 num_steps - 1`` calls.
    """

    def slope(x, t):
        rate, diffusion = path.sde(t)
        score = -path.noise(x, estimate(x, t), y, t) / path.coefficients(t)[2]
        return rate * (y - x) - diffusion / 2 * score

    mean, std = path.prior(y)
    x = mean + std * randn_like(y)
    *times, last, _ = (t.expand(len(y)) for t in path.times(num_steps))
    for t, u in pairwise([*times, last]):
        dt = (u - t).view(-1, 1, 1, 1)
        here = slope(x, t)
        x = x + dt / 2 * (here + slope(x + dt * here, u))
    return estimate(x, last)


def through_last_call(
    path, estimate, y, sampler, num_steps=None, randn_like=torch.randn_like
):
    """A sampler whose gradient flows through the calls at the last time alone.

    ``sampler`` is any other of this file; all else is as of ``walk``. Whether
    a call is one of the last is looked up at every call, for which a GPU is
    waited for.
    """
    last = path.times(num_steps)[-2]

    def at_last(x_t, t):
        wanted = torch.is_grad_enabled() and bool((t == last).all())
        with torch.set_grad_enabled(wanted):
            return estimate(x_t, t)

    return sampler(path, at_last, y, num_steps=num_steps, randn_like=randn_like)


def unwrapped(sampler):
    """The sampler inside ``through_last_call``; any other as it is."""
    while getattr(sampler, "func", None) is through_last_call:
        sampler = sampler.keywords["sampler"]
    return sampler
