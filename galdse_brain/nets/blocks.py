"""Building blocks of the U-Net (NCSN++, arXiv 2011.13456, appendix H).

Authors
 * The galdse developers
"""

import math

import torch
from torch import nn
from torch.nn import functional

SQRT_HALF = math.sqrt(0.5)


def fan_average_(weight, scale=1.0):
    """Uniform initialisation with variance ``2 scale / (fan_in + fan_out)``."""
    receptive = weight[0, 0].numel()
    fan = (weight.shape[0] + weight.shape[1]) * receptive / 2
    bound = math.sqrt(3 * scale / fan)
    return nn.init.uniform_(weight, -bound, bound)


def conv(in_channels, out_channels, kernel_size, scale=1.0):
    """Convolution that keeps the size; ``scale`` 1e-10 starts it at zero."""
    layer = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        padding=kernel_size // 2,
        # Of a 1x1 kernel nothing is dilated, but with one thread torch gives
        # those that are not to a kernel that takes three times as long.
        dilation=2 if kernel_size == 1 else 1,
    )
    fan_average_(layer.weight, scale)
    nn.init.zeros_(layer.bias)
    return layer


def dense(in_features, out_features):
    """Linear layer with the same initialisation."""
    layer = nn.Linear(in_features, out_features)
    fan_average_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def group_norm(channels, max_groups=16):
    """GroupNorm with four channels to a group, at most ``max_groups``."""
    return nn.GroupNorm(min(channels // 4, max_groups), channels, eps=1e-6)


class Downsample(nn.Module):
    """Halves bins and frames with the filter [1, 3, 3, 1] / 8, zero borders.

    As a depth-wise convolution with stride 2 nothing is computed in vain.
    """

    def __init__(self, channels):
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = torch.outer(taps, taps).repeat(channels, 1, 1, 1)
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x):
        """(B, C, F, T) to (B, C, F/2, T/2)."""
        return functional.conv2d(
            x, self.kernel.to(x.dtype), stride=2, padding=1, groups=x.shape[1]
        )


class Upsample(nn.Module):
    """Doubles bins and frames with the filter [1, 3, 3, 1] / 4, zero borders.

    That is bilinear interpolation, which has a fast kernel in every precision.
    At the borders it repeats the outermost value, with a weight of 1/4, where
    the filter sees zero.
    """

    def forward(self, x):
        """(B, C, F, T) to (B, C, 2F, 2T)."""
        x = functional.interpolate(x, scale_factor=2, mode="bilinear")
        x[:, :, 0] *= 0.75
        x[:, :, -1] *= 0.75
        x[:, :, :, 0] *= 0.75
        x[:, :, :, -1] *= 0.75
        return x


def embedding_layers(features, channels):
    """Two dense layers from features of the time."""
    return nn.Sequential(
        dense(features, channels), nn.SiLU(), dense(channels, channels)
    )


class StepEmbedding(nn.Module):
    """Sinusoidal features of the step, then two dense layers.

    Arguments
    ---------
    features : int
        Number of sinusoids, half sine and half cosine; the output has four
        times as many channels.
    time_scale : float
        Times are multiplied by it: 1 for steps, 100 for times up to 1.
    """

    def __init__(self, features, time_scale=1.0):
        super().__init__()
        half = features // 2
        exponent = torch.arange(half) / (half - 1)
        rates = time_scale * 10000.0**-exponent
        self.register_buffer("rates", rates, persistent=False)
        self.layers = embedding_layers(features, 4 * features)

    def forward(self, t):
        """Times (B,) to an embedding (B, 4 features)."""
        angle = t[:, None] * self.rates
        return self.layers(torch.cat([angle.sin(), angle.cos()], dim=1))


class FourierEmbedding(nn.Module):
    """Random Fourier features of ln t, then two dense layers (SGMSE+)."""

    def __init__(self, features):
        super().__init__()
        self.register_buffer("frequencies", 16 * torch.randn(features))
        self.layers = embedding_layers(2 * features, 4 * features)

    def forward(self, t):
        """Positive times (B,) to an embedding (B, 4 features)."""
        angle = 2 * math.pi * t.log()[:, None] * self.frequencies
        return self.layers(torch.cat([angle.sin(), angle.cos()], dim=1))


class ResBlock(nn.Module):
    """BigGAN residual block: two 3x3 convolutions, embedding in between.

    Arguments
    ---------
    in_channels, out_channels : int
        Channels of input and output.
    embedding : int
        Channels of the step embedding.
    resample : torch.nn.Module, optional
        Applied to both branches, see ``Downsample`` and ``Upsample``.
    max_groups : int
        Of the normalisation.
    attention : torch.nn.Module, optional
        Applied to the output.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        embedding,
        resample=None,
        max_groups=16,
        attention=None,
    ):
        super().__init__()
        self.resample = nn.Identity() if resample is None else resample
        self.attention = attention or nn.Identity()
        self.norm_in = group_norm(in_channels, max_groups)
        self.conv_in = conv(in_channels, out_channels, 3)
        self.embed = dense(embedding, out_channels)
        self.norm_out = group_norm(out_channels, max_groups)
        self.conv_out = conv(out_channels, out_channels, 3, scale=1e-10)
        changes = resample is not None or in_channels != out_channels
        self.skip = (
            conv(in_channels, out_channels, 1) if changes else nn.Identity()
        )

    def forward(self, x, embedding):
        """(B, in_channels, F, T), (B, embedding) to (B, out_channels, ...)."""
        h = self.resample(functional.silu(self.norm_in(x), inplace=True))
        h = self.conv_in(h).add_(self.embed(embedding)[:, :, None, None])
        h = self.conv_out(functional.silu(self.norm_out(h), inplace=True))
        h = h.add_(self.skip(self.resample(x))).mul_(SQRT_HALF)
        return self.attention(h)


class Attention(nn.Module):
    """Self-attention over all F T positions, one head, residual."""

    def __init__(self, channels, max_groups=16):
        super().__init__()
        self.norm = group_norm(channels, max_groups)
        self.query = conv(channels, channels, 1, scale=0.1)
        self.key = conv(channels, channels, 1, scale=0.1)
        self.value = conv(channels, channels, 1, scale=0.1)
        self.out = conv(channels, channels, 1, scale=1e-10)

    def forward(self, x):
        """(B, C, F, T) to the same shape."""
        h = self.norm(x)
        q, k, v = (
            layer(h).flatten(2).transpose(1, 2)[:, None]
            for layer in (self.query, self.key, self.value)
        )
        h = functional.scaled_dot_product_attention(q, k, v)
        h = h[:, 0].transpose(1, 2).reshape(x.shape)
        return self.out(h).add_(x).mul_(SQRT_HALF)
