"""The network in one pass: what diffusion has to be compared with.

Authors
 * The galdse developers
"""

import torch
from torch import nn

from galdse_brain.systems.parts import check_condition


class Predictive(nn.Module):
    """Noisy spectrogram in, clean spectrogram out, no noise, no steps.

    The network's time is always 1, and its condition has no channels.
    """

    def __init__(self, net):
        super().__init__()
        check_condition(self, net, 0)
        self.net = net

    def forward(self, x_0, y, objective, randn_like=torch.randn_like):
        """Losses {name: scalar} of one pass, spectrograms (B, 2, F, T)."""
        return objective(self.enhance(y), x_0)

    def enhance(self, y, randn_like=torch.randn_like, num_steps=None):
        """Enhanced spectrogram of a noisy one, both (B, 2, F, T)."""
        return self.net(y, torch.ones_like(y[:, 0, 0, 0]), y[:, :0])
