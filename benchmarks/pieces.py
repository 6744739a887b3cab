#!/usr/bin/env python3
"""How near pieces of a long recording are to one pass over all of it.

> python benchmarks/pieces.py NOISY_FOLDER CLEAN_FOLDER [--model MODEL]
      [--seconds 30] [--markdown pieces.md]

Files of the two folders are joined to one recording. Networks that hear less
around a sample compute something else: the ratio of one pass to its difference
from the pieces says how much else, the scores whether it is worse.

Authors
 * The galdse developers
"""

import argparse
from pathlib import Path

import torch
from measure import publish, table

from galdse_brain.cost import processor
from galdse_brain.evaluate import paired, read
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.metrics import pesq_wb, si_sdr
from galdse_brain.pieces import Pieces
from galdse_brain.released import DEFAULT

COLUMNS = "pieces", "SI-SDR to one pass (dB)", "PESQ-WB", "SI-SDR (dB)"
LENGTHS = 32640, 65408, 130944


def recording(noisy_folder, clean_folder, num_samples):
    """Noisy and clean recording (N,) of joined files."""
    files = paired({"noisy": noisy_folder, "clean": clean_folder}).values()
    pairs = [read(paths) for paths in files]
    return [
        torch.cat([pair[title] for pair in pairs])[:num_samples]
        for title in ("noisy", "clean")
    ]


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("noisy", type=Path)
    parser.add_argument("clean", type=Path)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    model = GALDSEEnhancement.from_hparams(args.model)
    rate = model.hparams.sample_rate
    noisy, clean = recording(args.noisy, args.clean, int(args.seconds * rate))
    cuts = {"one pass": Pieces(num_samples=len(noisy), overlap=0)}
    for length in LENGTHS:
        overlap = length // 12 // 128 * 128
        cuts[f"{length / rate:.2f} s"] = Pieces(length, overlap)
    made = {}
    for name, pieces in cuts.items():
        model.mods.enhance_model.pieces = pieces.checked()
        made[name] = model.enhance_waveform(noisy, rate)
    rows = [
        (
            name,
            f"{si_sdr(wav, made['one pass']):.1f}",
            f"{pesq_wb(wav, clean):.3f}",
            f"{si_sdr(wav, clean):.2f}",
        )
        for name, wav in made.items()
    ]
    seconds = len(noisy) / rate
    head = f"{seconds:.0f} s of joined utterances, {processor()}"
    publish(f"{head}\n\n{table(COLUMNS, rows)}", args.markdown)


if __name__ == "__main__":
    main()
