"""GALD-SE: guided anisotropic lightweight diffusion for speech enhancement.

Authors
 * The galdse developers
"""

import torch
from torch import nn

from galdse_brain.systems.parts import check_guidance, check_parts


class GALDSE(nn.Module):
    """Residual-shift diffusion whose noise follows a noise mask.

    Wang et al., "GALD-SE: Guided Anisotropic Lightweight Diffusion for
    Efficient Speech Enhancement", arXiv 2409.15101.

    Arguments
    ---------
    path : Path
        From clean to noisy speech, with integer times counted from 1.
    guidance : torch.nn.Module
        Noisy spectrogram (B, 2, F, T) -> ``Guidance``: a noise mask M, a first
        estimate, and perhaps features.
    net : torch.nn.Module
        (x_t, step, condition) -> estimate of the clean spectrogram. Its
        ``condition`` makes the condition of y and the guidance, once for all
        steps.
    sampler : callable
        (path, estimate, y, randn_like=, num_steps=) -> clean spectrogram.
    mask_exponent : float
        Training noise is shaped by ``M ** mask_exponent``: 1, and 0.5 to
        fine-tune. Sampling always uses M.
    joint : bool
        Whether the denoiser's losses train the guidance, too; as published
        its own loss alone does.
    num_steps : int, optional
        Steps in use unless others are asked for, by default all of the path.
        0 is the guidance alone.
    """

    def __init__(
        self,
        path,
        guidance,
        net,
        sampler,
        mask_exponent=1.0,
        joint=False,
        num_steps=None,
    ):
        super().__init__()
        self.path = path
        self.guidance = guidance
        self.net = net
        self.sampler = sampler
        self.mask_exponent = mask_exponent
        self.joint = joint
        self.num_steps = num_steps
        if path.times().is_floating_point():
            raise ValueError(
                f"GALDSE counts steps, but {type(path).__name__} has times in "
                "between; guide such a path by Guided"
            )
        if num_steps:
            path.times(num_steps)  # ValueError if it has not so many.
        check_parts(self, lambda x_t, output, y, t: output)
        check_guidance(self, guidance, net)

    def forward(self, x_0, y, objective, randn_like=torch.randn_like):
        """One training pass.

        Arguments
        ---------
        x_0, y : torch.Tensor
            Clean and noisy spectrogram, shape (B, 2, F, T).
        objective : callable
            (estimate, clean, {"guidance": first estimate}) ->
            {name: scalar}.
        randn_like : callable
            Source of noise.

        Returns
        -------
        losses : dict
            Those of the objective, each a scalar.
        """
        guidance = self.guidance(y)
        first = guidance.estimate
        if not self.joint:
            guidance = guidance.detach()
        t = self.path.sample_time(y)
        x_t = self.diffuse(x_0, y, t, guidance.mask, randn_like)
        estimate = self.denoiser(y, guidance)(x_t, t)
        return objective(estimate, x_0, {"guidance": first})

    def diffuse(self, x_0, y, t, mask, randn_like=torch.randn_like):
        """State x_t (B, 2, F, T) at times t (B,), with noise shaped by M."""
        mean, std = self.path.marginal(x_0, y, t)
        return mean + std * mask**self.mask_exponent * randn_like(y)

    @property
    def causal(self):
        """Whether it can go on from what it knew, see ``enhance``."""
        parts = self.guidance, self.net
        return all(getattr(part, "causal", False) for part in parts)

    def denoiser(self, y, guidance, past=None):
        """The network under its condition: (x_t, t) -> estimate of x_0."""
        if past is None:
            cond = self.net.condition(y, guidance)
            # Published networks count their steps from 0.
            return lambda x_t, t: self.net(x_t, t - 1, cond)
        cond = self.net.condition(y, guidance, past)

        def estimate(x_t, t):
            of_step = past.setdefault(int(t[0]), {})
            return self.net(x_t, t - 1, cond, of_step)

        return estimate

    def enhance(
        self, y, randn_like=torch.randn_like, num_steps=None, past=None
    ):
        """Enhanced spectrogram of a noisy one, both (B, 2, F, T).

        ``past``, if the system is causal: a dict, empty at first, by which a
        call goes on where the last one with it ended. All calls but the last
        take an even number of frames.
        """
        steps = self.num_steps if num_steps is None else num_steps
        known = () if past is None else (past,)
        guidance = self.guidance(y, *known)
        if steps == 0:
            return guidance.estimate
        return self.sampler(
            self.path,
            self.denoiser(y, guidance, *known),
            y,
            randn_like=lambda x: guidance.mask * randn_like(x),
            num_steps=steps,
        )

    def enhance_by_mask(self, y, randn_like=None, num_steps=None):
        """The guidance's estimate alone, a control."""
        return self.guidance(y).estimate

    def noise_mask(self, y):
        """The mask M (B, 1, F, T) of a noisy spectrogram, to be looked at."""
        return self.guidance(y).mask
