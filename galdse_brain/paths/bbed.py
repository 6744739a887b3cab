"""The path of BBED: a Brownian bridge with exponential diffusion.

Authors
 * The galdse developers
"""

import math

import torch

from galdse_brain.paths.linear_sde import LinearSDE


def exponential_series(x):
    """``Ei(-x) - ln(x)`` less Euler's constant, for x up to 4."""
    return sum((-x) ** n / (n * math.gamma(n + 1)) for n in range(1, 30))


class BBED(LinearSDE):
    """Reaches y at t = 1 (arXiv 2302.14748): no mismatch of the prior.

    ``dx = (y - x) / (1 - t) dt + sqrt(theta) k^t dw``.

    Arguments
    ---------
    k, theta : float
        Growth and scale of the diffusion, of a complex normal.
    num_steps, start_time
        See ``LinearSDE``. At t = 1 itself the rate is infinite.
    """

    def __init__(self, k, theta, num_steps=30, start_time=0.999):
        super().__init__(num_steps, start_time)
        if not (1 < k < 5 and theta > 0):
            raise ValueError(
                "k must lie between 1 and 5 and theta be positive, got "
                f"{k} and {theta}"
            )
        self.growth = 2 * math.log(k)
        self.theta = theta

    def decay(self, t):
        """Weight of the clean end, ``1 - t``."""
        return 1 - t

    def rate(self, t):
        """Steeper and steeper, ``1 / (1 - t)``."""
        return 1 / (1 - t)

    def variance(self, t):
        """Closed form of P; ``Ei(v (t - 1)) - Ei(-v)`` is log plus series."""
        left, v = 1 - t, self.growth
        integral = torch.xlogy(left, left) + left * (
            exponential_series(v * left)
            - exponential_series(torch.full_like(t, v))
        )
        rise = torch.expm1(v * t) + t
        return self.theta * left * (rise + v * math.exp(v) * integral)

    def diffusion(self, t):
        """Square of g."""
        return self.theta * torch.exp(self.growth * t)
