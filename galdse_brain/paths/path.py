"""What every path from clean to noisy speech offers.

Authors
 * The galdse developers
"""

from torch import nn


class Path(nn.Module):
    """A Gaussian path ``x_t = a_t x_0 + b_t y + s_t eps``.

    ``eps`` is standard normal per real component. Papers that count a
    complex standard normal write standard deviations sqrt(2) times as large.
    A subclass gives ``coefficients``, ``persistence``, ``sample_time``,
    ``times`` and ``prior``, and ``sde`` if it has one; at time 0, a is 1 and
    b and s are 0.
    """

    def coefficients(self, t):
        """Coefficients a, b, s at times t (B,), each (B, 1, 1, 1)."""
        raise NotImplementedError

    def persistence(self, u, t):
        """Share of a deviation at ``u < t`` that is left at t."""
        raise NotImplementedError

    def sde(self, t):
        """Rate r and g^2 of ``dx = r (y - x) dt + g dw`` at times t (B,)."""
        raise NotImplementedError(f"{type(self).__name__} is no SDE")

    def sample_time(self, y):
        """A random training time for each item of y, shape (B,)."""
        raise NotImplementedError

    def times(self, num_steps=None):
        """Sampling grid (num_steps + 1,), falling to exactly 0."""
        raise NotImplementedError

    def prior(self, y):
        """Mean and standard deviation of where sampling starts."""
        raise NotImplementedError

    def marginal(self, x_0, y, t):
        """Mean and standard deviation of x_t given both ends.

        Arguments
        ---------
        x_0, y : torch.Tensor
            Clean and noisy spectrogram, shape (B, 2, F, T).
        t : torch.Tensor
            Time of each item, shape (B,).

        Returns
        -------
        mean : torch.Tensor
            Shape (B, 2, F, T).
        std : torch.Tensor
            Per real component, shape (B, 1, 1, 1).
        """
        a, b, s = self.coefficients(t)
        return a * x_0 + b * y, s

    def noise(self, x_t, x_0, y, t):
        """The eps that leads from both ends to x_t; the score is -eps / s."""
        mean, s = self.marginal(x_0, y, t)
        return (x_t - mean) / s

    def clean(self, x_t, noise, y, t):
        """The x_0 from which ``noise`` leads to x_t, the inverse of it."""
        a, b, s = self.coefficients(t)
        return (x_t - b * y - s * noise) / a
