#!/usr/bin/env python3
"""Draws docs/spectrograms.png: a spoken sentence, noisy, enhanced and clean.

> python tools/make_demo_corpus.py demo/corpus
> python tools/draw_example.py docs/spectrograms.png [demo/corpus]

The sentence is spoken by espeak-ng, the noise is white, at 5 dB; the model is
the default of the package.

Authors
 * The galdse developers
"""

import sys
from pathlib import Path

import soundfile
import torch

from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.metrics import decibels, si_sdr
from galdse_brain.pictures import spectrograms

NAME, SNR = "p257_001.wav", 5  # dB


def main(path, corpus):
    """Draw the picture and print SI-SDR of noisy and enhanced speech."""
    file = Path(corpus) / "clean_testset_wav" / NAME
    clean, rate = soundfile.read(file, dtype="float32")
    clean = torch.from_numpy(clean)
    noise = torch.randn(len(clean), generator=torch.Generator().manual_seed(0))
    noise *= 10 ** ((decibels(clean, noise) - SNR) / 20)
    noisy = clean + noise
    model = GALDSEEnhancement.from_hparams()
    enhanced = model.enhance_waveform(noisy, rate)
    enhancer = model.mods.enhance_model
    with torch.no_grad():
        mask = enhancer.system.noise_mask(enhancer.spec(noisy[None]))[0, 0]
    wavs = {"noisy": noisy, "enhanced": enhanced, "clean": clean}
    spectrograms(Path(path), wavs, {"noise mask": mask}, rate)
    for title in ("noisy", "enhanced"):
        print(f"{title}: SI-SDR {si_sdr(wavs[title], clean):.1f} dB")


if __name__ == "__main__":
    picture, *corpus = sys.argv[1:]
    main(picture, *corpus or ["demo/corpus"])
