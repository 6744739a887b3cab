"""The denoiser in the textbook form, to measure and to test ours against.

Written from the description of NCSN++ in the layout that papers draw: dense
filters over inserted zeros to resample, attention with its whole matrix,
channels first, a new tensor for every operation. It computes what
``galdse_brain.nets.ncsnpp`` computes, from the same weights.

Authors
 * The galdse developers
"""

import math

import torch
from torch.nn import functional


class NaiveNet:
    """The network of a ``state_dict`` of ``NCSNpp``.

    Arguments
    ---------
    state : dict
        Name -> tensor.

    Example
    -------
    >>> from galdse_brain.nets.ncsnpp import NCSNpp
    >>> net = NaiveNet(NCSNpp(channels=8).state_dict())
    >>> x_t, cond = torch.randn(1, 2, 16, 8), torch.randn(1, 3, 16, 8)
    >>> net(x_t, torch.tensor([3]), cond).shape
    torch.Size([1, 2, 16, 8])
    """

    def __init__(self, state):
        self.state = {
            name: tensor.contiguous() for name, tensor in state.items()
        }
        self.num_levels = len(
            {name.split(".")[1] for name in state if name.startswith("encoder")}
        )

    def __call__(self, x_t, t, cond):
        """As ``NCSNpp.forward``."""
        embedding = self.embedding(t)
        pyramid = torch.cat([x_t, cond], dim=1)
        h = self.conv("conv_in", pyramid)
        skips = [h]
        for i in range(self.num_levels):
            if i > 0:
                pyramid = downsampled(pyramid)
                h = self.block(f"downs.{i - 1}", h, embedding, downsampled)
                h = torch.cat([self.conv(f"combines.{i - 1}", pyramid), h], 1)
                skips.append(h)
            h = self.block(f"encoder.{i}", h, embedding)
            skips.append(h)

        h = self.block("bottleneck.0", h, embedding)
        h = self.attention("bottleneck.1", h)
        h = self.block("bottleneck.2", h, embedding)

        output = 0
        for i in range(self.num_levels):
            if i > 0:
                h = self.block(f"ups.{i - 1}", h, embedding, upsampled)
                output = upsampled(output)
            for j in range(2):
                h = torch.cat([h, skips.pop()], dim=1)
                h = self.block(f"decoder.{i}.blocks.{j}", h, embedding)
            share = functional.silu(self.norm(f"decoder.{i}.norm", h))
            output = output + self.conv(f"decoder.{i}.to_output", share)
        return self.conv("conv_out", output)

    def parameters(self, name):
        """Weight and bias of a layer."""
        return self.state[f"{name}.weight"], self.state[f"{name}.bias"]

    def conv(self, name, x):
        """Convolution that keeps the size."""
        weight, bias = self.parameters(name)
        return functional.conv2d(
            x, weight, bias, padding=len(weight[0, 0]) // 2
        )

    def dense(self, name, x):
        """Linear layer."""
        return functional.linear(x, *self.parameters(name))

    def norm(self, name, x):
        """GroupNorm with four channels to a group, at most 16 groups."""
        groups = min(x.shape[1] // 4, 16)
        return functional.group_norm(x, groups, *self.parameters(name), 1e-6)

    def embedding(self, t):
        """Sines and cosines of the step, dense, SiLU, dense."""
        weight, _ = self.parameters("embedding.layers.0")
        half = weight.shape[1] // 2
        exponent = torch.arange(half) / (half - 1)
        angles = t[:, None].to(weight) * 10000.0**-exponent
        features = torch.cat([angles.sin(), angles.cos()], dim=1)
        hidden = functional.silu(self.dense("embedding.layers.0", features))
        return self.dense("embedding.layers.2", hidden)

    def block(self, name, x, embedding, resampled=lambda x: x):
        """Residual block, both of its branches resampled."""
        h = resampled(functional.silu(self.norm(f"{name}.norm_in", x)))
        h = self.conv(f"{name}.conv_in", h)
        shift = self.dense(f"{name}.embed", functional.silu(embedding))
        h = h + shift[:, :, None, None]
        h = functional.silu(self.norm(f"{name}.norm_out", h))
        h = self.conv(f"{name}.conv_out", h)
        x = resampled(x)
        if f"{name}.skip.weight" in self.state:
            x = self.conv(f"{name}.skip", x)
        return (x + h) / math.sqrt(2)

    def attention(self, name, x):
        """Every position against every other."""
        h = self.norm(f"{name}.norm", x)
        q, k, v = (
            self.conv(f"{name}.{part}", h) for part in ("query", "key", "value")
        )
        batch, channels, bins, frames = x.shape
        weights = torch.einsum("bchw,bcij->bhwij", q, k) / math.sqrt(channels)
        weights = weights.reshape(batch, bins, frames, bins * frames)
        weights = torch.softmax(weights, dim=-1)
        weights = weights.reshape(batch, bins, frames, bins, frames)
        h = torch.einsum("bhwij,bcij->bchw", weights, v)
        return (x + self.conv(f"{name}.out", h)) / math.sqrt(2)


def filtered(x, gain, before, after):
    """The filter [1, 3, 3, 1] in both axes, with so many zeros around."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    kernel = gain * torch.outer(taps, taps)[None, None] / 64
    padded = functional.pad(x, (before, after, before, after))
    images = padded.reshape(-1, 1, *padded.shape[2:])
    return functional.conv2d(images, kernel).reshape(
        *x.shape[:2], *(size + before + after - 3 for size in x.shape[2:])
    )


def downsampled(x):
    """Filtered everywhere, then every other bin and frame."""
    return filtered(x, 1, 1, 1)[:, :, ::2, ::2]


def upsampled(x):
    """Zeros between all bins and frames, then filtered everywhere."""
    batch, channels, bins, frames = x.shape
    spread = x.reshape(batch, channels, bins, 1, frames, 1)
    spread = functional.pad(spread, (0, 1, 0, 0, 0, 1))
    return filtered(
        spread.reshape(batch, channels, 2 * bins, 2 * frames), 4, 2, 1
    )
