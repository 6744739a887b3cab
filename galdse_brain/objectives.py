"""Named errors between an estimate and the clean spectrogram.

Authors
 * The galdse developers
"""

import math

import torch
from torch import nn
from torch.nn.functional import mse_loss

TINY = 1e-8
FADED = 4096


class NegSISNR(nn.Module):
    """Negative scale-invariant SNR in dB, the mean not removed.

    Example
    -------
    >>> clean = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> NegSISNR()(torch.tensor([[1.0, 2.0, 3.0, 5.0]]), clean)
    tensor(-19.1683)
    """

    def forward(self, estimate, clean):
        """Mean over the batch of waveforms (B, N); lower is better."""
        energy = clean.square().sum(-1, keepdim=True) + TINY
        target = (estimate * clean).sum(-1, keepdim=True) / energy * clean
        signal = target.square().sum(-1) + TINY
        error = (estimate - target).square().sum(-1) + TINY
        return -10 * torch.log10(signal / error).mean()


class NegSNR(nn.Module):
    """Negative SNR in dB, for which level and delay count.

    ``-10 log10 (c^2 / ((e - c)^2 + floor c^2))`` of sums over an item, both
    with ``quiet`` added, below which nothing counts.

    Arguments
    ---------
    floor : float
        What error is as good as none, as a share of the clean power.
    quiet : float
        Energy of an item, in samples squared.

    Example
    -------
    >>> clean = torch.ones(1, 16000)
    >>> [round(float(NegSNR()(g * clean, clean)), 1) for g in (0.5, 0.9, 1.0)]
    [-6.0, -19.6, -30.0]
    """

    def __init__(self, floor=1e-3, quiet=1e-2):
        super().__init__()
        self.floor, self.quiet = floor, quiet

    def forward(self, estimate, clean):
        """Mean over the batch of waveforms (B, N); lower is better."""
        signal = clean.square().sum(-1)
        error = (estimate - clean).square().sum(-1) + self.floor * signal
        ratio = (signal + self.quiet) / (error + self.quiet)
        return -10 * torch.log10(ratio).mean()


class CompressedSpectra(nn.Module):
    """Distance of the spectra of two waveforms, compressed by a power.

    Spectra of waveforms and not of estimates: what no waveform has, an
    inconsistent spectrogram, counts as what is heard of it. The weighted mean
    squared errors of magnitudes ``|z|^exponent`` and of bins
    ``|z|^exponent exp(j angle(z))`` (as arXiv 2101.09249, sec. 2.3).

    Arguments
    ---------
    exponent : float
        Of the compression.
    magnitude_weight, bin_weight : float
        Of the two errors.
    n_fft, hop_length : int
        Of the transform, in samples; the window is Hann's.

    Example
    -------
    >>> wav = torch.randn(2, 1600)
    >>> CompressedSpectra()(wav, wav)
    tensor(0.)
    """

    def __init__(
        self,
        exponent=0.3,
        magnitude_weight=21.0,
        bin_weight=9.0,
        n_fft=510,
        hop_length=128,
    ):
        super().__init__()
        self.exponent = exponent
        self.weights = magnitude_weight, bin_weight
        self.n_fft, self.hop_length = n_fft, hop_length
        window = torch.hann_window(n_fft)
        self.register_buffer("window", window, persistent=False)

    def forward(self, estimate, clean):
        """Mean over waveforms (B, N); lower is better."""
        pair = self.compressed(estimate), self.compressed(clean)
        magnitudes, bins = zip(*pair)
        by_magnitude, by_bin = self.weights
        return by_magnitude * mse_loss(*magnitudes) + by_bin * 2 * mse_loss(
            *bins
        )

    def compressed(self, wav):
        """Magnitudes (B, F, T) and bins (B, F, T, 2) of waveforms (B, N)."""
        z = torch.stft(
            wav,
            self.n_fft,
            self.hop_length,
            window=self.window,
            return_complex=True,
        )
        bins = torch.view_as_real(z)
        magnitude = (bins.square().sum(-1) + TINY).sqrt()
        gain = magnitude ** (self.exponent - 1)
        return magnitude**self.exponent, gain[..., None] * bins


def filter_by_fft(wav, a, b, clamp):
    """Waveforms (B, N) through a recursive filter, in the spectrum.

    Takes the place of ``torchaudio.functional.lfilter``, which steps through
    the samples: nothing waits for its predecessor here, and the error against
    float64 is smaller. What the filter still answers FADED samples after the
    end would come in again at the start, and is taken as 0.

    Arguments
    ---------
    wav : torch.Tensor
        Shape (B, N).
    a, b : torch.Tensor
        Coefficients of output and input, the lowest delay first.
    clamp : bool
        Must be False, as in torch-pesq; ValueError else.
    """
    if clamp:
        raise ValueError("clamp must be False")
    size = wav.shape[-1] + FADED
    response = torch.fft.rfft(b.double(), size) / torch.fft.rfft(
        a.double(), size
    )
    spectrum = torch.fft.rfft(wav, size) * response.to(torch.complex64)
    return torch.fft.irfft(spectrum, size)[..., : wav.shape[-1]]


