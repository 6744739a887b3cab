"""A path and a network that predicts its clean end.

Authors
 * The galdse developers
"""

import torch
from torch import nn

from galdse_brain.systems.parts import check_parts


class DataPrediction(nn.Module):
    """The network gives the clean spectrogram itself.

    With the path ``BridgeVE`` this is the Schroedinger bridge of Jukic et
    al., arXiv 2407.16074; the rule of ``walk`` makes its SDE or ODE sampler.

    Arguments
    ---------
    path : Path
        From clean to noisy speech.
    net : torch.nn.Module
        (x_t, t, condition) -> estimate of the clean spectrogram.
    sampler : callable
        (path, estimate, y, num_steps=, randn_like=) -> clean spectrogram.
        ValueError if it cannot go along this path, see ``check_parts``.
    """

    def __init__(self, path, net, sampler):
        super().__init__()
        self.path = path
        self.net = net
        self.sampler = sampler
        check_parts(self, self.clean)

    def forward(
        self, x_0, y, objective, randn_like=torch.randn_like, cond=None
    ):
        """Losses {name: scalar} of one pass, spectrograms (B, 2, F, T).

        ``cond``, by default y, is what the network sees beside the state.
        """
        cond = y if cond is None else cond
        t, eps = self.path.sample_time(y), randn_like(y)
        mean, std = self.path.marginal(x_0, y, t)
        x_t = mean + std * eps
        output = self.net(x_t, t, cond)
        estimate = self.clean(x_t, output, y, t)
        return {**self.errors(output, eps), **objective(estimate, x_0)}

    def errors(self, output, eps):
        """Errors of the output beside those of the objective: none."""
        return {}

    def clean(self, x_t, output, y, t):
        """Estimate of the clean spectrogram that an output stands for."""
        return output

    def enhance(
        self, y, randn_like=torch.randn_like, num_steps=None, cond=None
    ):
        """Enhanced spectrogram of a noisy one, both (B, 2, F, T)."""
        cond = y if cond is None else cond

        def estimate(x_t, t):
            return self.clean(x_t, self.net(x_t, t, cond), y, t)

        return self.sampler(
            self.path, estimate, y, num_steps=num_steps, randn_like=randn_like
        )
