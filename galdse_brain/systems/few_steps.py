"""A second stage of training, through the sampler, towards few steps.

Authors
 * The galdse developers
"""

from functools import partial

import torch
from torch import nn

from galdse_brain.samplers import through_last_call
from galdse_brain.systems.parts import keep_statistics


class FewSteps(nn.Module):
    """Trains what the sampler returns (CRP, arXiv 2309.09677).

    The network, trained already, learns to mend what its own first steps did.
    The gradient goes ``through_last_call`` of the system's sampler alone, so
    that a pass costs the memory of one call.

    Arguments
    ---------
    system : torch.nn.Module
        A trained system with a sampler. ValueError if it has none.
    num_steps : int
        Steps in training, and in use unless others are asked for. ValueError
        if the system's path has not so many.
    """

    def __init__(self, system, num_steps):
        super().__init__()
        for part in system.modules():
            if hasattr(part, "times"):
                part.times(num_steps)  # ValueError if it has not so many.
        walkers = [p for p in system.modules() if hasattr(p, "sampler")]
        if not walkers:
            raise ValueError(
                "FewSteps trains what a sampler returns, but "
                f"{type(system).__name__} has none"
            )
        for part in walkers:
            part.sampler = partial(through_last_call, sampler=part.sampler)
        self.system = system
        self.num_steps = num_steps

    def train(self, mode=True):
        """Batch normalisation stays as in use: that is what is trained."""
        return keep_statistics(super().train(mode))

    def forward(self, x_0, y, objective, randn_like=torch.randn_like):
        """Losses {name: scalar} of what the sampler returns."""
        return objective(self.enhance(y, randn_like), x_0)

    def enhance(self, y, randn_like=torch.randn_like, num_steps=None):
        """Enhanced spectrogram of a noisy one, both (B, 2, F, T)."""
        steps = self.num_steps if num_steps is None else num_steps
        return self.system.enhance(y, randn_like, steps)
