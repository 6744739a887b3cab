"""Scores of an enhanced utterance, each (estimate, clean) -> float.

Waveforms are (N,) at 16 kHz; higher is better, but 0 is right for ``level`` and
``delay``. Where a metric is not defined, as PESQ is not for silence, the score
is NaN: failures are counted, never scored.

Authors
 * The galdse developers
"""

import warnings
from functools import wraps

import pesq
import pystoi
import torch
from torchaudio.functional import resample

SAMPLE_RATE = 16000
# Windows, filters and look-ahead add less; further off are other syllables.
MAX_DELAY = SAMPLE_RATE // 10
LIKENESS = 0.2  # Up to 0.14, real speech was found in noise at a wrong lag.


def nan_if_undefined(metric):
    """NaN instead of an error, a warning, or a score for silence or infinity.

    Silence as an estimate is no enhancement, though STOI and the segmental SNR
    would rate it.
    """

    @wraps(metric)
    def score(estimate, clean, *noise):
        if not (clean.any() and estimate.any() and estimate.isfinite().all()):
            return float("nan")
        wavs = [wav.double() for wav in (estimate, clean, *noise)]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                return float(metric(*wavs))
        except (pesq.PesqError, ValueError, RuntimeError, RuntimeWarning):
            return float("nan")

    return score


@nan_if_undefined
def pesq_wb(estimate, clean):
    """Wide-band PESQ (ITU-T P.862.2), 1 to 4.64, higher is better."""
    return pesq.pesq(
        SAMPLE_RATE, clean.float().numpy(), estimate.float().numpy(), "wb"
    )


@nan_if_undefined
def pesq_nb(estimate, clean):
    """Narrow-band PESQ (ITU-T P.862.1) at 8 kHz, 1 to 4.55."""
    clean, estimate = (
        resample(wav, SAMPLE_RATE, 8000, lowpass_filter_width=64)
        for wav in (clean, estimate)
    )
    return pesq.pesq(
        8000, clean.float().numpy(), estimate.float().numpy(), "nb"
    )


@nan_if_undefined
def stoi(estimate, clean):
    """Short-time objective intelligibility (Taal et al. 2011), at most 1."""
    return pystoi.stoi(clean.numpy(), estimate.numpy(), SAMPLE_RATE)


@nan_if_undefined
def estoi(estimate, clean):
    """Extended short-time objective intelligibility, at most 1."""
    return pystoi.stoi(
        clean.numpy(), estimate.numpy(), SAMPLE_RATE, extended=True
    )


@nan_if_undefined
def si_sdr(estimate, clean):
    """Scale-invariant SDR in dB, means removed (arXiv 1811.02508).

    Example
    -------
    >>> clean = torch.tensor([1.0, 2.0, 3.0, 4.0])
    >>> round(si_sdr(torch.tensor([1.0, 2.0, 3.0, 5.0]), clean), 4)
    14.4974
    """
    estimate, clean = centred(estimate, clean)
    target = projection(estimate, clean)
    return decibels(target, estimate - target)


@nan_if_undefined
def si_sir(estimate, clean, noise):
    """Scale-invariant ratio of speech to what is left of the noise, in dB.

    The estimate is its projection on the clean speech, the rest of its
    projection on speech and noise together, and artifacts (arXiv 1811.02508).
    """
    target, residual, _ = decompose(estimate, clean, noise)
    return decibels(target, residual)


@nan_if_undefined
def si_sar(estimate, clean, noise):
    """Scale-invariant ratio of speech to artifacts in dB, see ``si_sir``."""
    target, _, artifacts = decompose(estimate, clean, noise)
    return decibels(target, artifacts)


@nan_if_undefined
def level(estimate, clean):
    """Level of the speech in an estimate in dB; 0 is right, above is louder.

    20 log10 of the factor by which the projection of the estimate on the clean
    speech scales it, means removed, nothing aligned; NaN if the factor is not
    positive.

    Example
    -------
    >>> clean = torch.tensor([1.0, -2.0, 0.0, 1.0])
    >>> [round(level(g * clean, clean), 2) for g in (0.5, 2, -1)]
    [-6.02, 6.02, nan]
    """
    estimate, clean = centred(estimate, clean)
    factor = (estimate @ clean) / (clean @ clean)
    return 20 * torch.log10(torch.where(factor > 0, factor, torch.nan))


@nan_if_undefined
def delay(estimate, clean):
    """Samples by which an estimate is late; 0 is right, below is early.

    The lag at which its correlation with the clean speech, means removed, is
    largest in magnitude (speech of the other sign is not late), within
    ``MAX_DELAY`` either way. NaN if even there the coefficient is not above
    ``LIKENESS``: what holds hardly any of the speech is nowhere.

    Example
    -------
    >>> clean = torch.tensor([0.0, 1.0, -2.0, 1.0, 0.0, 0.0])
    >>> [delay(clean.roll(n), clean) for n in (0, 1, -1)]
    [0.0, 1.0, -1.0]
    """
    estimate, clean = centred(estimate, clean)
    # No lag wraps around, and a length that the FFT likes.
    size = 1 << (len(clean) + MAX_DELAY - 1).bit_length()
    ours, theirs = (torch.fft.rfft(wav, size) for wav in (estimate, clean))
    lags = torch.arange(-MAX_DELAY, MAX_DELAY + 1)
    found = torch.fft.irfft(ours * theirs.conj(), size)[lags].abs()
    likeness = found.max() / (estimate.norm() * clean.norm())
    return torch.where(likeness > LIKENESS, lags[found.argmax()], torch.nan)


def snr(estimate, clean, noise):
    """Power of the clean speech over that of the noise, in dB.

    That of the utterance, whatever the estimate; NaN if it is silent.
    """
    return float(decibels(clean.double(), noise.double()))


def centred(*wavs):
    """Waveforms (N,) without their means."""
    return [wav - wav.mean() for wav in wavs]


def projection(wav, onto):
    """Part of a waveform (N,) that is a multiple of another."""
    return (wav @ onto) / (onto @ onto) * onto


def decompose(estimate, clean, noise):
    """Three orthogonal parts (N,) of an estimate: speech, noise, artifacts."""
    estimate, clean, noise = centred(estimate, clean, noise)
    target = projection(estimate, clean)
    rest = estimate - target
    residual = projection(rest, noise - projection(noise, clean))
    return target, residual, rest - residual


def decibels(signal, error):
    """Power ratio of two waveforms in dB; infinite if there is no error.

    An error 240 dB below the signal is the rounding of float64.
    """
    signal, error = signal @ signal, error @ error
    error = torch.where(error < 1e-24 * signal, 0.0, error)
    return 10 * torch.log10(signal / error)
