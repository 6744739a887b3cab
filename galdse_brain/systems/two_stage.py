"""A predictor first, then a system that goes on from its estimate.

Authors
 * The galdse developers
"""

import torch
from torch import nn
from torch.nn.functional import mse_loss

from galdse_brain.systems.parts import check_hints


class TwoStage(nn.Module):
    """Stochastic regeneration (StoRM, arXiv 2212.11851).

    The path of the second stage ends at the predictor's estimate D(y) in the
    place of y. Both stages learn together, the predictor also from the losses
    of the second, unless its parameters need no gradient.

    Arguments
    ---------
    predictor : torch.nn.Module
        Any system whose ``enhance`` gives D(y).
    system : torch.nn.Module
        Its network takes four channels of condition, y and D(y).
    """

    def __init__(self, predictor, system):
        super().__init__()
        self.predictor = predictor
        self.system = system
        check_hints(self, system, 4)

    def forward(self, x_0, y, objective, randn_like=torch.randn_like):
        """Losses {name: scalar}: ``predictor`` and those of the system."""
        first = self.predictor.enhance(y, randn_like)
        cond = torch.cat([y, first], dim=1)
        return {
            "predictor": mse_loss(first, x_0),
            **self.system(x_0, first, objective, randn_like, cond),
        }

    def enhance(self, y, randn_like=torch.randn_like, num_steps=None):
        """Enhanced spectrogram of a noisy one, both (B, 2, F, T)."""
        first = self.predictor.enhance(y, randn_like)
        cond = torch.cat([y, first], dim=1)
        return self.system.enhance(first, randn_like, num_steps, cond)

    def predict(self, y, randn_like=torch.randn_like, num_steps=None):
        """What the predictor alone gives, a control."""
        return self.predictor.enhance(y, randn_like)
