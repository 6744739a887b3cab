"""Composite scores: the paper in loops, published values, limits."""

import math

import numpy as np
import pytest
import torch
from signals import noisy_pair

from galdse_brain.composite import (
    CENTRES,
    WIDTHS,
    composite,
    llr,
    lpc,
    mean_llr,
    mean_wss,
    segmental_snr,
    wss,
)
from galdse_brain.metrics import pesq_wb

CLEAN, NOISY = noisy_pair()


def windowed(wav, start):
    """One frame under Loizou's window."""
    n = np.arange(1, 481)
    window = 0.5 * (1 - np.cos(2 * np.pi * n / 481))
    return window * wav.numpy()[start : start + 480]


def slopes_and_weights(frame):
    """Klatt's slopes of one frame and the weights of its bands, in loops."""
    power = np.abs(np.fft.fft(frame, 1024)) ** 2
    levels = []
    for centre, width in zip(CENTRES, WIDTHS):
        f0, bw = math.floor(centre / 8000 * 512), width / 8000 * 512
        total = 0.0
        for j in range(512):
            w = math.exp(-11 * ((j - f0) / bw) ** 2 + math.log(70 / width))
            total += power[j] * w * (w > math.exp(-30 / (2 * 2.303)))
        levels.append(10 * math.log10(max(total, 1e-10)))
    slopes = [b - a for a, b in zip(levels, levels[1:])]
    weights = []
    for i, slope in enumerate(slopes):
        n = i
        if slope > 0:
            while n < 24 and slopes[n] > 0:
                n += 1
            peak = levels[n - 1]
        else:
            while n >= 0 and slopes[n] <= 0:
                n -= 1
            peak = levels[n + 1]
        top = 20 / (20 + max(levels) - levels[i])
        weights.append(top * 1 / (1 + peak - levels[i]))
    return np.array(slopes), np.array(weights)


def test_wss_is_the_one_of_the_paper_in_loops():
    distances = wss(NOISY, CLEAN)
    for frame in (0, 40, 100, len(distances) - 1):
        s, u = slopes_and_weights(windowed(CLEAN, 120 * frame))
        r, v = slopes_and_weights(windowed(NOISY, 120 * frame))
        weights = (u + v) / 2
        expected = (weights * (s - r) ** 2).sum() / weights.sum()
        assert float(distances[frame]) == pytest.approx(expected, rel=1e-9)
    assert len(distances) == (32000 - 480) // 120


def test_prediction_filters_solve_the_normal_equations():
    frames = torch.randn(3, 480, dtype=torch.float64)
    power = torch.fft.rfft(frames, n=1024).abs() ** 2
    correlation = torch.fft.irfft(power)[:, :17]
    lags = torch.arange(16)
    matrix = correlation[:, (lags[:, None] - lags).abs()]
    solution = torch.linalg.solve(matrix, -correlation[:, 1:])
    torch.testing.assert_close(lpc(correlation)[:, 1:], solution)


def test_llr_is_never_negative_and_ignores_the_level():
    assert (llr(NOISY, CLEAN) >= 0).all()
    louder = llr(3 * NOISY, CLEAN)
    torch.testing.assert_close(louder, llr(NOISY, CLEAN), rtol=1e-6, atol=1e-6)


def test_values_are_those_of_a_published_implementation():
    # pysepm-evo 0.1.1 on the same signals: llr for composite, wss, SNRseg.
    assert mean_llr(NOISY, CLEAN) == pytest.approx(2.152842957771926, rel=1e-9)
    assert mean_wss(NOISY, CLEAN) == pytest.approx(25.457338037735, rel=1e-9)
    assert segmental_snr(NOISY, CLEAN) == pytest.approx(0.5345319611992886)


def test_composite_scores_are_the_published_sums():
    pesq, snr = pesq_wb(NOISY, CLEAN), segmental_snr(NOISY, CLEAN)
    distance, slope = mean_llr(NOISY, CLEAN), mean_wss(NOISY, CLEAN)
    assert composite(NOISY, CLEAN) == pytest.approx(
        (
            pesq,
            3.093 - 1.029 * distance + 0.603 * pesq - 0.009 * slope,
            1.634 + 0.478 * pesq - 0.007 * slope + 0.063 * snr,
            1.594 + 0.805 * pesq - 0.512 * distance - 0.007 * slope,
            snr,
        )
    )


def test_clean_speech_reaches_the_upper_limits():
    assert mean_llr(CLEAN, CLEAN) == mean_wss(CLEAN, CLEAN) == 0
    pesq, *ratings, snr = composite(CLEAN, CLEAN)
    assert pesq == pytest.approx(4.644, abs=1e-3)
    assert ratings == [5, 5, 5] and snr == 35


def test_composite_scores_stay_above_one():
    estimate = torch.randn(32000, dtype=torch.float64)
    assert min(composite(estimate, CLEAN)[1:4]) >= 1


def test_segmental_snr_of_a_scaled_signal_is_known():
    noise = torch.randn(32000, dtype=torch.float64)
    assert segmental_snr(1.1 * noise, noise) == pytest.approx(20)
    assert segmental_snr(100 * noise, noise) == -10


def test_pauses_of_digital_silence_have_scores():
    clean = CLEAN.clone()
    clean[5000:9000] = 0
    scores = composite(NOISY, clean)
    assert all(math.isfinite(score) for score in scores)


def test_where_pesq_is_undefined_only_segmental_snr_is_left():
    pesq, csig, cbak, covl, snr = composite(NOISY[:1000], CLEAN[:1000])
    assert all(map(math.isnan, (pesq, csig, cbak, covl)))
    assert math.isfinite(snr)
    assert all(map(math.isnan, composite(NOISY, torch.zeros_like(CLEAN))))
    assert all(map(math.isnan, composite(torch.zeros_like(CLEAN), CLEAN)))
