#!/usr/bin/env python3
"""Enhance a 16 kHz file with SpeechBrain's own SepformerSeparation.

> python sepformer_separation.py exported noisy.wav enhanced.wav

Authors
 * The galdse developers
"""

import argparse

from speechbrain.dataio import audio_io
from speechbrain.inference.separation import SepformerSeparation

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", help="exported folder")
parser.add_argument("noisy")
parser.add_argument("enhanced")
args = parser.parse_args()

separator = SepformerSeparation.from_hparams(args.model)
noisy = separator.load_audio(args.noisy)
# separate_file would work too, but divides its output by the peak.
sources = separator.separate_batch(noisy[None])
audio_io.save(args.enhanced, sources[..., 0], separator.hparams.sample_rate)
