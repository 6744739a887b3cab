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
    """Decoder of one resolution: blocks, then a share of the output."""

    def __init__(self, blocks, channels, out_channels, max_groups):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = group_norm(channels, max_groups)
        self.to_output = conv(channels, out_channels, 3, scale=1e-10)

    def forward(self, h, skips, embedding):
        """Features and the decoder's share, both at this resolution."""
        for block in self.blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), embedding)
        return h, self.to_output(functional.silu(self.norm(h)))


def concatenate(share, h):
    """The encoder's input pyramid beside its features."""
    return torch.cat([share, h], dim=1)


class NCSNpp(nn.Module):
    """U-Net with input and output pyramids.

    The defaults are the "TinyNCSNpp" of GALD-SE: one residual block a level,
    attention in the bottleneck only, the resampled input concatenated at
    every level of the encoder. SGMSE+ (arXiv 2208.05830) has two blocks, more
    attention, and adds it. The output is summed from all levels of the decoder.

    Arguments
    ---------
    channels : int
        Channels at full resolution, a multiple of 4.
    multipliers : tuple of int
        Channels of each level, in units of ``channels``. F and T must be
        multiples of ``2 ** (len(multipliers) - 1)``.
    cond_channels : int
        Channels of the condition beside the two of the state.
    embedding : torch.nn.Module, optional
        Times (B,) to (B, 4 channels); by default ``StepEmbedding``.
    num_blocks : int
        Blocks of a level in the encoder; the decoder has one more.
    attention_levels : tuple of int
        Levels, 0 the finest, with attention after each block of the encoder
        and the last one of the decoder.
    combine : callable
        (share of the input, features) -> features, such as ``torch.add``.
    max_groups : int
        See ``group_norm``.

    Example
    -------
    >>> net = NCSNpp()
    >>> sum(p.numel() for p in net.parameters())
    3627744
    >>> x_t, cond = torch.randn(1, 2, 16, 8), torch.randn(1, 3, 16, 8)
    >>> net(x_t, torch.tensor([3]), cond).shape
    torch.Size([1, 2, 16, 8])
    """

    def __init__(
        self,
        channels=32,
        multipliers=(1, 2, 2, 4),
        cond_channels=3,
        embedding=None,
        num_blocks=1,
        attention_levels=(),
        combine=concatenate,
        max_groups=16,
    ):
        super().__init__()
        self.cond_channels = cond_channels
        pyramid = 2 + cond_channels
        widths = [channels * m for m in multipliers]
        self.stride = 2 ** (len(widths) - 1)
        self.num_blocks = num_blocks
        self.combine = combine
        self.down, self.up = Downsample(pyramid), Upsample()
        self.embedding = embedding or StepEmbedding(channels)
        self.conv_in = conv(pyramid, channels, 3)

        def block(ins, out, resample=None, attentive=False):
            attention = Attention(out, max_groups) if attentive else None
            return ResBlock(
                ins, out, 4 * channels, resample, max_groups, attention
            )

        skips = self._build_encoder(block, widths, pyramid, attention_levels)
        width = widths[-1]
        self.bottleneck = nn.ModuleList(
            [block(width, width), Attention(width, max_groups)]
            + [block(width, width)]
        )
        self.decoder, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, out in reversed(list(enumerate(widths))):
            ins = [n + skips.pop() for n in [width] + [out] * num_blocks]
            blocks = [block(n, out) for n in ins[:-1]]
            blocks += [block(ins[-1], out, None, level in attention_levels)]
            self.decoder.append(Level(blocks, out, pyramid, max_groups))
            width = out
            if level:
                self.ups.append(block(out, out, Upsample()))

        # Default initialisation: untrained, the net returns this bias.
        self.conv_out = nn.Conv2d(pyramid, 2, 1)
        self.to(memory_format=torch.channels_last)

    def _build_encoder(self, block, widths, pyramid, attention_levels):
        """Widths of what the encoder leaves for the decoder."""
        self.encoder, self.downs, self.combines = (
            nn.ModuleList() for _ in range(3)
        )
        skips = [self.conv_in.out_channels]
        for level, out in enumerate(widths):
            for _ in range(self.num_blocks):
                attentive = level in attention_levels
                self.encoder.append(block(skips[-1], out, None, attentive))
                skips.append(out)
            if level + 1 < len(widths):
                self.downs.append(block(out, out, Downsample(out)))
                self.combines.append(conv(pyramid, out, 1))
                skips.append(self.combine(*torch.empty(2, 1, out)).shape[1])
        return skips

    def condition(self, y, guidance):
        """Condition (B, 3, F, T) of a guided system: y and ``1 - M``."""
        return torch.cat([y, 1 - guidance.mask], dim=1)

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
            multiple of the stride, or the condition has other channels.
        """
        if cond.shape[1] != self.cond_channels:
            raise ValueError(
                f"NCSNpp is made for {self.cond_channels} channels of "
                f"condition, got {cond.shape[1]}"
            )
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
        for i, block in enumerate(self.encoder):
            level, later = divmod(i, self.num_blocks)
            if level and not later:
                pyramid = self.down(pyramid)
                share = self.combines[level - 1](pyramid)
                h = self.combine(share, self.downs[level - 1](h, embedding))
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
