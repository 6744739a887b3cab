"""The path of the Schroedinger bridge with exploding variance.

Authors
 * The galdse developers
"""

import math

import torch

from galdse_brain.paths.linear_sde import LinearSDE


class BridgeVE(LinearSDE):
    """Brownian motion of variance ``sigma^2(t)``, pinned to both ends.

    Jukic et al., arXiv 2407.16074: ``sigma^2(t) = c (k^(2t) - 1) / (2 ln k)``,
    y weighs ``eta = sigma^2(t) / sigma^2(1)`` and the variance is
    ``sigma^2(1) eta (1 - eta)``. Sampling starts at y, without noise.

    Arguments
    ---------
    k, c : float
        Growth and scale of the diffusion, of a complex normal.
    num_steps : int
        Steps of the sampling grid.
    """

    def __init__(self, k, c, num_steps=50):
        super().__init__(num_steps)
        if not (k > 1 and c > 0):
            raise ValueError(
                f"k must exceed 1 and c be positive, got {k} and {c}"
            )
        self.growth = 2 * math.log(k)
        self.c = c
        self.end = c * math.expm1(self.growth) / self.growth  # sigma^2(1)

    def decay(self, t):
        """Weight of the clean end, ``1 - eta``, exactly 0 at t = 1."""
        whole = torch.full_like(t, self.growth)
        return 1 - torch.expm1(whole * t) / torch.expm1(whole)

    def rate(self, t):
        """``g^2 / (sigma^2(1) - sigma^2(t))``, infinite at t = 1."""
        return self.diffusion(t) / (self.end * self.decay(t))

    def variance(self, t):
        """``sigma^2(1) eta (1 - eta)``."""
        a = self.decay(t)
        return self.end * a * (1 - a)

    def diffusion(self, t):
        """Square of g, ``c k^(2t)``."""
        return self.c * torch.exp(self.growth * t)

    def times(self, num_steps=None):
        """Evenly from 1 to 0."""
        grid = torch.linspace(1, 0, self.checked(num_steps) + 1)
        return grid.to(self.start)
