#!/usr/bin/env python3
"""How near pieces of a long recording are to one pass over all of it.

> python benchmarks/pieces.py NOISY_FOLDER CLEAN_FOLDER [--model MODEL]
      [--seconds 30] [--pieces 65408] [--context 16384] [--markdown pieces.md]

Files of the two folders are joined to one recording. Networks that hear less
around a sample compute something else: the ratio of one pass to its difference
from the pieces says how much else, with the level (SNR) and without it
(SI-SDR, and the level beside it), the scores whether it is worse. Rows are the
model's own pieces, and those of each length of --pieces with each of --context,
in samples. The cost is samples heard over samples given back.

Authors
 * The galdse developers
"""

import argparse
from itertools import product
from pathlib import Path

import torch
from measure import publish, table

from galdse_brain.cost import processor
from galdse_brain.evaluate import paired, read
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.metrics import decibels, level, pesq_wb, si_sdr
from galdse_brain.pieces import Pieces
from galdse_brain.released import DEFAULT

COLUMNS = (
    *("pieces", "context", "cost", "SI-SDR to one pass (dB)"),
    *("SNR to one pass (dB)", "level to one pass (dB)"),
    *("PESQ-WB", "SI-SDR (dB)"),
)


def recording(noisy_folder, clean_folder, num_samples):
    """Noisy and clean recording (N,) of joined files."""
    files = paired({"noisy": noisy_folder, "clean": clean_folder}).values()
    pairs, missing = [], num_samples
    for paths in files:
        if missing > 0:
            pairs.append(read(paths))
            missing -= len(pairs[-1]["noisy"])
    return [
        torch.cat([pair[title] for pair in pairs])[:num_samples]
        for title in ("noisy", "clean")
    ]


def cuts(enhancer, num_samples, lengths, contexts):
    """The ways to cut a recording, one pass first."""
    own, spec = enhancer.pieces, enhancer.spec
    whole = Pieces(num_samples=num_samples, overlap=0)
    scaled = (
        own._replace(context=context).scaled(
            length, spec.hop_length, spec.frame_multiple
        )
        for length, context in product(lengths, contexts)
    )
    # A context is no more than half a piece: some may be the same.
    return [cut.checked() for cut in dict.fromkeys((whole, own, *scaled))]


def cost(pieces, wav):
    """Samples of a recording (N,) that are heard, over its own."""
    heard = sum(part.shape[-1] for *_, part in pieces.cut([wav[None]]))
    return heard / len(wav)


def snr(wav, expected):
    """Power of what is expected over that of the difference, in dB."""
    wav, expected = wav.double(), expected.double()
    return decibels(expected, wav - expected).item()


def compared(model, pieces, noisy, clean):
    """Lines of the table, one for each way to cut."""
    rate, expected, rows = model.hparams.sample_rate, None, []
    for cut in pieces:
        model.mods.enhance_model.pieces = cut
        wav = model.enhance_waveform(noisy, rate)
        expected = wav if expected is None else expected
        rows.append(
            (
                f"{cut.num_samples / rate:.2f} s",
                f"{cut.context / rate:.2f} s",
                f"{cost(cut, noisy):.2f}",
                f"{si_sdr(wav, expected):.1f}",
                f"{snr(wav, expected):.1f}",
                f"{level(wav, expected):.3f}",
                f"{pesq_wb(wav, clean):.3f}",
                f"{si_sdr(wav, clean):.2f}",
            )
        )
    return rows


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("noisy", type=Path)
    add("clean", type=Path)
    add("--model", default=DEFAULT)
    add("--seconds", type=float, default=30)
    add("--pieces", type=int, nargs="+", default=[65408], metavar="N")
    add("--context", type=int, nargs="+", default=[16384], metavar="N")
    add("--markdown", type=Path)
    args = parser.parse_args()
    model = GALDSEEnhancement.from_hparams(args.model)
    rate = model.hparams.sample_rate
    noisy, clean = recording(args.noisy, args.clean, int(args.seconds * rate))
    enhancer = model.mods.enhance_model
    pieces = cuts(enhancer, len(noisy), args.pieces, args.context)
    rows = compared(model, pieces, noisy, clean)
    seconds = len(noisy) / rate
    head = f"{args.model}, {seconds:.0f} s of joined utterances, {processor()}"
    publish(f"{head}\n\n{table(COLUMNS, rows)}", args.markdown)


if __name__ == "__main__":
    main()
