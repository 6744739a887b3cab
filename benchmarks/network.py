#!/usr/bin/env python3
"""One call of the denoiser against the textbook form, on the same weights.

> python benchmarks/network.py [--seconds 2 4 10 30] [--threads 1 2]
      [--forms fp32 bf16 onnx] [--training] [--kept] [--markdown network.md]

The textbook form (``naive.py``) and ours take turns, each in a process of its
own: ratio of their medians, and largest difference of their outputs, whose
standard deviation is printed beside it. Ours keeps freed memory, as the command
does; with --kept the textbook form does, too. Memory is what a first call adds
to the largest resident size. With --training, forward and backward on 8 crops
of 256 frames instead. Weights are random, so that outputs are not zero, or
those of --model.

Authors
 * The galdse developers
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from measure import Form, in_processes, publish, table
from naive import NaiveNet

from galdse_brain.cost import processor
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.nets.ncsnpp import NCSNpp
from galdse_brain.systems.parts import part_with
from galdse_brain.to_onnx import EXAMPLE_SIZES, write_network

FRAMES_PER_SECOND = 125
TRAINING = 8, 256  # Crops and frames of a training step.
COLUMNS = (
    "audio",
    "threads",
    "form",
    "naive, s",
    "ours, s",
    "times as fast",
    "largest difference",
    "of deviation",
    "naive, MiB",
    "ours, MiB",
)


def network(model):
    """The network of an exported folder, or one with random weights."""
    if model:
        loaded = GALDSEEnhancement.from_hparams(model)
        return part_with(loaded.mods.enhance_model.system, "net").net.eval()
    torch.manual_seed(0)
    net = NCSNpp().eval()
    for parameter in net.parameters():
        if parameter.ndim > 1:
            fan_in = parameter[0].numel()
            torch.nn.init.normal_(parameter, std=fan_in**-0.5)
    return net


def inputs(batch, frames):
    """State, step and condition of random noise."""
    generator = torch.Generator().manual_seed(1)
    both = torch.randn(batch, 5, 256, frames, generator=generator)
    return both[:, :2], torch.full((batch,), 3), both[:, 2:].sigmoid()


def naive(net):
    """The textbook form of the same weights."""
    return NaiveNet(dict(net.named_parameters()))


def bf16(net):
    """Ours in half precision, as ``galdse enhance --precision bf16``."""
    return torch.autocast("cpu", torch.bfloat16)(net)


def onnx(net):
    """Ours in ONNX Runtime."""
    import onnxruntime

    names = ["x_t", "t", "cond"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Its threads wait busily, also while other forms have their turn.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    with TemporaryDirectory() as folder:
        path = f"{folder}/net.onnx"
        given = [inputs(*size) for size in EXAMPLE_SIZES]
        results = [(x_t,) for x_t, *_ in given]
        write_network(path, net, names, given, ["x_0"], results)
        session = onnxruntime.InferenceSession(path, options)

    def call(*given):
        arrays = [array.numpy() for array in given]
        return torch.from_numpy(session.run(None, dict(zip(names, arrays)))[0])

    return call


FORMS = {
    "naive": naive,
    "fp32": lambda net: net,
    "bf16": bf16,
    "onnx": onnx,
}


def prepared(form, threads, shape, training, model):
    """A call without arguments of one form."""
    torch.set_num_threads(threads)
    net = network(model)
    network_call, given = FORMS[form](net), inputs(*shape)

    def step():
        network_call(*given).square().mean().backward()
        net.zero_grad()

    def forward():
        with torch.inference_mode():
            return network_call(*given).float()

    return step if training else forward


def row(form, audio, threads, shape, args):
    """One line of the table."""
    what = threads, shape, args.training, args.model
    forms = {
        "naive": Form(prepared, ("naive", *what), keeps_memory=args.kept),
        "ours": Form(prepared, (form, *what)),
    }
    naive, ours = in_processes(forms, args.repeats).values()
    expected, output = naive.output, ours.output
    difference = deviation = float("nan")
    if output is not None:  # A training step returns nothing.
        difference, deviation = abs(output - expected).max(), expected.std()
    return (
        *(audio, threads, form, f"{naive.seconds:.3f}", f"{ours.seconds:.3f}"),
        f"{naive.seconds / ours.seconds:.2f}",
        *(f"{difference:.1e}", f"{deviation:.2f}"),
        *(f"{naive.mib:.0f}", f"{ours.mib:.0f}"),
    )


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--seconds", type=int, nargs="+", default=[2, 4, 10, 30])
    add("--threads", type=int, nargs="+", default=[1, 2])
    add("--forms", nargs="+", choices=FORMS, default=[*FORMS][1:])
    add("--training", action="store_true", help="a step on 8 crops")
    add("--model", help="exported folder, instead of random weights")
    add("--kept", action="store_true", help="naive keeps memory, too")
    add("--repeats", type=int, default=5)
    add("--markdown", type=Path, help="file to write the table to")
    args = parser.parse_args()
    shapes = {
        f"{seconds} s": (1, -(-seconds * FRAMES_PER_SECOND // 8) * 8)
        for seconds in args.seconds
    }
    if args.training:
        shapes = {"{} x {} frames".format(*TRAINING): TRAINING}
    rows = []
    for audio, shape in shapes.items():
        for threads in args.threads:
            for form in args.forms:
                rows.append(row(form, audio, threads, shape, args))
                print(*rows[-1], file=sys.stderr, flush=True)
    publish(f"{processor()}\n\n{table(COLUMNS, rows)}", args.markdown)


if __name__ == "__main__":
    main()
