#!/usr/bin/env python3
"""The guidance network in fp32, in bf16 and with quantised recurrences.

> python benchmarks/guidance.py [NOISY_FOLDER CLEAN_FOLDER] [--seconds 4]
      [--threads 1 2] [--repeats 5] [--model MODEL] [--markdown guidance.md]

Prints medians of interleaved repetitions on noise, with the weights of a
model, by default that of the package, and the largest difference of the mask;
with folders, whose files belong together by name, the PESQ of the guidance's
estimate too.

Authors
 * The galdse developers
"""

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path

import torch
from measure import interleaved, publish, table
from torch.ao.quantization import quantize_dynamic

from galdse_brain.cost import processor
from galdse_brain.evaluate import paired, read
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.memory import keep_freed_memory
from galdse_brain.metrics import pesq_wb
from galdse_brain.released import DEFAULT
from galdse_brain.systems.parts import part_with

FRAMES_PER_SECOND = 125
COLUMNS = "threads", "form", "s", "times as fast", "largest difference", "PESQ"


def in_bf16(net, y):
    """What the network says under autocast."""
    with torch.autocast("cpu", torch.bfloat16):
        return net(y)


def forms(net):
    """Name to a function from spectrogram to ``Guidance``."""
    layers = {torch.nn.LSTM, torch.nn.GRU, torch.nn.Linear}
    return {
        "fp32": net,
        "bf16": partial(in_bf16, net),
        "int8 recurrences": quantize_dynamic(net, layers, dtype=torch.qint8),
    }


def first_pesq(form, enhancer, pairs):
    """Mean PESQ of a form's estimate, in one pass."""
    scores, spec = [], enhancer.spec
    for noisy, clean in pairs:
        (given,) = spec.normalize(noisy[None])
        wav = spec.inverse(form(spec(given)).estimate, len(noisy))[0]
        scores.append(pesq_wb(wav, clean))
    mean = torch.tensor(scores, dtype=torch.float64).nanmean().item()
    return f"{mean:.3f}" if scores else ""


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("folders", type=Path, nargs="*", metavar="FOLDER")
    add("--seconds", type=int, default=4)
    add("--threads", type=int, nargs="+", default=[1, 2])
    add("--repeats", type=int, default=5)
    add("--model", default=DEFAULT)
    add("--markdown", type=Path, help="file to write the table to")
    args = parser.parse_args()
    keep_freed_memory()
    if len(args.folders) not in (0, 2):
        parser.error("give the folders of noisy and of clean speech, or none")
    files = paired(dict(zip(("noisy", "clean"), args.folders))).values()
    pairs = [list(read(paths).values()) for paths in files]
    warnings.simplefilter("ignore")  # Quantisation will move out of torch.
    enhancer = GALDSEEnhancement.from_hparams(args.model).mods.enhance_model
    net = part_with(enhancer.system, "guidance").guidance
    y = torch.randn(1, 2, 256, args.seconds * FRAMES_PER_SECOND // 8 * 8)
    rows = []
    with torch.inference_mode():
        made = forms(net)
        scores = {n: first_pesq(f, enhancer, pairs) for n, f in made.items()}
        for threads in args.threads:
            torch.set_num_threads(threads)
            calls = {name: partial(form, y) for name, form in made.items()}
            times = interleaved(calls, args.repeats)
            for name, second in times.items():
                error = (made[name](y).mask - net(y).mask).abs().max()
                ratio = times["fp32"] / second
                cells = f"{second:.3f}", f"{ratio:.2f}", f"{error:.1e}"
                rows.append((threads, name, *cells, scores[name]))
                print(*rows[-1], file=sys.stderr, flush=True)
    publish(f"{processor()}\n\n{table(COLUMNS, rows)}", args.markdown)


if __name__ == "__main__":
    main()
