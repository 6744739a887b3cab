"""NCSN++ in full size, the network of SGMSE+.

Authors
 * The galdse developers
"""

import math

import torch
from torch import nn
from torch.nn import functional

from galdse_brain.nets.blocks import (
    Attention,
    ResBlock,
    conv,
    dense,
    downsample,
    group_norm,
    upsample,
)

GROUPS = 32


class FourierEmbedding(nn.Module):
    """Random Fourier features of the logarithm of t, then two dense layers."""

    def __init__(self, features, scale=16.0):
        super().__init__()
        self.register_buffer("frequencies", scale * torch.randn(features))
        self.layers = nn.Sequential(
            dense(2 * features, 4 * features),
            nn.SiLU(),
            dense(4 * features, 4 * features),
        )

    def forward(self, t):
        """Positive times (B,) to an embedding (B, 4 features)."""
        angle = 2 * math.pi * t.log()[:, None] * self.frequencies
        return self.layers(torch.cat([angle.sin(), angle.cos()], dim=1))


class Stage(nn.Module):
    """Blocks of one resolution, and what exchanges its pyramid."""

    def __init__(self, blocks, attention, exchange):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.attention = attention
        self.exchange = exchange


class FullNCSNpp(nn.Module):
    """U-Net with pyramids whose shares are summed (arXiv 2208.05830).

    Of the same blocks as ``NCSNpp``, but with several a level, attention also
    in the levels named, and Fourier features of the time.

    Arguments
    ---------
    channels : int
        Channels at full resolution.
    multipliers : tuple of int
        Channels of each level, in units of ``channels``. F and T must be
        multiples of ``2 ** (len(multipliers) - 1)``.
    num_blocks : int
        Blocks a level in the encoder; the decoder has one more.
    attention_levels : tuple of int
        Levels with attention after the blocks, 0 the finest. The bottleneck
        has it always.
    cond_channels : int
        Channels of the condition beside the two of the state.

    Example
    -------
    >>> net = FullNCSNpp(8, (1, 2), 1, (1,))
    >>> x_t, cond = torch.randn(2, 1, 2, 16, 8)
    >>> net(x_t, torch.tensor([0.5]), cond).shape
    torch.Size([1, 2, 16, 8])
    """

    def __init__(
        self,
        channels=128,
        multipliers=(1, 1, 2, 2, 2, 2, 2),
        num_blocks=2,
        attention_levels=(4,),
        cond_channels=2,
    ):
        super().__init__()
        self.pyramid_channels = 2 + cond_channels
        self.stride = 2 ** (len(multipliers) - 1)
        self.attention_levels = attention_levels
        self.down, self.up = downsample(), upsample()
        self.embedding = FourierEmbedding(channels)
        self.conv_in = conv(self.pyramid_channels, channels, 3)

        widths, skips = [channels * m for m in multipliers], [channels]
        self.encoder, self.downs = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            if level:
                self.downs.append(self.block(skips[-1], skips[-1], downsample()))
                skips.append(skips[-1])
            ins = [skips[-1]] + [width] * (num_blocks - 1)
            self.encoder.append(self.encoding(level, ins, width, skips[-1]))
            skips += [width] * num_blocks

        self.bottleneck = nn.ModuleList(
            [self.block(width, width), self.block(width, width)]
        )
        self.attention = Attention(width, GROUPS)

        self.decoder, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, out in reversed(list(enumerate(widths))):
            ins = [width] + [out] * num_blocks
            ins = [channels + skips.pop() for channels in ins]
            self.decoder.append(self.decoding(level, ins, out))
            width = out
            if level:
                self.ups.append(self.block(out, out, upsample()))

        # Default initialisation: untrained, the net returns this bias.
        self.conv_out = nn.Conv2d(self.pyramid_channels, 2, 1)
        self.to(memory_format=torch.channels_last)
