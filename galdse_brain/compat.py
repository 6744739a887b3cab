"""Shapes that other pipelines expect of their front-ends.

Authors
 * The galdse developers
"""

import torch
from torch import nn


class WaveOnly(nn.Module):
    """An enhancer as the encoder of a SepFormer: (B, N) to (B, N).

    Arguments
    ---------
    enhancer : Enhancer
        Its waveforms are kept, its spectrograms are not.
    """

    def __init__(self, enhancer):
        super().__init__()
        self.enhancer = enhancer

    def forward(self, noisy):
        """Noisy waveforms (B, N) to enhanced ones."""
        wavs, _ = self.enhancer(noisy)
        return wavs


class OnesMask(nn.Module):
    """A SepFormer's mask net for one source that lets all pass.

    Example
    -------
    >>> OnesMask()(torch.zeros(2, 3))
    tensor([[[1., 1., 1.],
             [1., 1., 1.]]])
    """

    def forward(self, x):
        """(B, N) to ones (1, B, N)."""
        return torch.ones_like(x)[None]
