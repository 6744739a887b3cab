#!/usr/bin/env python3
"""The light model against ``galdse``, from file to file.

> python benchmarks/light.py [--seconds 30] [--threads 1] [--repeats 3]
      [--pieces 32000 --context 8192] [--markdown light.md]

``light`` with one step, its mask alone, ``light`` in ONNX Runtime as
``examples/onnx_enhance.py`` runs it, and ``galdse`` with one step: each in a
process of its own, in turn, medians of the repetitions. Real-time factors are
seconds of computing per second of audio; to read and to write a wav file is
part of it, to import and to load the model is not. "added" is the largest
resident size less the one before enhancing, "in all" the largest one. The
processes with torch keep freed memory, as the command does; those with ONNX
Runtime do not, as the example does not, and import no torch.

--pieces adds a row of ONNX Runtime for each number of samples; the shorter
the pieces, the less memory. --context is how many samples around them are
heard, by default the model's own, if that is no more than half a piece.

Authors
 * The galdse developers
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy
import soundfile
from measure import Form, in_process, in_processes, publish, table

# Nothing above imports torch: a new process imports this file, too.
SAMPLE_RATE = 16000
EXAMPLES = Path(__file__).parents[1] / "examples"
COLUMNS = (
    *("form", "RTF", "times as fast as galdse"),
    *("MiB added", "MiB in all"),
)
SLOW = "galdse, 1 step"


def write_noise(path, seconds):
    """A mono file of noise: what is heard does not change the speed."""
    size = int(seconds * SAMPLE_RATE)
    noise = numpy.random.default_rng(0).normal(0, 0.1, size)
    soundfile.write(path, noise.clip(-1, 1), SAMPLE_RATE)


def exported(source, folder, lengths, context):
    """The ONNX files of a model, and the pieces that it is to be cut into.

    Arguments
    ---------
    source : str or pathlib.Path
        A model.
    folder : str or pathlib.Path
        Where to make the folder with the files.
    lengths : list of int
        Samples of a piece.
    context : int, optional
        Samples around it, the model's own if None.

    Returns
    -------
    cuts : dict
        Name -> values for what the example's model knows of pieces.
    """
    from galdse_brain.export import export_model
    from galdse_brain.inference import GALDSEEnhancement
    from galdse_brain.released import packaged
    from galdse_brain.to_onnx import PIECES, write_onnx

    write_onnx(export_model(packaged(source), folder))
    enhancer = GALDSEEnhancement.from_hparams(folder).mods.enhance_model
    spec, own, cuts = enhancer.spec, enhancer.pieces, {"its own pieces": {}}
    if context is not None:
        own = own._replace(context=context)
    for length in lengths:
        cut = own.scaled(length, spec.hop_length, spec.frame_multiple)
        values = {name: getattr(cut.checked(), name) for name in PIECES}
        seconds = (values[name] / SAMPLE_RATE for name in PIECES)
        cuts["{:.2f} s, {:.2f} s shared, {:.2f} s around".format(*seconds)] = (
            values
        )
    return cuts


def with_torch(source, num_steps, noisy, enhanced, threads):
    """A call without arguments that enhances a file."""
    import torch

    from galdse_brain.inference import GALDSEEnhancement

    torch.set_num_threads(threads)
    model = GALDSEEnhancement.from_hparams(source)

    def call():
        model.enhance_file(noisy, enhanced, num_steps=num_steps)

    return call


def with_onnx(folder, cut, noisy, enhanced, threads):
    """The same without torch; RuntimeError if that is imported all the same."""
    sys.path.append(str(EXAMPLES))
    from onnx_enhance import Model

    model = Model(folder, threads)
    vars(model).update(cut)

    def call():
        wav, rate = soundfile.read(noisy, dtype="float32")
        soundfile.write(enhanced, model.enhance(wav), rate)
        if "torch" in sys.modules:
            raise RuntimeError("torch is imported: its memory would count")

    return call


def measured(source, folder, args):
    """Form -> ``Found``, of the light model ``source`` and of ``galdse``."""
    folder = Path(folder)
    noisy, onnx = folder / "noisy.wav", folder / "onnx"
    write_noise(noisy, args.seconds)
    cuts = in_process(exported, source, onnx, args.pieces, args.context)
    forms = {
        "light, 1 step": partial(with_torch, source, 1),
        "light, mask alone": partial(with_torch, source, 0),
        **{
            f"light, 1 step, ONNX Runtime, {name}": partial(
                with_onnx, onnx, cut
            )
            for name, cut in cuts.items()
        },
        SLOW: partial(with_torch, args.against, 1),
    }
    files = noisy, folder / "enhanced.wav", args.threads
    return in_processes(
        {
            name: Form(prepare, files, prepare.func is with_torch)
            for name, prepare in forms.items()
        },
        args.repeats,
    )


def row(name, found, slow, seconds):
    """One line of the table."""
    return (
        name,
        f"{found.seconds / seconds:.4f}",
        f"{slow.seconds / found.seconds:.1f}",
        f"{found.added:.0f}",
        f"{found.largest:.0f}",
    )


def main(argv=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", default="light", help="light model, or a folder of one")
    add("--against", default="galdse", help="the other, or its folder")
    add("--seconds", type=float, default=30)
    add("--threads", type=int, default=1)
    add("--repeats", type=int, default=3)
    add("--pieces", type=int, nargs="+", default=[], metavar="N")
    add("--context", type=int, help="samples around a piece of --pieces")
    add("--markdown", type=Path, help="file to write the table to")
    args = parser.parse_args(argv)
    with TemporaryDirectory() as folder:
        found = measured(args.model, folder, args)
    rows = [
        row(name, one, found[SLOW], args.seconds) for name, one in found.items()
    ]
    from galdse_brain.cost import processor

    head = f"{args.seconds:g} s of audio, {args.threads} thread(s)"
    text = f"{head}, {processor()}\n\n{table(COLUMNS, rows)}"
    publish(text, args.markdown)


if __name__ == "__main__":
    main()
