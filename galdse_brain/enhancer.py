"""The one way from a noisy waveform to an enhanced one.

Authors
 * The galdse developers
"""

import torch
from torch import nn


def peak(wav):
    """Largest magnitude of each waveform (..., N), shape (..., 1)."""
    return wav.abs().amax(dim=-1, keepdim=True)


def normalize(noisy, *others):
    """Divides waveforms (B, N) by the peak of ``noisy``; silence stays.

    Example
    -------
    >>> normalize(torch.tensor([[1.0, -4.0]]), torch.tensor([[2.0, 2.0]]))
    [tensor([[ 0.2500, -1.0000]]), tensor([[0.5000, 0.5000]])]
    """
    scale = peak(noisy).clamp(min=1e-8)
    return [wav / scale for wav in (noisy, *others)]


class Enhancer(nn.Module):
    """A system and its transform, from waveform to waveform.

    Arguments
    ---------
    system : object
        Anything with ``enhance(y, randn_like)`` on spectrograms.
    spec : SpecTransform
        Waveforms to spectrograms and back.
    """

    def __init__(self, system, spec):
        super().__init__()
        self.system = system
        self.spec = spec

    def forward(self, noisy, lengths=None, randn_like=torch.randn_like):
        """Enhance a batch; for equal noise, each item as if it were alone.

        Arguments
        ---------
        noisy : torch.Tensor
            Noisy waveforms at the rate of training, shape (B, N).
        lengths : torch.Tensor, optional
            Relative lengths in (0, 1], shape (B,). Items of equal length run
            together, because padding would leak through the networks.
        randn_like : callable
            Source of noise.

        Returns
        -------
        wavs : torch.Tensor
            Enhanced waveforms, shape (B, N), zero beyond each length.
        feats : list
            Enhanced spectrograms (1, 2, F, T), one for each item.
        """
        if lengths is None:
            lengths = noisy.new_ones(len(noisy))
        samples = (lengths * noisy.shape[1]).round().long()
        wavs = torch.zeros_like(noisy)
        feats = [None] * len(noisy)
        for length in samples.unique().tolist():
            rows = (samples == length).nonzero().flatten()
            wav, spec = self._enhance(noisy[rows, :length], randn_like)
            wavs[rows, :length] = wav
            for row, item in zip(rows.tolist(), spec.split(1)):
                feats[row] = item
        return wavs, feats

    def _enhance(self, noisy, randn_like):
        y = self.spec(*normalize(noisy))
        x_0 = self.system.enhance(y, randn_like)
        return self.spec.inverse(x_0, noisy.shape[1]) * peak(noisy), x_0
