"""The path of SGMSE+: Ornstein-Uhlenbeck with exploding variance.

Authors
 * The galdse developers
"""

import math

from torch import exp, expm1, full_like

from galdse_brain.paths.linear_sde import LinearSDE


class OUVE(LinearSDE):
    """Drift at a constant rate, noise that grows (SGMSE+, arXiv 2208.05830).

    ``g = sigma_min (sigma_max / sigma_min)^t sqrt(2 l)`` with
    ``l = ln(sigma_max / sigma_min)``. At t = 1 the clean end still weighs
    ``exp(-theta)``: sampling starts with a mismatch.

    Arguments
    ---------
    theta : float
        Rate of the drift.
    sigma_min, sigma_max : float
        Noise at both ends, of a complex normal.
    num_steps : int
        Steps of the sampling grid.
    """

    def __init__(self, theta, sigma_min, sigma_max, num_steps=30):
        super().__init__(num_steps)
        if not (theta > 0 and 0 < sigma_min < sigma_max):
            raise ValueError(
                "theta must be positive and 0 < sigma_min < sigma_max, got "
                f"{theta}, {sigma_min} and {sigma_max}"
            )
        self.theta = theta
        self.sigma_min = sigma_min
        self.growth = math.log(sigma_max / sigma_min)

    def decay(self, t):
        """Weight of the clean end, ``exp(-theta t)``."""
        return exp(-self.theta * t)

    def rate(self, t):
        """The constant theta."""
        return full_like(t, self.theta)

    def variance(self, t):
        """Closed form of P."""
        rise = self.theta + self.growth
        scale = self.sigma_min**2 * self.growth / rise
        return scale * exp(-2 * self.theta * t) * expm1(2 * rise * t)

    def diffusion(self, t):
        """Square of g."""
        return 2 * self.growth * self.sigma_min**2 * exp(2 * self.growth * t)
