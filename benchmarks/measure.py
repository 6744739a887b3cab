"""What the benchmarks share: interleaved timing, memory, markdown tables.

It imports no torch: processes that work without it are measured, too.

Authors
 * The galdse developers
"""

import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple

import numpy

from galdse_brain.memory import (
    keep_freed_memory,
    largest_resident,
    resident,
)

MIB = 2**20
SPAWN = multiprocessing.get_context("spawn")


def in_process(function, *args):
    """What a function returns in a new process of its own."""
    with ProcessPoolExecutor(1, SPAWN, keep_freed_memory) as pool:
        return pool.submit(function, *args).result()


class Form(NamedTuple):
    """A way to compute something, in a process of its own.

    Arguments
    ---------
    prepare : callable
        (*args) -> a call without arguments, made in the process.
    args : tuple
        For ``prepare``.
    keeps_memory : bool
        Whether the process keeps freed memory, as the command's does.
    """

    prepare: callable
    args: tuple
    keeps_memory: bool = True


class Found(NamedTuple):
    """What was measured of a form."""

    seconds: float  # median
    mib: float  # that the first call added to the largest resident size
    output: numpy.ndarray  # of the last call, or None
    added: float  # MiB, the largest resident size less that before all calls
    largest: float  # MiB, resident


def in_processes(forms, repeats, device="cpu"):
    """Forms, each in a process of its own, all in turn.

    Arguments
    ---------
    forms : dict
        Name -> ``Form``. What they hold is in memory together.
    repeats : int
        Rounds that count, after one for the memory and to warm up.
    device : str
        Where the calls compute.

    Returns
    -------
    found : dict
        Name -> ``Found``. What disturbs the machine disturbs all of them.
    """
    with ExitStack() as stack:
        pools = {
            name: stack.enter_context(
                ProcessPoolExecutor(1, SPAWN, _prepare, form)
            )
            for name, form in forms.items()
        }
        runs = {name: [] for name in forms}
        for _ in range(repeats + 1):
            for name, pool in pools.items():
                runs[name].append(pool.submit(_run, device).result())
        return {
            name: Found(
                statistics.median(seconds for seconds, _ in all_[1:]),
                all_[0][1],
                *pools[name].submit(_finished).result(),
            )
            for name, all_ in runs.items()
        }


_prepared = {}  # What a process of ``in_processes`` holds.


def _prepare(prepare, args, keeps_memory):
    if keeps_memory:
        keep_freed_memory()
    _prepared["call"] = prepare(*args)
    _prepared["resident"] = resident()


def _run(device):
    before, start = peak_mib(device), time.perf_counter()
    output = _prepared["call"]()
    wait(device)
    found = time.perf_counter() - start, peak_mib(device) - before
    _prepared["output"] = None if output is None else output.numpy()
    return found


def _finished():
    largest = largest_resident()
    added = largest - _prepared["resident"]
    return _prepared["output"], added / MIB, largest / MIB


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
    WAIT.get(device, lambda: None)()


def _wait_for_cuda():
    import torch

    torch.cuda.synchronize()


WAIT = {"cuda": _wait_for_cuda}


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
    import torch

    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    return 2 * size**3 / seconds(lambda: a @ b, device, repeats)


def peak_mib(device="cpu"):
    """Most memory so far in MiB: of this process, on a GPU of its tensors."""
    return PEAK.get(device, largest_resident)() / MIB


def _peak_of_cuda():
    from galdse_brain.cost import peak_memory

    return peak_memory("cuda")


PEAK = {"cuda": _peak_of_cuda}


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
