"""Scores of an enhanced utterance, each (estimate, clean) -> float.

Waveforms are (N,) at 16 kHz. Where a metric is not defined, as PESQ is not
for silence, the score is NaN: failures are counted, never scored.

Authors
 * The galdse developers
"""

import warnings
from functools import wraps

import pesq
import pystoi
import torch

SAMPLE_RATE = 16000


def nan_if_undefined(metric):
    """NaN instead of an error, a warning or a score for silence."""

    @wraps(metric)
    def score(estimate, clean):
        if not clean.any():
            return float("nan")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                return float(metric(estimate.double(), clean.double()))
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
    estimate, clean = estimate - estimate.mean(), clean - clean.mean()
    target = (estimate @ clean) / (clean @ clean) * clean
    error = estimate - target
    return 10 * torch.log10((target @ target) / (error @ error))


def summarize(scores):
    """Mean, standard deviation and number of failures of a list of scores.

    Example
    -------
    >>> summarize([1.0, 3.0, float("nan")])
    {'mean': 2.0, 'std': 1.0, 'failures': 1}
    """
    scores = torch.tensor(scores, dtype=torch.float64)
    valid = scores[~scores.isnan()]
    mean = valid.mean()
    return {
        "mean": float(mean),
        "std": float((valid - mean).square().mean().sqrt()),
        "failures": len(scores) - len(valid),
    }
