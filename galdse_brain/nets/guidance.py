"""The guidance: where is noise, bin by bin ("MagMask" of GALD-SE).

Authors
 * The galdse developers
"""

from typing import NamedTuple

import torch
from torch import nn

BINS_KERNEL = {"kernel_size": (5, 2), "stride": (2, 1), "padding": (2, 1)}


class Guidance(NamedTuple):
    """What a guidance network says of a noisy spectrogram (B, 2, F, T).

    Arguments
    ---------
    mask : torch.Tensor
        Noise mask M, the shape of the diffusion noise, (B, 1, F, T): near 1
        where there is noise alone, near 0 where there is speech alone.
    estimate : torch.Tensor
        First estimate of the clean spectrogram, (B, 2, F, T).
    features : torch.Tensor, optional
        What a denoiser may go on from.
    """

    mask: torch.Tensor
    estimate: torch.Tensor
    features: torch.Tensor | None = None

    def detach(self):
        """The same without gradients."""
        return Guidance(*(x if x is None else x.detach() for x in self))


class ChannelAndSpatialGate(nn.Module):
    """CBAM (arXiv 1807.06521): gates the channels, then the positions."""

    def __init__(self, channels):
        super().__init__()
        self.channel = nn.Sequential(
            nn.Conv2d(channels, channels // 2, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // 2, channels, 1, bias=False),
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x):
        """(B, C, F, T) to the same shape."""
        mean = x.mean(dim=(2, 3), keepdim=True)
        peak = x.amax(dim=(2, 3), keepdim=True)
        x = x * torch.sigmoid(self.channel(mean) + self.channel(peak))
        summary = [x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)]
        return x * torch.sigmoid(self.spatial(torch.cat(summary, dim=1)))


class Recurrence(nn.Module):
    """Bidirectional LSTM along the first axis of an item, projected, residual.

    Sequences first is what the LSTM computes in: of one item nothing is copied.
    """

    def __init__(self, channels, hidden_size):
        super().__init__()
        self.rnn = nn.LSTM(channels, hidden_size, bidirectional=True)
        self.project = nn.Linear(2 * hidden_size, channels)
        self.norm = nn.GroupNorm(1, channels, eps=1e-8)

    def forward(self, x):
        """(B, L, R, C), L the axis that is run along, to the same shape."""
        batch, length, rows, channels = x.shape
        sequences = x.transpose(0, 1).reshape(length, batch * rows, channels)
        h, _ = self.rnn(sequences)
        h = self.project(h).view(length, batch, rows, channels).transpose(0, 1)
        return x + self.norm(h.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class DualPath(nn.Module):
    """DPRNN block (arXiv 1910.06379): along frequency, then along time."""

    def __init__(self, channels, hidden_size):
        super().__init__()
        self.frequency = Recurrence(channels, hidden_size)
        self.time = Recurrence(channels, hidden_size)

    def forward(self, x):
        """(B, C, F, T) to the same shape."""
        x = self.frequency(x.permute(0, 2, 3, 1))  # (B, F, T, C)
        x = self.time(x.transpose(1, 2))  # (B, T, F, C)
        return x.permute(0, 3, 2, 1)


def encoder_block(in_channels, out_channels, **geometry):
    """Convolution, batch normalisation, PReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, **geometry),
        nn.BatchNorm2d(out_channels),
        nn.PReLU(),
    )


def decoder_block(in_channels, out_channels, activation, **geometry):
    """Transposed convolution, batch normalisation, ``activation``."""
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, **geometry),
        nn.BatchNorm2d(out_channels),
        activation,
    )


class GuidanceNet(nn.Module):
    """Noise mask of a noisy spectrogram, GALD-SE's guided anisotropy.

    Convolutional encoder and decoder over frequency with gated skips and two
    dual-path recurrent blocks between them. Not causal.

    Arguments
    ---------
    hidden_size : int
        Units of each LSTM and direction.

    Example
    -------
    >>> guidance = GuidanceNet()
    >>> sum(p.numel() for p in guidance.parameters())
    889390
    >>> mask = guidance(torch.randn(1, 2, 256, 16)).mask
    >>> mask.shape, bool((0 <= mask).all() and (mask <= 1).all())
    (torch.Size([1, 1, 256, 16]), True)
    """

    def __init__(self, hidden_size=128):
        super().__init__()
        self.encoder = nn.ModuleList(
            [
                encoder_block(3, 16, **BINS_KERNEL),
                encoder_block(16, 32, **BINS_KERNEL),
                encoder_block(32, 64, kernel_size=1),
            ]
        )
        self.gates = nn.ModuleList(
            ChannelAndSpatialGate(channels) for channels in (16, 32, 64)
        )
        self.recurrence = nn.Sequential(
            DualPath(64, hidden_size), DualPath(64, hidden_size)
        )
        up = {**BINS_KERNEL, "output_padding": (1, 0)}
        self.decoder = nn.ModuleList(
            [
                decoder_block(128, 32, nn.PReLU(), kernel_size=1),
                decoder_block(64, 16, nn.PReLU(), **up),
                decoder_block(32, 1, nn.Sigmoid(), **up),
            ]
        )

    def forward(self, y):
        """Noise mask M, and ``(1 - M) y`` as the estimate.

        Arguments
        ---------
        y : torch.Tensor
            Noisy spectrogram, shape (B, 2, F, T), F a multiple of 4.

        Returns
        -------
        guidance : Guidance
            Without features.
        """
        if y.shape[2] % 4:
            raise ValueError(f"bins must be a multiple of 4, got {y.shape[2]}")
        magnitude = torch.linalg.vector_norm(y, dim=1, keepdim=True)
        h = torch.cat([y, magnitude], dim=1)
        skips = []
        for block, gate in zip(self.encoder, self.gates):
            h = block(h)
            skips.append(gate(h))
        h = self.recurrence(h)
        for block in self.decoder:
            h = block(torch.cat([h, skips.pop()], dim=1))
        return Guidance(1 - h, h * y)
