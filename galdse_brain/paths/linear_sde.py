"""What the continuous paths from clean to noisy speech share.

Authors
 * The galdse developers
"""

import torch

from galdse_brain.paths.path import Path


class LinearSDE(Path):
    """Continuous path ``dx = r(t) (y - x) dt + g(t) dw``, drawn towards y.

    A subclass gives four functions of time: ``decay`` a, ``rate`` r,
    ``variance`` P and ``diffusion`` g^2, the last two of a complex normal as
    in the papers; half of them falls to each real component. They obey
    ``a' = -r a`` and ``P' = g^2 - 2 r P``; y weighs ``1 - a``.

    Arguments
    ---------
    num_steps : int
        Steps of the sampling grid, at least 1.
    start_time : float
        Where sampling starts, the longest of the training times.
    """

    min_time = 0.03  # The shortest; the score becomes infinite towards 0.

    def __init__(self, num_steps, start_time=1.0):
        super().__init__()
        if not self.min_time < start_time <= 1:
            raise ValueError(
                f"start_time must lie in ({self.min_time}, 1], got {start_time}"
            )
        self.num_steps = self.checked(num_steps)
        start = torch.tensor([start_time])
        self.register_buffer("start", start, persistent=False)

    def coefficients(self, t):
        """Coefficients ``a, 1 - a, sqrt(P / 2)`` at t (B,)."""
        t = t.view(-1, 1, 1, 1)
        a = self.decay(t)
        return a, 1 - a, (self.variance(t) / 2).sqrt()

    def sde(self, t):
        """Rate r and half of g^2 at times t (B,), each (B, 1, 1, 1)."""
        t = t.view(-1, 1, 1, 1)
        return self.rate(t), self.diffusion(t) / 2

    def persistence(self, u, t):
        """A deviation fades as the clean end does, ``a_t / a_u``."""
        u, t = u.view(-1, 1, 1, 1), t.view(-1, 1, 1, 1)
        return self.decay(t) / self.decay(u)

    def sample_time(self, y):
        """Times between min_time and start_time, uniform, shape (B,)."""
        u = torch.rand(len(y), device=y.device)
        return torch.lerp(torch.full_like(u, self.min_time), self.start, u)

    def times(self, num_steps=None):
        """From start_time evenly to min_time, then to 0."""
        steps, start = self.checked(num_steps), self.start.item()
        grid = torch.linspace(start, self.min_time, steps).to(self.start)
        return torch.cat([grid, torch.zeros_like(self.start)])

    def checked(self, num_steps):
        """The number of steps, its default in place of None."""
        steps = self.num_steps if num_steps is None else num_steps
        if steps < 1:
            raise ValueError(
                f"num_steps of {type(self).__name__} must be at least 1, "
                f"got {steps}"
            )
        return steps

    def prior(self, y):
        """Mean y, though ``a x_0 + (1 - a) y`` were right, and the std."""
        return y, self.coefficients(self.start)[2]
