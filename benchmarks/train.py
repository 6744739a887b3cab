#!/usr/bin/env python3
"""Speed of training: steps per second, what they cost, and where time goes.

> python benchmarks/train.py RECIPE.yaml [--overrides "{batch_size: 32}"]
      [--device cuda] [--precision bf16] [--speech DIR --noise DIR]

Prints a markdown table, medians over the repeats. A step is forward and
backward on one batch of random numbers, clipping, optimiser and average; its
parts are run one by one, so their shares need not add up to 100 %. "data" is
what one worker needs to mix a batch of the given folders, beside the step.
The achieved share of the peak: operations of convolutions, products and LSTMs
in a step per second, over those of large matrix products on the same device
in the same precision.

Authors
 * The galdse developers
"""

import argparse
from collections import Counter
from functools import partial
from io import StringIO

import torch
from hyperpyyaml import load_hyperpyyaml
from measure import highest, seconds
from ruamel.yaml import YAML
from speechbrain.utils.epoch_loop import EpochCounter
from torch import nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from galdse_brain.cost import processor, recorded_calls
from galdse_brain.memory import keep_freed_memory
from galdse_brain.mixing import AudioFiles, DynamicMixing
from galdse_brain.recipe import read_recipe

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def lstm_operations(system, call):
    """Operations of the LSTMs in a call, which torch does not count."""
    total = 0

    def count(lstm, inputs, _):
        nonlocal total
        steps = inputs[0].shape[:2].numel()
        weights = [w for w in lstm.parameters() if w.ndim == 2]
        # Backward needs twice as many as forward.
        passes = 3 if weights[0].requires_grad else 1
        total += passes * 2 * steps * sum(w.numel() for w in weights)

    lstms = [m for m in system.modules() if type(m) is nn.LSTM]
    hooks = [lstm.register_forward_hook(count) for lstm in lstms]
    call()
    for hook in hooks:
        hook.remove()
    return total


class Step:
    """One training step of a recipe, and its parts."""

    def __init__(self, hparams, device, dtype):
        self.modules = nn.ModuleDict(hparams["modules"]).to(device).train()
        self.weights = hparams["loss_weights"]
        self.system = self.modules["system"]
        self.optimizer = hparams["opt_class"](self.modules.parameters())
        self.ema = hparams["ema"].to(device)
        self.ema.n_averaged = self.ema.n_averaged.cpu()
        self.cast = partial(
            torch.autocast, device, dtype, dtype != torch.float32
        )
        shape = 2, hparams["batch_size"], hparams["segment_samples"]
        clean, noise = 0.1 * torch.randn(*shape, device=device)
        spec = self.modules["spec"]
        self.wavs = spec.normalize(clean + noise, clean)
        with torch.no_grad(), recorded_calls(self.system) as calls:
            self.y, self.x_0 = map(spec, self.wavs)
            self.losses()
        # Of several calls the last one
        self.networks = dict(calls)
        self.calls = Counter(name for name, _ in calls)

    def whole(self):
        """All of it."""
        self.backward()
        self.optimise()

    def losses(self):
        """Name to loss of the system."""
        with self.cast():
            y, x_0 = map(self.modules["spec"], self.wavs)
            return self.system(x_0, y, self.modules["objective"])

    def backward(self):
        """Losses and gradients."""
        losses = self.losses()
        total = sum(self.weights[name] * losses[name] for name in losses)
        total.backward()

    def optimise(self):
        """Clipping, optimiser, average."""
        nn.utils.clip_grad_norm_(self.modules.parameters(), 5.0)
        self.optimizer.step()
        self.ema.update_parameters(self.system)

    def network(self, name):
        """Forward and backward of a network on what it was last shown."""
        with self.cast():
            outputs = tree_leaves(self.networks[name]())
        outputs = [output for output in outputs if output is not None]
        total = sum(output.sum() for output in outputs)
        if total.requires_grad:  # Not that of a frozen network.
            total.backward()

    def objective(self):
        """Forward and backward of the objective, waveforms included."""
        estimate = self.y.clone().requires_grad_()
        errors = self.modules["objective"](estimate, self.x_0)
        if errors:
            sum(errors.values()).backward()


def built(recipe, overrides):
    """The recipe without data, and with weights that are not trained."""
    given = {"data_folder": "none", "start_from": "none"}
    given |= dict.fromkeys(["__initialize", "datasets", "mixing"])
    stream = StringIO()
    YAML().dump({**given, **YAML().load(overrides)}, stream)
    return load_hyperpyyaml(read_recipe(recipe, stream.getvalue()))


def mixing(hparams, speech, noise):
    """A call that mixes a batch."""
    mixtures = DynamicMixing(
        speech=AudioFiles([speech], exponent=0.5),
        noise=AudioFiles([noise], exponent=0.5),
        sample_rate=16000,
        num_items=10**6,
        num_samples=hparams["segment_samples"],
        window_samples=64000,
        snr=[-5, 20],
        seed=0,
        epochs=EpochCounter(1),
    )
    items = iter(range(10**6))
    return lambda: [mixtures[next(items)] for _ in range(hparams["batch_size"])]


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--overrides", default="{}")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", choices=DTYPES, default="fp32")
    parser.add_argument("--speech", help="folder with speech")
    parser.add_argument("--noise", help="folder with noise")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("high")  # As SpeechBrain does: TF32.
    hparams = built(args.recipe, args.overrides)
    dtype = DTYPES[args.precision]
    step = Step(hparams, args.device, dtype)
    parts = {
        "step": step.whole,
        **{
            f"{name}, one of {calls}": partial(step.network, name)
            for name, calls in step.calls.items()
        },
        "losses on spectrogram and waveform": step.objective,
        "optimiser and average": step.optimise,
    }
    if args.speech:
        torch.set_num_threads(1)
        parts["data, one worker"] = mixing(hparams, args.speech, args.noise)
    with FlopCounterMode(display=False) as counter:
        step.backward()
    operations = counter.get_total_flops()
    operations += lstm_operations(step.system, step.backward)
    times = {
        name: seconds(call, args.device, args.repeats)
        for name, call in parts.items()
    }
    speed = operations / times["step"]
    most = highest(args.device, dtype)
    head = args.recipe, args.overrides, args.device, args.precision
    print(*head, f"{args.threads} threads", processor(), sep=", ")
    print(f"{1 / times['step']:.2f} steps/s, {operations / 1e9:.1f} Gop a step")
    print(f"{speed / 1e9:.0f} Gop/s: {speed / most:.1%} of", end=" ")
    print(f"{most / 1e9:.0f} in matrix products")
    print("| | seconds | share of a step |\n|---|---|---|")
    for name, value in times.items():
        print(f"| {name} | {value:.4f} | {value / times['step']:.0%} |")


if __name__ == "__main__":
    main()
