"""What the benchmarks share: interleaved timing, memory, markdown tables.

Authors
 * The galdse developers
"""

import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor

import torch

from galdse_brain.cost import MIB, peak_memory
from galdse_brain.memory import keep_freed_memory


def in_process(function, *args):
    """What a function returns in a new process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, keep_freed_memory) as pool:
        return pool.submit(function, *args).result()


def interleaved(calls, repeats):
    """Median seconds of each call after one to warm up, all in turn.

    Arguments
    ---------
    calls : dict
        Name -> callable without arguments.
    repeats : int
        Rounds that count.

    Returns
    -------
    seconds : dict
        Name -> median. What disturbs the machine disturbs all of them.
    """
    times = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(all_[1:]) for name, all_ in times.items()}


def wait(device):
    """Until a GPU has done what it was asked for."""
    {"cuda": torch.cuda.synchronize}.get(device, lambda: None)()


def seconds(call, device, repeats):
    """Median time of a call, after two to warm up."""
    times = []
    for _ in range(repeats + 2):
        wait(device)
        start = time.perf_counter()
        call()
        wait(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def highest(device, dtype, repeats=5, size=2048):
    """Operations per second of a square matrix product."""
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    return 2 * size**3 / seconds(lambda: a @ b, device, repeats)


def peak_mib(device="cpu"):
    """Most memory so far in MiB: of this process, on a GPU of its tensors."""
    return peak_memory(device) / MIB


def table(columns, rows):
    """A markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def publish(text, markdown):
    """Print a text, and write it to a file if one is named."""
    print(text)
    if markdown:
        with open(markdown, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
