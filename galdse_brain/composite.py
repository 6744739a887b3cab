"""Segmental SNR and the composite scores CSIG, CBAK, COVL.

Hu and Loizou, "Evaluation of objective quality measures for speech
enhancement", IEEE TASLP 16(1), 2008; details of the frames as in Loizou,
"Speech Enhancement: Theory and Practice". All on frames of 30 ms that
overlap by three quarters, waveforms (N,) in float64 at 16 kHz.

Authors
 * The galdse developers
"""

import math

import torch

from galdse_brain.metrics import SAMPLE_RATE, nan_if_undefined, pesq_wb

FRAME = 480
HOP = 120
N_FFT = 1024
LPC_ORDER = 16
KEPT = 0.95  # LLR and WSS are means over the best 95 % of the frames.
EPS = 2.0**-52

# Klatt's critical bands: centres and widths in Hz.
CENTRES = (
    *(50, 120, 190, 260, 330, 400, 470, 540, 617.372, 703.378, 798.717),
    *(904.128, 1020.38, 1148.3, 1288.72, 1442.54, 1610.7, 1794.16),
    *(1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63),
)
WIDTHS = (
    *(70, 70, 70, 70, 70, 70, 70, 77.3724, 86.0056, 95.3398, 105.411),
    *(116.256, 127.914, 140.423, 153.823, 168.154, 183.457, 199.776),
    *(217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136),
)


def frames(wav):
    """Windowed frames (T, FRAME) of a waveform (N,)."""
    if len(wav) < FRAME + HOP:
        raise ValueError(f"{len(wav)} samples are fewer than two frames")
    window = torch.hann_window(FRAME + 2, periodic=False, dtype=wav.dtype)
    # The last whole frame is left out, as in the published measures.
    return window[1:-1] * wav.unfold(0, FRAME, HOP)[:-1]


@nan_if_undefined
def segmental_snr(estimate, clean):
    """Mean over frames of the SNR in dB, each held in [-10, 35]."""
    signal = frames(clean).square().sum(1)
    error = frames(clean - estimate).square().sum(1)
    ratio = 10 * torch.log10(signal / (error + EPS) + EPS)
    return ratio.clamp(-10, 35).mean()


def lpc(correlation):
    """Prediction filters (T, P + 1) of autocorrelations (T, P + 1).

    The Levinson-Durbin recursion for all frames at once.
    """
    filters = torch.zeros_like(correlation)
    filters[:, 0] = 1
    error = correlation[:, 0]
    for order in range(1, correlation.shape[1]):
        lags = correlation[:, 1 : order + 1].flip(1)
        reflection = -(filters[:, :order] * lags).sum(1) / error
        backwards = filters[:, : order + 1].flip(1)
        filters[:, : order + 1] += reflection[:, None] * backwards
        error = error * (1 - reflection**2)
    return filters


def llr(estimate, clean):
    """Log-likelihood ratio of the prediction filters of each frame (T,)."""
    # Digital silence has no filter; Loizou adds EPS as well.
    spectra = [
        torch.fft.rfft(frames(wav + EPS), n=N_FFT).abs() ** 2
        for wav in (estimate, clean)
    ]
    correlations = [
        torch.fft.irfft(spectrum)[:, : LPC_ORDER + 1] for spectrum in spectra
    ]
    lags = torch.arange(LPC_ORDER + 1)
    toeplitz = correlations[1][:, (lags[:, None] - lags).abs()]
    errors = [
        torch.einsum("ti,tij,tj->t", filters, toeplitz, filters)
        for filters in map(lpc, correlations)
    ]
    return torch.log(errors[0] / errors[1])


def critical_bands():
    """Weights (25, N_FFT / 2) of the critical-band filters."""
    per_hz = N_FFT / SAMPLE_RATE
    centres = (torch.tensor(CENTRES, dtype=torch.float64) * per_hz).floor()
    widths = torch.tensor(WIDTHS, dtype=torch.float64)
    bins = torch.arange(N_FFT // 2)
    distance = (bins - centres[:, None]) / (widths[:, None] * per_hz)
    weights = torch.exp(-11 * distance**2) * (widths[0] / widths)[:, None]
    return weights * (weights > math.exp(-30 / (2 * 2.303)))


def nearest_peaks(levels, slopes):
    """Level (T, 24) of the peak that each slope leads to.

    Uphill to the right, else to the left. On the way up the peak is taken
    one band short of the top, as in the published measure.
    """
    peaks = torch.empty_like(slopes)
    bands = slopes.shape[1]
    reached = levels[:, 0]
    for band in range(bands):  # Leftwards: the last band that rose.
        rises = slopes[:, band] > 0
        reached = torch.where(rises, levels[:, band + 1], reached)
        peaks[:, band] = reached
    reached = levels[:, bands - 1]
    for band in reversed(range(bands)):
        rises = slopes[:, band] > 0
        peaks[:, band] = torch.where(rises, reached, peaks[:, band])
        reached = torch.where(rises, reached, levels[:, max(band - 1, 0)])
    return peaks


def wss(estimate, clean):
    """Weighted spectral slope distance of each frame (T,), Klatt 1982."""
    bands = critical_bands()
    slopes, weights = [], []
    for wav in (estimate, clean):
        power = torch.fft.rfft(frames(wav), n=N_FFT).abs()[:, :-1] ** 2
        levels = 10 * torch.log10((power @ bands.T).clamp(min=1e-10))
        slope = levels.diff(dim=1)
        level = levels[:, :-1]
        top = levels.amax(dim=1, keepdim=True)
        peak = nearest_peaks(levels, slope)
        slopes.append(slope)
        weights.append(20 / (20 + top - level) / (1 + peak - level))
    weight = (weights[0] + weights[1]) / 2
    difference = (slopes[0] - slopes[1]).square()
    return (weight * difference).sum(1) / weight.sum(1)


def best_frames(measure):
    """Mean of a measure (T,) over the lowest 95 % of its frames."""

    @nan_if_undefined
    def mean(estimate, clean):
        distances = measure(estimate, clean).sort().values
        return distances[: round(KEPT * len(distances))].mean()

    return mean


mean_llr, mean_wss = best_frames(llr), best_frames(wss)


def composite(estimate, clean):
    """PESQ-WB, CSIG, CBAK, COVL and segmental SNR, in this order.

    Hu and Loizou 2008, table V, with wide-band PESQ as in all publications on
    VoiceBank-DEMAND. The three are held in [1, 5].
    """
    pesq, snr = pesq_wb(estimate, clean), segmental_snr(estimate, clean)
    lpc_error, slopes = mean_llr(estimate, clean), mean_wss(estimate, clean)
    ratings = (
        3.093 - 1.029 * lpc_error + 0.603 * pesq - 0.009 * slopes,
        1.634 + 0.478 * pesq - 0.007 * slopes + 0.063 * snr,
        1.594 + 0.805 * pesq - 0.512 * lpc_error - 0.007 * slopes,
    )
    # min and max of Python would lose a NaN.
    held = torch.tensor(ratings, dtype=torch.float64).clamp(1, 5)
    return (pesq, *held.tolist(), snr)
