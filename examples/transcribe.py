#!/usr/bin/env python3
"""Does enhancement help a recogniser? Word error rates with and without.

> python transcribe.py exported asr test.json --data_root /path/to/corpus

The manifest is SpeechBrain's JSON with noisy_wav (16 kHz) and words; asr is
any EncoderASR. One line for each mix: 0 is enhanced, 1 is noisy.

Authors
 * The galdse developers
"""

import argparse

from speechbrain.inference.ASR import EncoderASR
from speechbrain.utils.data_utils import batch_pad_right
from speechbrain.utils.metric_stats import ErrorRateStats

from galdse_brain.data import read
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.manifests import read_manifest


def main():
    """Transcribe all entries at every mix."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="exported folder")
    parser.add_argument("asr", help="folder or name on the hub")
    parser.add_argument("manifest")
    parser.add_argument("--data_root", default="", help="for {data_root}")
    parser.add_argument("--mix", type=float, nargs="+", default=[1, 0.5, 0])
    parser.add_argument("--batch_size", type=int, default=8)
    args = parser.parse_args()

    enhancer = GALDSEEnhancement.from_hparams(args.model)
    asr = EncoderASR.from_hparams(args.asr)
    rate = enhancer.hparams.sample_rate
    entries = list(read_manifest(args.manifest, args.data_root).items())
    for mix in args.mix:
        errors = ErrorRateStats()
        for start in range(0, len(entries), args.batch_size):
            names, items = zip(*entries[start : start + args.batch_size])
            wavs, lens = batch_pad_right(
                [read(item["noisy_wav"], rate) for item in items]
            )
            wavs = enhancer.enhance_batch(wavs, lens, mix=mix)
            texts, _ = asr.transcribe_batch(wavs, lens)
            errors.append(
                names,
                [text.split() for text in texts],
                [item["words"].split() for item in items],
            )
        print(f"mix {mix:.2f}: WER {errors.summarize('error_rate'):.2f} %")


if __name__ == "__main__":
    main()
