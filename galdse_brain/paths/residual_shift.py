"""The path of GALD-SE: the residual between noisy and clean is shifted in.

Authors
 * The galdse developers
"""

import torch

from galdse_brain.paths.path import Path


class ResidualShift(Path):
    """Discrete residual shift (ResShift, arXiv 2307.12348, eq. 1 and 2).

    ``x_t = x_0 + eta_t (y - x_0) + kappa sqrt(eta_t) eps`` for t = 0..T with
    ``eta_0 = 0``: the schedule holds its end, so the last step is free of
    noise without a special case. The square roots of eta_1..eta_T rise
    geometrically in a warped index (eq. 9 and 10 there).

    Arguments
    ---------
    kappa : float
        Noise at the noisy end, positive.
    power : float
        Warp of the index; below 1 the steps near the clean end are larger.
    min_noise_level : float
        ``kappa sqrt(eta_1)`` where kappa is at least 1, else ``sqrt(eta_1)``.
    end_level : float
        ``sqrt(eta_T)``, at most 1.
    num_steps : int
        Number of steps T, at least 2.
    time_exponent : float
        Training times are ``ceil(T u ** time_exponent)`` with u uniform: 1
        is uniform, less prefers the noisy end, whose estimate all later
        steps build on.
    last_share : float
        Share of the training times that are T whatever is drawn, for systems
        that are used in one step.

    Example
    -------
    >>> path = ResidualShift(kappa=0.5, power=0.39, min_noise_level=0.005)
    >>> a, b, s = path.coefficients(torch.tensor([0, 6]))
    >>> a.flatten(), s.flatten()
    (tensor([1.0000, 0.0199]), tensor([0.0000, 0.4950]))
    """

    def __init__(
        self,
        kappa,
        power,
        min_noise_level,
        end_level=0.99,
        num_steps=6,
        time_exponent=1.0,
        last_share=0.0,
    ):
        super().__init__()
        if not kappa > 0:
            raise ValueError(f"kappa must be positive, got {kappa}")
        if num_steps < 2:
            raise ValueError(
                "num_steps of ResidualShift must be at least 2, "
                f"got {num_steps}"
            )
        first = min(min_noise_level / kappa, min_noise_level)
        if not 0 < first < end_level <= 1:
            raise ValueError(
                "the levels must obey 0 < first < end_level <= 1, "
                f"got first {first} and end_level {end_level}"
            )
        index = torch.arange(num_steps, dtype=torch.float64) / (num_steps - 1)
        roots = first * (end_level / first) ** index**power
        etas = torch.cat([torch.zeros(1, dtype=torch.float64), roots**2])
        self.num_steps = num_steps
        self.time_exponent = time_exponent
        self.last_share = last_share
        self.register_buffer("etas", etas.float(), persistent=False)
        self.register_buffer(
            "stds", (kappa * etas.sqrt()).float(), persistent=False
        )

    def coefficients(self, t):
        """Coefficients ``1 - eta_t, eta_t, kappa sqrt(eta_t)``.

        Arguments
        ---------
        t : torch.Tensor
            Integer times 0..T, shape (B,).

        Returns
        -------
        a, b, s : torch.Tensor
            Each of shape (B, 1, 1, 1).
        """
        eta = self.etas[t].view(-1, 1, 1, 1)
        return 1 - eta, eta, self.stds[t].view(-1, 1, 1, 1)

    def persistence(self, u, t):
        """One: increments are added, nothing decays."""
        return torch.ones_like(self.etas[t]).view(-1, 1, 1, 1)

    def sample_time(self, y):
        """Times drawn from 1..T, one per item of y (B, ...)."""
        u = 1 - torch.rand(len(y), device=y.device)  # In (0, 1].
        t = (self.num_steps * u**self.time_exponent).ceil().long()
        if self.last_share:
            last = torch.rand(len(y), device=y.device) < self.last_share
            t = torch.where(last, self.num_steps, t)
        return t

    def times(self, num_steps=None):
        """The grid T, T - 1, ..., 0, evenly thinned to ``num_steps`` steps."""
        steps = self.num_steps if num_steps is None else num_steps
        if not 1 <= steps <= self.num_steps:
            raise ValueError(
                f"num_steps of {type(self).__name__} must be 1 to "
                f"{self.num_steps}, the steps of the schedule, got {steps}"
            )
        grid = torch.linspace(self.num_steps, 0, steps + 1, dtype=torch.float64)
        return grid.round().long().to(self.etas.device)

    def prior(self, y):
        """Mean y and the standard deviation at T.

        The true mean at T is ``0.0199 x_0 + 0.9801 y``; GALD-SE takes y.
        """
        return y, self.stds[-1]
