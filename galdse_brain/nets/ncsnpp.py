"""The denoiser: NCSN++ in the small configuration of GALD-SE.

Authors
 * The galdse developers
"""

import torch
from torch import nn
from torch.nn import functional

from galdse_brain.nets.blocks import (
    Attention,
    Downsample,
    ResBlock,
    StepEmbedding,
    Upsample,
    conv,
    group_norm,
)


class Level(nn.Module):
    """Decoder of one resolution: two blocks, then a share of the output."""

    def __init__(self, in_channels, channels, skips, embedding, out_channels):
        super().__init__()
        widths = [in_channels, channels]
        self.blocks = nn.ModuleList(
            ResBlock(width + skip, channels, embedding)
            for width, skip in zip(widths, skips)
        )
        self.norm = group_norm(channels)
        self.to_output = conv(channels, out_channels, 3, scale=1e-10)

    def forward(self, h, skips, embedding):
        """Features and the decoder's share, both at this resolution."""
        for block in self.blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), embedding)
        return h, self.to_output(functional.silu(self.norm(h)))


class NCSNpp(nn.Module):
    """U-Net with input and output pyramids ("TinyNCSNpp" of GALD-SE).

    One residual block a level, FIR resampling, attention in the bottleneck
    only. The input, resampled, is concatenated at every level of the encoder;
    the output is summed from all levels of the decoder.

    Arguments
    ---------
    channels : int
        Channels at full resolution, a multiple of 4.
    multipliers : tuple of int
        Channels of each level, in units of ``channels``. F and T must be
        multiples of ``2 ** (len(multipliers) - 1)``.
    cond_channels : int
        Channels of the condition beside the two of the state.

    Example
    -------
    >>> net = NCSNpp()
    >>> sum(p.numel() for p in net.parameters())
    3627744
    >>> x_t, cond = torch.randn(1, 2, 16, 8), torch.randn(1, 3, 16, 8)
    >>> net(x_t, torch.tensor([3]), cond).shape
    torch.Size([1, 2, 16, 8])
    """

    def __init__(self, channels=32, multipliers=(1, 2, 2, 4), cond_channels=3):
        super().__init__()
        in_channels = 2 + cond_channels
        widths = [channels * m for m in multipliers]
        embedding = 4 * channels
        self.stride = 2 ** (len(widths) - 1)
        self.down, self.up = Downsample(in_channels), Upsample()
        self.embedding = StepEmbedding(channels)
        self.conv_in = conv(in_channels, channels, 3)

        width, skips = channels, [channels]
        self.encoder, self.downs, self.combines = (
            nn.ModuleList(),
            nn.ModuleList(),
            nn.ModuleList(),
        )
        for level, out in enumerate(widths):
            self.encoder.append(ResBlock(width, out, embedding))
            width = out
            skips.append(out)
            if level + 1 < len(widths):
                self.downs.append(
                    ResBlock(out, out, embedding, Downsample(out))
                )
                self.combines.append(conv(in_channels, out, 1))
                width = 2 * out
                skips.append(width)

        self.bottleneck = nn.ModuleList(
            [
                ResBlock(width, width, embedding),
                Attention(width),
                ResBlock(width, width, embedding),
            ]
        )

        self.decoder, self.ups = nn.ModuleList(), nn.ModuleList()
        for out in reversed(widths):
            pair = skips.pop(), skips.pop()
            self.decoder.append(Level(width, out, pair, embedding, in_channels))
            width = out
            if skips:
                self.ups.append(ResBlock(out, out, embedding, Upsample()))

        # Default initialisation: untrained, the net returns this bias.
        self.conv_out = nn.Conv2d(in_channels, 2, 1)
        self.to(memory_format=torch.channels_last)

    def forward(self, x_t, t, cond):
        """Estimate of the clean spectrogram.

        Arguments
        ---------
        x_t : torch.Tensor
            State, shape (B, 2, F, T).
        t : torch.Tensor
            Time of each item, shape (B,).
        cond : torch.Tensor
            Condition, shape (B, cond_channels, F, T).

        Returns
        -------
        x_0 : torch.Tensor
            Estimate, shape (B, 2, F, T). ValueError if F or T is not a
            multiple of the stride.
        """
        if x_t.shape[2] % self.stride or x_t.shape[3] % self.stride:
            raise ValueError(
                f"bins and frames must be multiples of {self.stride}, "
                f"got {tuple(x_t.shape[2:])}"
            )
        embedding = functional.silu(self.embedding(t))
        pyramid = torch.cat([x_t, cond], dim=1).contiguous(
            memory_format=torch.channels_last
        )
        h = self.conv_in(pyramid)
        skips = [h]
        h = self.encoder[0](h, embedding)
        skips.append(h)
        for block, down, combine in zip(
            self.encoder[1:], self.downs, self.combines
        ):
            pyramid = self.down(pyramid)
            h = torch.cat([combine(pyramid), down(h, embedding)], dim=1)
            skips.append(h)
            h = block(h, embedding)
            skips.append(h)

        first, attention, second = self.bottleneck
        h = second(attention(first(h, embedding)), embedding)

        h, output = self.decoder[0](h, skips, embedding)
        for level, up in zip(self.decoder[1:], self.ups):
            h, share = level(up(h, embedding), skips, embedding)
            output = self.up(output).add_(share)
        return self.conv_out(output)
