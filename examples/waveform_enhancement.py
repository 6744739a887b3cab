#!/usr/bin/env python3
"""Enhance a 16 kHz file with SpeechBrain's own WaveformEnhancement.

> python waveform_enhancement.py exported noisy.wav enhanced.wav

Authors
 * The galdse developers
"""

import argparse

from speechbrain.inference.enhancement import WaveformEnhancement

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", help="exported folder")
parser.add_argument("noisy")
parser.add_argument("enhanced")
args = parser.parse_args()

enhancer = WaveformEnhancement.from_hparams(args.model)
enhancer.enhance_file(args.noisy, args.enhanced)
