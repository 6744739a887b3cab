"""DNSMOS is what the published script computes, and says what it needs."""

import math
import sys

import pytest
import torch
from signals import noisy_pair

from galdse_brain.dnsmos import SAMPLE_RATE, WINDOW, dnsmos, log_mel, windows

CLEAN, NOISY = noisy_pair()


def test_scores_are_those_of_the_published_script():
    # speechmos 0.0.1.1 with librosa 0.11.0 on the same signals.
    sig, bak, ovrl, p808 = dnsmos(NOISY, CLEAN)
    assert sig == pytest.approx(2.7945522958657905, abs=1e-4)
    assert bak == pytest.approx(1.4500129702630062, abs=1e-4)
    assert ovrl == pytest.approx(1.2944142902933693, abs=1e-4)
    assert p808 == pytest.approx(2.370736, abs=2e-3)


def test_short_waveforms_repeat_and_long_ones_start_every_second():
    assert windows(torch.arange(9.0)).shape == (1, WINDOW)
    assert float(windows(torch.arange(9.0))[0, 9]) == 0
    pieces = windows(torch.arange(12.5 * SAMPLE_RATE))
    assert pieces[:, 0].tolist() == [0, SAMPLE_RATE, 2 * SAMPLE_RATE]


def test_the_mel_spectrogram_ignores_the_level():
    wav = CLEAN.float()
    assert float(log_mel(wav).max()) == pytest.approx(1)
    torch.testing.assert_close(log_mel(wav), log_mel(4 * wav))


def test_what_is_not_finite_has_no_score():
    assert all(map(math.isnan, dnsmos(NOISY * math.nan, CLEAN)))
    assert all(map(math.isnan, dnsmos(NOISY[:0], CLEAN[:0])))
    assert all(map(math.isnan, dnsmos(0 * NOISY, CLEAN)))


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "galdse_brain.dnsmos")
    with pytest.raises(ImportError, match=r"galdse\[dnsmos\]"):
        import galdse_brain.dnsmos  # noqa: F401
