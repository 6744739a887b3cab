"""A predictor first, then a system that goes on from its estimate.

Authors
 * The galdse developers
"""

import torch
from torch import nn

from galdse_brain.systems.parts import check_takes_condition


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
        check_takes_condition(self, system, 4)

    def forward(self, x_0, y, objective, randn_like=torch.randn_like):
        """Losses {name: scalar}: those of the system and of the predictor."""
        first = self.predictor.enhance(y, randn_like)
        cond = torch.cat([y, first], dim=1)

        def errors(estimate, clean):
            return objective(estimate, clean, {"predictor": first})

        return self.system(x_0, first, errors, randn_like, cond)

    def enhance(self, y, randn_like=torch.randn_like, num_steps=None):
        """Enhanced spectrogram of a noisy one, both (B, 2, F, T)."""
        first = self.predictor.enhance(y, randn_like)
        cond = torch.cat([y, first], dim=1)
        return self.system.enhance(first, randn_like, num_steps, cond)

    def predict(self, y, randn_like=torch.randn_like, num_steps=None):
        """What the predictor alone gives, a control."""
        return self.predictor.enhance(y, randn_like)
