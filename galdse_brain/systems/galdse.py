"""GALD-SE: guided anisotropic lightweight diffusion for speech enhancement.

Authors
 * The galdse developers
"""

import torch
from torch import nn
from torch.nn.functional import mse_loss

from galdse_brain.systems.parts import check_condition, check_parts


class GALDSE(nn.Module):
    """Residual-shift diffusion whose noise follows a noise mask.

    Wang et al., "GALD-SE: Guided Anisotropic Lightweight Diffusion for
    Efficient Speech Enhancement", arXiv 2409.15101.

    Arguments
    ---------
    path : Path
        From clean to noisy speech, with integer times counted from 1.
    guidance : torch.nn.Module
        Noisy spectrogram (B, 2, F, T) -> noise mask M (B, 1, F, T).
    net : torch.nn.Module
        (x_t, step, condition) -> estimate of the clean spectrogram.
    sampler : callable
        (path, estimate, y, randn_like=, num_steps=) -> clean spectrogram.
    mask_exponent : float
        Training noise is shaped by ``M ** mask_exponent``: 1, and 0.5 to
        fine-tune. Sampling always uses M.
    """

    def __init__(self, path, guidance, net, sampler, mask_exponent=1.0):
        super().__init__()
        self.path = path
        self.guidance = guidance
        self.net = net
        self.sampler = sampler
        self.mask_exponent = mask_exponent
        if path.times().is_floating_point():
            raise ValueError(
                f"GALDSE counts steps, but {type(path).__name__} has times in "
                "between; guide such a path by Guided"
            )
        check_parts(self, lambda x_t, output, y, t: output)
        check_condition(self, net, 3)

    def forward(self, x_0, y, objective, randn_like=torch.randn_like):
        """One training pass.

        Arguments
        ---------
        x_0, y : torch.Tensor
            Clean and noisy spectrogram, shape (B, 2, F, T).
        objective : callable
            (estimate, clean) -> {name: scalar}.
        randn_like : callable
            Source of noise.

        Returns
        -------
        losses : dict
            ``guidance`` and the names of the objective, each a scalar.
        """
        mask = self.guidance(y)
        t = self.path.sample_time(y)
        x_t = self.diffuse(x_0, y, t, mask, randn_like)
        # Detached: only the guidance loss may move the mask.
        estimate = self.denoiser(y, mask.detach())(x_t, t)
        return {
            "guidance": mse_loss((1 - mask) * y, x_0),
            **objective(estimate, x_0),
        }

    def diffuse(self, x_0, y, t, mask, randn_like=torch.randn_like):
        """State x_t (B, 2, F, T) at times t (B,), with noise shaped by M."""
        mean, std = self.path.marginal(x_0, y, t)
        return mean + std * mask.detach() ** self.mask_exponent * randn_like(y)

    def denoiser(self, y, mask):
        """The network under its condition: (x_t, t) -> estimate of x_0."""
        cond = torch.cat([y, 1 - mask], dim=1)
        # Published networks count their steps from 0.
        return lambda x_t, t: self.net(x_t, t - 1, cond)

    def enhance(self, y, randn_like=torch.randn_like, num_steps=None):
        """Enhanced spectrogram of a noisy one, both (B, 2, F, T)."""
        mask = self.guidance(y)
        return self.sampler(
            self.path,
            self.denoiser(y, mask),
            y,
            randn_like=lambda x: mask * randn_like(x),
            num_steps=num_steps,
        )

    def enhance_by_mask(self, y, randn_like=None, num_steps=None):
        """What the guidance alone gives, ``(1 - M) y``, a control."""
        return (1 - self.guidance(y)) * y

    def noise_mask(self, y):
        """The mask M (B, 1, F, T) of a noisy spectrogram, to be looked at."""
        return self.guidance(y)
