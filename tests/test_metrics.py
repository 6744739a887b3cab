"""Scores have their closed forms; failures are counted, never scored."""

import math

import pytest
import torch

from galdse_brain.metrics import (
    MAX_DELAY,
    decompose,
    delay,
    estoi,
    level,
    pesq_nb,
    pesq_wb,
    projection,
    si_sar,
    si_sdr,
    si_sir,
    snr,
    stoi,
)
from galdse_brain.results import interval, summarize


@pytest.fixture(scope="module")
def speech():
    """Two seconds with the rhythm and the spectrum of speech."""
    t = torch.arange(32000) / 16000
    voice = sum(torch.sin(2 * math.pi * 120 * k * t) / k for k in range(1, 25))
    rhythm = (torch.sin(2 * math.pi * 3 * t) + 0.3).clamp(min=0)
    return 0.2 * voice * rhythm


def test_clean_speech_has_the_highest_scores(speech):
    assert pesq_wb(speech, speech) == pytest.approx(4.644, abs=1e-3)
    assert pesq_nb(speech, speech) == pytest.approx(4.549, abs=1e-3)
    assert stoi(speech, speech) == pytest.approx(1, abs=1e-6)
    assert estoi(speech, speech) == pytest.approx(1, abs=1e-6)
    assert si_sdr(speech, speech) == math.inf


def test_si_sdr_of_orthogonal_noise_is_the_snr(speech):
    noise = torch.randn_like(speech)
    noise, clean = noise - noise.mean(), speech - speech.mean()
    noise = noise - (noise @ clean) / (clean @ clean) * clean
    noise = noise / noise.norm() * clean.norm() * 10 ** (-7 / 20)
    assert si_sdr(clean + noise, clean) == pytest.approx(7, abs=1e-3)
    assert si_sdr(3 * (clean + noise) + 5, clean) == pytest.approx(7, abs=1e-3)


def test_an_estimate_is_the_sum_of_three_orthogonal_parts(speech):
    noise, estimate = torch.randn(2, len(speech)).double()
    parts = decompose(estimate, speech.double(), noise)
    torch.testing.assert_close(sum(parts), estimate - estimate.mean())
    for i in range(3):
        assert float(parts[i] @ parts[i - 1]) == pytest.approx(0, abs=1e-8)


def test_reciprocal_sdr_is_the_sum_of_those_of_sir_and_sar(speech):
    noise, artifacts = 0.1 * torch.randn(2, len(speech))
    estimate = 0.7 * speech + 0.4 * noise + artifacts
    sdr, sir, sar = (
        10 ** (-score / 10)
        for score in (
            si_sdr(estimate, speech),
            si_sir(estimate, speech, noise),
            si_sar(estimate, speech, noise),
        )
    )
    assert sdr == pytest.approx(sir + sar, rel=1e-9)


def test_noisy_speech_has_noise_and_no_artifacts(speech):
    noise = 0.1 * torch.randn_like(speech)
    noisy = speech.double() + noise.double()
    expected = 20 * math.log10(float(speech.norm() / noise.norm()))
    assert snr(noisy, speech, noise) == pytest.approx(expected, abs=1e-4)
    sir = si_sir(noisy, speech, noise)
    assert sir == pytest.approx(si_sdr(noisy, speech), abs=1e-9)
    assert si_sar(noisy, speech, noise) == math.inf
    assert math.isnan(si_sir(noisy, speech, torch.zeros_like(speech)))


@pytest.mark.parametrize("factor", [0.01, 0.5, 1, 3])
def test_scaling_by_g_gives_a_level_of_20_log10_g(factor, speech):
    expected = 20 * math.log10(factor)
    assert level(factor * speech, speech) == pytest.approx(expected, abs=1e-5)
    assert level(factor * speech + 5, speech) == pytest.approx(
        expected, abs=1e-4
    )
    noise = (speech - speech.mean()).flip(0)
    noise = noise - projection(noise, speech - speech.mean())
    assert level(factor * speech + noise, speech) == pytest.approx(
        expected, abs=1e-3
    )


def test_speech_of_the_other_sign_has_no_level_and_is_not_late(speech):
    assert math.isnan(level(-speech, speech))
    assert delay(-speech, speech) == 0


@pytest.mark.parametrize("shift", [0, 1, -1, 133, -700, MAX_DELAY, -MAX_DELAY])
def test_a_shift_by_n_samples_is_a_delay_of_n(shift, speech):
    late = speech.roll(shift)
    assert delay(late, speech) == shift
    assert delay(speech, late) == -shift
    assert delay(0.01 * late + 5, speech) == shift
    noise = torch.randn_like(speech) * speech.std()  # An SNR of 0 dB
    assert delay(late + noise, speech) == shift


def test_clean_speech_has_neither_a_level_nor_a_delay(speech):
    assert level(speech, speech) == 0 and delay(speech, speech) == 0


def test_what_holds_hardly_any_of_the_speech_has_no_delay(speech):
    noise = torch.randn_like(speech)
    assert math.isnan(delay(noise + 0.01 * speech, speech))


def test_a_clip_shorter_than_the_search_has_a_delay():
    wav = torch.randn(MAX_DELAY // 4)
    late = torch.cat([torch.zeros(9), wav[:-9]])
    assert delay(late, wav) == 9 and delay(wav, late) == -9


def test_bootstrap_intervals_have_their_closed_forms():
    # Of two scores, a quarter of the draws holds the lower one twice.
    assert interval([0.0, 1.0]) == (0, 1)
    assert interval([0.0, 1.0, math.nan]) == (0, 1)
    scores = torch.randn(400, dtype=torch.float64)
    low, high = interval(scores.tolist(), draws=20000)
    half = 1.96 * float(scores.std(correction=0)) / 20
    assert low == pytest.approx(float(scores.mean()) - half, abs=0.04 * half)
    assert high == pytest.approx(float(scores.mean()) + half, abs=0.04 * half)
    assert interval(scores.tolist()) == interval(scores.tolist())
    assert interval(scores.tolist()) != interval(scores.tolist(), seed=1)
    assert all(map(math.isnan, interval([1.0])))


@pytest.mark.parametrize(
    "metric", [pesq_wb, pesq_nb, stoi, estoi, si_sdr, level, delay]
)
def test_what_has_no_score_is_not_a_number(metric, speech):
    silence = torch.zeros_like(speech)
    assert math.isnan(metric(silence, silence))
    assert math.isnan(metric(speech * math.nan, speech))
    assert math.isnan(metric(silence, speech))
    loud = speech.clone()
    loud[100] = math.inf
    assert math.isnan(metric(loud, speech))


def test_clips_that_are_too_short_have_no_score(speech):
    short = speech[:1000]
    assert math.isnan(pesq_wb(short, short))
    assert math.isnan(estoi(short, short))


def test_failures_are_counted_and_not_averaged():
    summary = summarize([2.0, math.nan, 4.0, math.nan])
    assert summary == {"mean": 3.0, "std": 1.0, "failures": 2}
    assert math.isnan(summarize([math.nan])["mean"])
