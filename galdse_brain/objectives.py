"""Named errors between an estimate and the clean spectrogram.

Authors
 * The galdse developers
"""

import torch
from torch import nn

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

    Example
    -------
    >>> wav = torch.randn(2, 16000)
    >>> PESQLoss()(wav, wav) < 1e-6
    tensor(True)
    """

    def __init__(self):
        super().__init__()
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
        return error.mean().float()


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

    Example
    -------
    >>> from galdse_brain.spec import SpecTransform
    >>> spec = SpecTransform(alpha=0.5, beta=0.15)
    >>> objective = Objective(spec, {"mse": nn.MSELoss()}, {"l1": nn.L1Loss()})
    >>> clean = spec(torch.randn(2, 896))
    >>> objective(clean, clean)
    {'mse': tensor(0.), 'l1': tensor(0.)}
    """

    def __init__(self, spec, on_spectrogram, on_waveform):
        super().__init__()
        self.spec = spec
        self.on_spectrogram = nn.ModuleDict(on_spectrogram)
        self.on_waveform = nn.ModuleDict(on_waveform)

    def forward(self, estimate, clean):
        """Named scalars of spectrograms (B, 2, F, T)."""
        errors = {
            name: error(estimate, clean)
            for name, error in self.on_spectrogram.items()
        }
        if self.on_waveform:
            wavs = self.spec.inverse(estimate), self.spec.inverse(clean)
            for name, error in self.on_waveform.items():
                errors[name] = error(*wavs)
        return errors
