"""GALD-SE's guidance before any system on a path.

Authors
 * The galdse developers
"""

import torch
from torch import nn

from galdse_brain.systems.galdse import GALDSE
from galdse_brain.systems.parts import check_guidance, check_takes_condition


class Guided(nn.Module):
    """Shapes the noise of another system by a noise mask, and shows it.

    Arguments
    ---------
    guidance : torch.nn.Module
        Noisy spectrogram (B, 2, F, T) -> ``Guidance``.
    system : torch.nn.Module
        Its network makes its condition of y and the guidance.
    """

    enhance_by_mask = GALDSE.enhance_by_mask
    noise_mask = GALDSE.noise_mask

    def __init__(self, guidance, system):
        super().__init__()
        self.guidance = guidance
        self.system = system
        check_takes_condition(self, system)
        check_guidance(self, guidance, system.net)

    def forward(self, x_0, y, objective, randn_like=torch.randn_like):
        """Losses {name: scalar}: those of the system and of the guidance."""
        guidance = self.guidance(y)
        # Detached: only its own loss may move the guidance.
        hints = self._hints(y, guidance.detach(), randn_like)

        def errors(estimate, clean):
            stages = {"guidance": guidance.estimate}
            return objective(estimate, clean, stages)

        return self.system(x_0, y, errors, **hints)

    def enhance(self, y, randn_like=torch.randn_like, num_steps=None):
        """Enhanced spectrogram of a noisy one, both (B, 2, F, T)."""
        hints = self._hints(y, self.guidance(y), randn_like)
        return self.system.enhance(y, num_steps=num_steps, **hints)

    def _hints(self, y, guidance, randn_like):
        return {
            "randn_like": lambda x: guidance.mask * randn_like(x),
            "cond": self.system.net.condition(y, guidance),
        }
