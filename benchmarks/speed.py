#!/usr/bin/env python3
"""Speed and memory of an enhancer: enhancing 2, 10 and 30 s, and training.

> python benchmarks/speed.py [hparams/galdse.yaml] [--threads 2] [--repeats 3]

Prints a markdown table, medians over the repeats. Weights are random: they do
not change the speed. Memory is the largest resident size of the process up to
that row; rows come in the order of their need. A training step is forward and
backward on 8 crops of 256 frames with the losses of the recipe.

Authors
 * The galdse developers
"""

import argparse
import platform
import resource
import statistics
import time

import torch
from hyperpyyaml import load_hyperpyyaml
from torch import nn

from galdse_brain.enhancer import Enhancer
from galdse_brain.objectives import NegSISNR, Objective, PESQLoss

SAMPLE_RATE = 16000
BATCH, CROP = 8, 32640
MIB_PER_RUSAGE = {"Darwin": 2**20}.get(platform.system(), 2**10)


def seconds(call, repeats):
    """Median time of a call, after one to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_mib():
    """Largest resident size so far, in MiB."""
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage / MIB_PER_RUSAGE


def enhancing(enhancer, length):
    """A call that enhances ``length`` seconds."""
    noisy = torch.rand(1, length * SAMPLE_RATE) - 0.5

    def call():
        with torch.inference_mode():
            enhancer(noisy)

    return call


def training(system, spec):
    """A call that goes forward and backward through all losses."""
    objective = Objective(
        spec,
        {"spec_mse": nn.MSELoss()},
        {"l1": nn.L1Loss(), "si_snr": NegSISNR(), "pesq": PESQLoss()},
    )
    clean, noise = torch.rand(2, BATCH, CROP) - 0.5
    x_0, y = spec(clean), spec(clean + noise)

    def call():
        sum(system(x_0, y, objective).values()).backward()
        system.zero_grad()

    return call


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hparams", nargs="?", default="hparams/galdse.yaml")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with open(args.hparams, encoding="utf-8") as file:
        hparams = load_hyperpyyaml(file)
    system, spec = hparams["system"], hparams["spec"]
    enhancer = Enhancer(system, spec).eval()

    count = sum(p.numel() for p in system.parameters())
    print(f"{args.hparams}: {count:,} parameters, {args.threads} threads")
    print("| | seconds | real-time factor | peak MiB |\n|---|---|---|---|")
    for length in (2, 10, 30):
        time_taken = seconds(enhancing(enhancer, length), args.repeats)
        factor = time_taken / length
        print(
            f"| enhance {length} s | {time_taken:.2f} | {factor:.2f} | "
            f"{peak_mib():.0f} |",
            flush=True,
        )
    system.train()
    time_taken = seconds(training(system, spec), args.repeats)
    print(f"| training step | {time_taken:.2f} | | {peak_mib():.0f} |")


if __name__ == "__main__":
    main()
