"""DNSMOS P.835 and P.808: listeners' ratings, predicted without a reference.

Reddy, Gopal, Cutler, ICASSP 2021 and 2022. Needs the extra ``dnsmos``, whose
package speechmos (MIT) carries the networks: nothing is downloaded.

Authors
 * The galdse developers
"""

import warnings
from functools import cache
from importlib import resources

import torch
from torchaudio.functional import melscale_fbanks

from galdse_brain.metrics import SAMPLE_RATE

try:
    import onnxruntime

    MODELS = resources.files("speechmos") / "dnsmos_models"
except ImportError as error:
    raise ImportError(
        'DNSMOS needs its networks: pip install "galdse[dnsmos]"'
    ) from error

WINDOW = 144160  # 9.01 s
N_FFT, HOP, N_MELS = 321, 160, 120

# From what the network says to the scale of the listeners, highest power first
CALIBRATION = (
    (-0.08397278, 1.22083953, 0.0052439),  # SIG
    (-0.13166888, 1.60915514, -0.39604546),  # BAK
    (-0.06766283, 1.11546468, 0.04602535),  # OVRL
)


@cache
def network(name):
    """A network of the package: batch (1, ...) -> ratings."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # Equal numbers on every machine.
    session = onnxruntime.InferenceSession(
        (MODELS / name).read_bytes(), options, ["CPUExecutionProvider"]
    )
    return lambda batch: session.run(None, {"input_1": batch.numpy()})[0][0]


@cache
def mel_filters():
    """Slaney's filters (N_FFT // 2 + 1, N_MELS), the lowest ones empty."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return melscale_fbanks(
            n_freqs=N_FFT // 2 + 1,
            f_min=0.0,
            f_max=SAMPLE_RATE / 2,
            n_mels=N_MELS,
            # An odd transform has no bin at half the rate.
            sample_rate=SAMPLE_RATE * (N_FFT - 1) / N_FFT,
            norm="slaney",
            mel_scale="slaney",
        )


def log_mel(wav):
    """Mel spectrogram (T, N_MELS) in units of 40 dB, the loudest bin at 1."""
    window = torch.hann_window(N_FFT)
    stft = torch.stft(
        wav, N_FFT, HOP, window=window, pad_mode="constant", return_complex=True
    )
    power = (stft.abs() ** 2).T @ mel_filters()
    level = 10 * torch.log10(power.clamp(min=1e-10))
    level = level - level.max()
    return (level.clamp(min=-80) + 40) / 40


def windows(wav):
    """Pieces (P, WINDOW) that start every second; short waveforms repeat."""
    while len(wav) < WINDOW:
        wav = torch.cat([wav, wav])
    # As the published script counts: only whole seconds are room for a start.
    count = max(len(wav) // SAMPLE_RATE - 9, 1)
    return wav.unfold(0, WINDOW, SAMPLE_RATE)[:count]


def dnsmos(estimate, clean):
    """SIG, BAK, OVRL and P.808, each 1 to 5; the clean speech is not used.

    NaN for what is not finite, silent or empty, and where the clean speech is.
    """
    heard = estimate.any() and clean.any()
    if not (heard and estimate.isfinite().all()):
        return (float("nan"),) * 4
    ratings = []
    for piece in windows(estimate.float()):
        raw = network("sig_bak_ovr.onnx")(piece[None])
        p835 = [
            a * float(x) ** 2 + b * float(x) + c
            for x, (a, b, c) in zip(raw, CALIBRATION)
        ]
        p808 = network("model_v8.onnx")(log_mel(piece[:-160])[None])
        ratings.append([*p835, float(p808[0])])
    return tuple(torch.tensor(ratings).double().mean(0).tolist())


DNSMOS = {"dnsmos_sig, dnsmos_bak, dnsmos_ovrl, dnsmos_p808": dnsmos}
