#!/usr/bin/env python3
"""Enhance a 16 kHz mono file with a trained run.

> python tools/enhance.py RUN_FOLDER noisy.wav enhanced.wav [--seed 0]

Authors
 * The galdse developers
"""

import argparse

import torch
from speechbrain.dataio import audio_io

from galdse_brain.data import read
from galdse_brain.runs import load_enhancer

SAMPLE_RATE = 16000


def main():
    """Read, enhance, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_folder", help="output_folder of a training")
    parser.add_argument("noisy", help="16 kHz mono file")
    parser.add_argument("enhanced", help="file to write")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    args = parser.parse_args()

    noisy = read(args.noisy, SAMPLE_RATE)
    enhancer = load_enhancer(args.run_folder)
    with torch.inference_mode():
        wavs, _ = enhancer(noisy[None], seed=args.seed)
    audio_io.save(args.enhanced, wavs[0], SAMPLE_RATE)


if __name__ == "__main__":
    main()
