"""Samplers: one reverse step, its rules, and the walk to the clean end.

Every rule keeps the marginals of a path when the estimate is right; the rule
is the sampler.

Authors
 * The galdse developers
"""

from itertools import pairwise

import torch


def markov(ratio, persistence):
    """Exact posterior of a Markov path, ``persistence s_u^2 / s_t^2``.

    GALD-SE's posterior and the Schroedinger bridge's SDE sampler.
    """
    return persistence * ratio**2


def deterministic(ratio, persistence):
    """No fresh noise, ``s_u / s_t``: DDIM, the bridge's ODE sampler."""
    return ratio


def renoise(ratio, persistence):
    """Nothing is kept, the estimate is noised anew: consistency models."""
    return torch.zeros_like(ratio)


def step(path, x_t, x_hat, y, t, u, keep, noise):
    """One reverse step, from time t to an earlier time u.

    ``x_u = a_u x_hat + b_u y + k (x_t - a_t x_hat - b_t y)
    + sqrt(s_u^2 - k^2 s_t^2) noise`` with k from the rule ``keep``.

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
        A rule: (s_u / s_t, persistence) -> k.
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
    k = keep(ratio, path.persistence(u, t))
    std = (s_u**2 - (k * s_t) ** 2).clamp(min=0).sqrt()
    deviation = x_t - a_t * x_hat - b_t * y
    return a_u * x_hat + b_u * y + k * deviation + std * noise


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