class PESQLoss(nn.Module):
    """Differentiable PESQ disturbance, ``0.1 d_sym + 0.0309 d_asym``.

    ITU-T P.862 at 16 kHz without time alignment, from the package torch-pesq
    (extra ``train``): 0 for identical signals, larger is worse.

    Arguments
    ---------
    limit : float, optional
        An item counts no more than this, and has no gradient beyond.

    Example
    -------
    >>> wav = torch.randn(2, 16000)
    >>> PESQLoss()(wav, wav) < 1e-6
    tensor(True)
    """

    def __init__(self, limit=None):
        super().__init__()
        self.limit = math.inf if limit is None else limit
        # Imported here, so that enhancement needs no training package.
        import torch_pesq.loss

        torch_pesq.loss.lfilter = filter_by_fft
        self.disturbance = torch_pesq.loss.PesqLoss(
            factor=1.0, sample_rate=16000
        )
        tone = torch.sin(torch.arange(32000) * 0.4)
        self.register_buffer("tone", tone, persistent=False)

    def forward(self, estimate, clean):
        """Mean disturbance of waveforms (B, N); a silent clip counts as 0."""
        audible = (clean.abs().amax(-1) > TINY) & (
            estimate.abs().amax(-1) > TINY
        )
        # PESQ divides by the level. Equal tones in the place of silence have
        # distance 0 and no gradient.
        repeats = -(-clean.shape[-1] // len(self.tone))
        tone = self.tone.repeat(repeats)[: clean.shape[-1]]
        estimate, clean = (
            torch.where(audible[:, None], wav, tone)
            for wav in (estimate, clean)
        )
        # Powers up to 1e7 on a Bark scale do not survive half precision.
        with torch.autocast(estimate.device.type, enabled=False):
            error = self.disturbance(clean.float(), estimate.float())
        return error.clamp(max=self.limit).mean().float()


class Objective(nn.Module):
    """Errors on the spectrogram and on the waveform, by name.

    Arguments
    ---------
    spec : SpecTransform
        Turns spectrograms into waveforms.
    on_spectrogram, on_waveform : dict
        Name to a module (estimate, clean) -> scalar, such as
        ``torch.nn.MSELoss``. Without any error on the waveform nothing is
        inverted.
    stages : dict, optional
        Name of an estimate on the way, such as ``guidance``, to the Objective
        of it. One that is not here counts by its squared error.

    Example
    -------
    >>> from galdse_brain.spec import SpecTransform
    >>> spec = SpecTransform(alpha=0.5, beta=0.15)
    >>> objective = Objective(spec, {"mse": nn.MSELoss()}, {"l1": nn.L1Loss()})
    >>> clean = spec(torch.randn(2, 896))
    >>> objective(clean, clean)
    {'mse': tensor(0.), 'l1': tensor(0.)}
    >>> sorted(objective(clean, clean, {"guidance": clean}))
    ['guidance', 'l1', 'mse']
    >>> first = Objective(spec, {}, {"snr": NegSNR()})
    >>> objective = Objective(spec, {"mse": nn.MSELoss()}, {}, {"first": first})
    >>> sorted(objective(clean, clean, {"first": clean}))
    ['first_snr', 'mse']
    """

    def __init__(self, spec, on_spectrogram, on_waveform, stages=None):
        super().__init__()
        self.spec = spec
        self.on_spectrogram = nn.ModuleDict(on_spectrogram)
        self.on_waveform = nn.ModuleDict(on_waveform)
        self.stages = nn.ModuleDict(stages or {})

    def forward(self, estimate, clean, stages=None):
        """Named scalars of spectrograms (B, 2, F, T).

        ``stages`` is a dict of estimates on the way to ``estimate``; their
        errors have its names before their own.
        """
        errors = {}
        for stage, first in (stages or {}).items():
            if stage in self.stages:
                found = self.stages[stage](first, clean)
                errors |= {f"{stage}_{name}": e for name, e in found.items()}
            else:
                errors[stage] = mse_loss(first, clean)
        for name, error in self.on_spectrogram.items():
            errors[name] = error(estimate, clean)
        if self.on_waveform:
            wavs = self.spec.inverse(estimate), self.spec.inverse(clean)
            for name, error in self.on_waveform.items():
                errors[name] = error(*wavs)
        return errors
