"""Light networks on bands: guidance and denoiser of the light GALD-SE.

Both are of one make. The bins of a spectrogram are squeezed into bands, two
strided convolutions lead to 32 places, dual-path GRUs run along the bands and
along the frames, transposed convolutions lead back, and two convolutions at
full resolution refine what comes out. Inside, tensors are (B, C, T, F).

Authors
 * The galdse developers
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from galdse_brain.nets.guidance import Guidance

BINS, LOW, HIGH = 256, 64, 64  # Bins; those that stay; bands of the others.
BIN_WIDTH = 16000 / 510  # Hz
PLACES = (LOW + HIGH) // 4
NUM_BLOCKS = 2  # Dual paths of a network.


def erb_number(frequency):
    """Frequencies in Hz on the ERB-number scale (Glasberg and Moore 1990)."""
    return 21.4 * torch.log10(1 + 0.00437 * frequency)


class BandSplit(nn.Module):
    """256 bins to 128 bands and back, along the last axis.

    The lowest 64 bins (2 kHz) stay as they are, the others are averaged under
    64 triangles that are evenly spaced on the ERB-number scale.

    Example
    -------
    >>> split = BandSplit()
    >>> bands = split(torch.ones(1, 256))
    >>> bands.shape, torch.allclose(split.inverse(bands), torch.ones(1, 256))
    (torch.Size([1, 128]), True)
    """

    def __init__(self):
        super().__init__()
        erb = erb_number(BIN_WIDTH * torch.arange(BINS)[LOW:])
        centres = torch.linspace(erb[0], erb[-1], HIGH)[:, None]
        weights = 1 - (erb - centres).abs() / (centres[1] - centres[0])
        weights = weights.clamp(min=0)
        to_bands = (weights / weights.sum(1, keepdim=True)).T.contiguous()
        to_bins = weights / weights.sum(0, keepdim=True)
        self.register_buffer("to_bands", to_bands, persistent=False)
        self.register_buffer("to_bins", to_bins, persistent=False)

    def forward(self, x):
        """Bins (..., 256) to bands (..., 128)."""
        return torch.cat([x[..., :LOW], x[..., LOW:] @ self.to_bands], -1)

    def inverse(self, x):
        """Bands (..., 128) to bins (..., 256), by interpolation."""
        return torch.cat([x[..., :LOW], x[..., LOW:] @ self.to_bins], -1)


class Conv(nn.Conv2d):
    """Convolution of (B, C, T, F) with three frames; T stays or is halved.

    Arguments
    ---------
    in_channels, out_channels : int
        Channels of input and output.
    kernel_size : int
        Along the bands; along the frames it is 3.
    stride : tuple of int
        (1 or 2, of an even T; along the bands).
    causal : bool
        See no later frame, but for the second one of each pair that a stride
        of 2 makes into one.
    **options
        ``groups`` and ``bias`` of ``torch.nn.Conv2d``.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=(1, 1),
        causal=False,
        **options,
    ):
        super().__init__(
            in_channels,
            out_channels,
            (3, kernel_size),
            stride,
            (0 if causal else 1, kernel_size // 2),
            **options,
        )
        # Frames before the first that a causal one needs beside it.
        self.before = 3 - stride[0] if causal else 0

    def forward(self, x, past=None):
        """Frames (B, C, T, F) after those that ``past`` remembers."""
        return super().forward(after(self, x, past))


class Deconv(nn.ConvTranspose2d):
    """Transposed convolution of (B, C, T, F) that doubles F, and T if asked.

    Arguments
    ---------
    in_channels, out_channels : int
        Channels of input and output.
    stride : int
        Along the frames, 1 or 2.
    causal : bool
        See no later frame.
    """

    def __init__(self, in_channels, out_channels, stride, causal=False):
        super().__init__(
            in_channels,
            out_channels,
            (stride + 2, 4),
            (stride, 2),
            (0 if causal else 1, 1),
        )
        self.before = 2 // stride if causal else 0

    def forward(self, x, past=None):
        """Frames (B, C, T, F) to (B, C, stride T, 2 F)."""
        y = super().forward(after(self, x, past))
        step, first = self.stride[0], self.stride[0] * self.before
        return y[:, :, first : first + step * x.shape[2]] if first else y


def after(conv, x, past=None):
    """Frames with those that a causal layer hears before them.

    Arguments
    ---------
    conv : Conv or Deconv
        Hears ``before`` frames before the first.
    x : torch.Tensor
        Shape (B, C, T, F).
    past : dict, optional
        Of a causal network: module -> its last frames, renewed here. Without
        it, and at first, zeros come before.

    Returns
    -------
    x : torch.Tensor
        Shape (B, C, before + T, F).
    """
    if not conv.before:
        return x
    x = functional.pad(x, (0, 0, conv.before, 0))
    if past is not None:
        if conv in past:
            x[:, :, : conv.before] = past[conv]
        past[conv] = x[:, :, -conv.before :].clone()
    return x


def activation(channels):
    """Batch normalisation and PReLU, each by channel."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.PReLU(channels))


class Recurrence(nn.Module):
    """GRU along the second axis of (B, L, R, C), projected, normalised."""

    def __init__(self, channels, hidden_size, bidirectional):
        super().__init__()
        self.rnn = nn.GRU(channels, hidden_size, bidirectional=bidirectional)
        width = hidden_size * (2 if bidirectional else 1)
        self.project = nn.Linear(width, channels)

    def forward(self, x, past=None):
        """(B, L, R, C) to the same shape, after what ``past`` remembers."""
        batch, length, rows, channels = x.shape
        x = x.transpose(0, 1).reshape(length, batch * rows, channels)
        h, last = self.rnn(x, None if past is None else past.get(self))
        if past is not None:
            past[self] = last
        h = self.project(h).view(length, batch, rows, channels)
        return h.transpose(0, 1)


class DualPath(nn.Module):
    """GRUs along the bands, then along the frames (arXiv 1910.06379).

    Each output is normalised over the bands and channels of a frame and added
    to the input.
    """

    def __init__(self, channels, hidden_size, causal=False):
        super().__init__()
        self.bands = Recurrence(channels, hidden_size, bidirectional=True)
        self.bands_norm = nn.LayerNorm([PLACES, channels])
        self.frames = Recurrence(channels, hidden_size, not causal)
        self.frames_norm = nn.LayerNorm([PLACES, channels])

    def forward(self, x, past=None):
        """(B, T, F, C) to the same shape."""
        h = self.bands(x.transpose(1, 2)).transpose(1, 2)
        x = x + self.bands_norm(h)
        return x + self.frames_norm(self.frames(x, past))


class Planes(nn.Module):
    """First layer, linear: planes (B, P, F, T) to bands and at all bins.

    Because it is linear, planes that stay the same from step to step go
    through it once and are added.
    """

    def __init__(self, planes, channels, fine_channels, bias, causal):
        super().__init__()
        self.split = BandSplit()
        how = {"bias": bias, "causal": causal}
        self.coarse = Conv(planes, channels, 5, (2, 2), **how)
        self.fine = Conv(planes, fine_channels, 3, **how)

    def forward(self, planes, past=None):
        """Coarse (B, C, T / 2, 64) and fine (B, C', T, 256), T rounded up."""
        if planes.shape[2] != BINS:
            raise ValueError(
                f"the light networks are made for {BINS} bins, "
                f"got {planes.shape[2]}"
            )
        x = functional.pad(planes, (0, planes.shape[-1] % 2)).transpose(2, 3)
        return self.coarse(self.split(x), past), self.fine(x, past)


class Body(nn.Module):
    """What follows the first layer, to planes at full resolution.

    Arguments
    ---------
    planes : int
        Planes that come out.
    channels : int
        Channels of the latent, a multiple of 4.
    hidden_size : int
        Units of each GRU and direction.
    fine_channels : int
        Channels at full resolution.
    causal : bool
        See no later frame than the next one.
    join : torch.nn.Module, optional
        Applied before the blocks, where ``latent`` is added.
    """

    def __init__(
        self,
        planes,
        channels,
        hidden_size,
        fine_channels,
        causal,
        join=None,
    ):
        super().__init__()
        half, how = channels // 2, {"causal": causal}
        self.split = BandSplit()
        self.act_1 = activation(half)
        self.down = Conv(half, channels, 5, (1, 2), **how)
        self.act_2 = activation(channels)
        self.mix = Conv(channels, channels, 3, groups=4, **how)
        self.act_3 = activation(channels)
        self.join = join or nn.Identity()
        self.blocks = nn.ModuleList(
            DualPath(channels, hidden_size, causal) for _ in range(NUM_BLOCKS)
        )
        self.unmix = Conv(2 * channels, channels, 3, groups=4, **how)
        self.act_4 = activation(channels)
        self.up = Deconv(2 * channels, half, 1, **how)
        self.act_5 = activation(half)
        self.out = Deconv(channels, planes, 2, **how)
        self.fine_in = Conv(planes, fine_channels, 3, bias=False, **how)
        self.fine_out = Conv(fine_channels, planes, 3, **how)

    def start_at_zero(self):
        """Let all planes be 0 before training."""
        for layer in (self.out, self.fine_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, coarse, fine, latent=None, past=None):
        """Planes and features.

        Arguments
        ---------
        coarse, fine : torch.Tensor
            From ``Planes``, shapes (B, channels / 2, T / 2, 64) and
            (B, fine_channels, T, 256).
        latent : torch.Tensor, optional
            Added before the blocks, shape (B, T / 2, 32, channels).
        past : dict, optional
            See ``after``.

        Returns
        -------
        planes : torch.Tensor
            Shape (B, planes, 256, T).
        features : torch.Tensor
            Shape (B, T / 2, 32, channels).
        """
        h_1 = self.act_1(coarse)
        h_2 = self.act_2(self.down(h_1, past))
        h_3 = self.act_3(self.mix(h_2, past))
        z = self.join(h_3.permute(0, 2, 3, 1))
        z = z if latent is None else z + latent
        for block in self.blocks:
            z = block(z, past)
        h = torch.cat([z.permute(0, 3, 1, 2), h_3], 1)
        h = torch.cat([self.act_4(self.unmix(h, past)), h_2], 1)
        h = torch.cat([self.act_5(self.up(h, past)), h_1], 1)
        m = self.split.inverse(self.out(h, past))
        fine = functional.elu(self.fine_in(m, past).add_(fine), inplace=True)
        m = self.fine_out(fine, past).add_(m)
        return m.transpose(2, 3), z


def turn(planes, x):
    """Two planes (B, 2, F, T) times a spectrogram, as complex numbers."""
    (a, b), (re, im) = planes.unbind(1), x.unbind(1)
    return torch.stack([a * re - b * im, a * im + b * re], 1)


class BandGuidance(nn.Module):
    """Guidance by a mask and a turned phase.

    The mask m of magnitudes, in (0, 1), and a rotation of each bin give the
    first estimate; 1 - m says where is noise.

    Arguments
    ---------
    channels : int
        Channels of the latent, a multiple of 4; those of the features, too.
    hidden_size : int
        Units of each GRU and direction.
    alpha : float
        Exponent of the spectrogram's compression.
    causal : bool
        Whether no frame depends on a later one than the next; with window and
        hop of the light model that is a delay of 40 ms.

    Example
    -------
    >>> guidance = BandGuidance()
    >>> sum(p.numel() for p in guidance.parameters())
    98166
    >>> found = guidance(torch.randn(1, 2, 256, 15))
    >>> found.mask.shape, found.estimate.shape, found.features.shape
    (torch.Size([1, 1, 256, 15]), torch.Size([1, 2, 256, 15]), \
torch.Size([1, 8, 32, 32]))
    """

    def __init__(
        self,
        channels=32,
        hidden_size=32,
        alpha=0.5,
        causal=False,
    ):
        super().__init__()
        self.alpha = alpha
        self.causal = causal
        self.num_features = channels
        self.planes = Planes(3, channels // 2, 16, bias=True, causal=causal)
        self.body = Body(3, channels, hidden_size, 16, causal)
        self.to(memory_format=torch.channels_last)

    def forward(self, y, past=None):
        """What the guidance says of a noisy spectrogram (B, 2, F, T).

        ``past``, of a causal one: a dict, empty at first, that carries it
        from one call to the next, which goes on where the last one ended, at
        an even number of frames.
        """
        magnitude = torch.linalg.vector_norm(y, dim=1, keepdim=True)
        planes = self.planes(torch.cat([y, magnitude], 1), past)
        m, features = self.body(*planes, past=past)
        m = m[..., : y.shape[-1]].float()
        mask = torch.sigmoid(m[:, :1] + 1)  # Most passes before training.
        phase = torch.cat([1 + m[:, 1:2], m[:, 2:]], 1)
        norm = (phase.square().sum(1, keepdim=True) + 1e-6).rsqrt()
        estimate = turn(mask**self.alpha * phase * norm, y)
        return Guidance(1 - mask, estimate, features)


class Condition(NamedTuple):
    """What all steps of ``BandDenoiser`` share."""

    coarse: torch.Tensor  # (B, channels / 2, T / 2, 64)
    fine: torch.Tensor  # (B, fine channels, T, 256)
    latent: torch.Tensor  # (B, T / 2, 32, channels)
    y: torch.Tensor  # (B, 2, F, T)
    estimate: torch.Tensor  # (B, 2, F, T)


class BandDenoiser(nn.Module):
    """Denoiser that goes on from the features of ``BandGuidance``.

    ``x_0 = (1 + a) g + b y + c x_t`` with the guidance's estimate g and three
    complex planes a, b, c that are 0 before training.

    Arguments
    ---------
    channels : int
        Channels of the latent, a multiple of 4.
    hidden_size : int
        Units of each GRU and direction.
    num_features : int
        Channels of the guidance's features.
    num_steps : int
        Steps of the path.
    causal : bool
        As of the guidance.

    Example
    -------
    >>> net, guidance = BandDenoiser(), BandGuidance()
    >>> sum(p.numel() for p in net.parameters())
    218180
    >>> y = torch.randn(1, 2, 256, 15)
    >>> cond = net.condition(y, guidance(y))
    >>> net(y, torch.tensor([5]), cond).shape
    torch.Size([1, 2, 256, 15])
    """

    def __init__(
        self,
        channels=48,
        hidden_size=48,
        num_features=32,
        num_steps=6,
        causal=False,
    ):
        super().__init__()
        self.causal = causal
        self.num_features = num_features
        self.known = Planes(6, channels // 2, 8, bias=True, causal=causal)
        self.state = Planes(2, channels // 2, 8, bias=False, causal=causal)
        self.features = nn.Linear(num_features, channels)
        self.step = nn.Embedding(num_steps, channels)
        join = nn.Linear(channels, channels, bias=False)
        self.body = Body(6, channels, hidden_size, 8, causal, join)
        self.body.start_at_zero()
        self.to(memory_format=torch.channels_last)

    def condition(self, y, guidance, past=None):
        """What does not change from step to step, computed once.

        Arguments
        ---------
        y : torch.Tensor
            Noisy spectrogram, shape (B, 2, F, T).
        guidance : Guidance
            What ``BandGuidance`` says of it.
        past : dict, optional
            As of ``BandGuidance``.

        Returns
        -------
        cond : Condition
        """
        g = guidance.estimate
        magnitude = torch.linalg.vector_norm(g, dim=1, keepdim=True)
        planes = torch.cat([y, g, magnitude, guidance.mask], 1)
        known = self.known(planes, past)
        return Condition(*known, self.features(guidance.features), y, g)

    def forward(self, x_t, t, cond, past=None):
        """Estimate of the clean spectrogram.

        Arguments
        ---------
        x_t : torch.Tensor
            State, shape (B, 2, F, T).
        t : torch.Tensor
            Step of each item, counted from 0, shape (B,).
        cond : Condition
            From ``condition``.
        past : dict, optional
            As of ``BandGuidance``; one for each step.

        Returns
        -------
        x_0 : torch.Tensor
            Shape (B, 2, F, T).
        """
        coarse, fine = self.state(x_t, past)
        latent = cond.latent + self.step(t)[:, None, None]
        m, _ = self.body(cond.coarse + coarse, cond.fine + fine, latent, past)
        a, b, c = m[..., : x_t.shape[-1]].float().split(2, dim=1)
        turned = turn(a, cond.estimate) + turn(b, cond.y) + turn(c, x_t)
        return cond.estimate + turned
