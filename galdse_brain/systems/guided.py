"""GALD-SE's guidance before any system on a path.

Authors
 * The galdse developers
"""

import torch
from torch import nn
from torch.nn.functional import mse_loss

from galdse_brain.systems.galdse import GALDSE
from galdse_brain.systems.parts import check_hints


class Guided(nn.Module):
    """Shapes the noise of another system by a noise mask, and shows it.

    Arguments
    ---------
    guidance : torch.nn.Module
        Noisy spectrogram (B, 2, F, T) -> noise mask M (B, 1, F, T).
    system : torch.nn.Module
        Its network takes three channels of condition, y and 1 - M.
    """

    enhance_by_mask = GALDSE.enhance_by_mask
    noise_mask = GALDSE.noise_mask

    def __init__(self, guidance, system):
        super().__init__()
        self.guidance = guidance
        self.system = system
        check_hints(self, system, 3)

    def forward(self, x_0, y, objective, randn_like=torch.randn_like):
        """Losses {name: scalar}: ``guidance`` and those of the system."""
        mask = self.guidance(y)
        # Detached: only the guidance loss may move the mask.
        hints = self._hints(y, mask.detach(), randn_like)
        return {
            "guidance": mse_loss((1 - mask) * y, x_0),
            **self.system(x_0, y, objective, **hints),
        }

    def enhance(self, y, randn_like=torch.randn_like, num_steps=None):
        """Enhanced spectrogram of a noisy one, both (B, 2, F, T)."""
        hints = self._hints(y, self.guidance(y), randn_like)
        return self.system.enhance(y, num_steps=num_steps, **hints)

    def _hints(self, y, mask, randn_like):
        return {
            "randn_like": lambda x: mask * randn_like(x),
            "cond": torch.cat([y, 1 - mask], dim=1),
        }
