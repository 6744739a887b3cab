"""Scores of an enhanced utterance, each (estimate, clean) -> float.

Waveforms are (N,) at 16 kHz; higher is better. Where a metric is not defined,
as PESQ is not for silence, the score is NaN: failures are counted, never
scored.

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
