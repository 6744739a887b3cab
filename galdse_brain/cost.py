"""What an enhancer costs: parameters, calls, arithmetic, time and memory.

Authors
 * The galdse developers
"""

import platform
import statistics
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from math import prod
from multiprocessing import get_context
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from galdse_brain.memory import keep_freed_memory, largest_resident
from galdse_brain.metrics import SAMPLE_RATE

MIB = 2**20


def lstm_flops(shape, gates, *_, out_shape):
    """Two for every product of one recurrent layer and direction.

    From the shapes of the input (..., I) and of the weights (4 H, I).
    """
    return 2 * prod(shape[:-1]) * gates[0] * (gates[1] + gates[0] // 4)


def cudnn_rnn_flops(shape, weights, *_, out_shape):
    """As ``lstm_flops``, for all layers and directions at once.

    Every direction adds two matrices, (4 H, I) and (4 H, H); biases are free.
    """
    matrices = [weight for weight in weights if len(weight) == 2]
    return 2 * prod(shape[:-1]) * sum(map(prod, matrices))


def attention_flops(query, key, value, *_, out_shape):
    """Two for every product of attention, from three shapes."""
    return sdpa_flop_count(query, key, value)


# What FlopCounterMode does not know.
UNKNOWN = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
    torch.ops.aten.mkldnn_rnn_layer: lstm_flops,
    torch.ops.aten._cudnn_rnn: cudnn_rnn_flops,
}


def multiplications(call):
    """Multiply-accumulate operations of a call without arguments."""
    with FlopCounterMode(display=False, custom_mapping=UNKNOWN) as counter:
        call()
    return counter.get_total_flops() / 2


@contextmanager
def recorded_calls(system):
    """The calls of a system's networks while the context lasts.

    Yields
    ------
    calls : list
        For each call of the outermost parts that have parameters and are no
        systems themselves: the part's name, and a function that calls it
        again with the same arguments.
    """
    calls, running = [], []

    def enter(module, args, kwargs):
        if not running:
            calls.append((names[module], partial(module, *args, **kwargs)))
        running.append(module)

    def leave(*_):
        running.pop()

    names = {
        module: name
        for name, module in system.named_modules()
        if list(module.parameters()) and not hasattr(module, "enhance")
    }
    hooks = [
        module.register_forward_pre_hook(enter, with_kwargs=True)
        for module in names
    ]
    hooks += [
        module.register_forward_hook(leave, always_call=True)
        for module in names
    ]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def network_calls(enhancer):
    """Part of the system -> how often one enhancement calls it."""
    one = next(enhancer.parameters()).new_ones(1, 1)
    with torch.no_grad(), recorded_calls(enhancer.system) as calls:
        enhancer(one)
    return dict(Counter(name for name, _ in calls))


def processor():
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2] for line in lines if "model name" in line]
    return (models or [platform.processor()])[0].strip()


def _processor_and_threads(_):
    return f"{processor()}, {torch.get_num_threads()} thread(s)"


def _process_memory(_):
    return largest_resident()


# By the kind of a device, of which the processor is one of many.
HARDWARE = {"cuda": torch.cuda.get_device_name}
PEAK_MEMORY = {"cuda": torch.cuda.max_memory_allocated}


def _of_kind(table, device, otherwise):
    """What a table has for the device, called with it."""
    return table.get(torch.device(device).type, otherwise)(device)


def hardware(device):
    """Name of what computes: the GPU, or the processor and its threads."""
    return _of_kind(HARDWARE, device, _processor_and_threads)


def peak_memory(device):
    """Most bytes that the process held so far, on a GPU those of tensors."""
    return _of_kind(PEAK_MEMORY, device, _process_memory)


def cost(enhancer, device, seconds=3, repeats=3):
    """Name to text: what enhancing costs, for the facts of a report.

    Measured in a process of its own, which has trained nothing.

    Arguments
    ---------
    enhancer : Enhancer
        In evaluation mode.
    device : str
        Where to measure.
    seconds : float
        Length of the noise that is enhanced, at 16 kHz; three are one piece.
    repeats : int
        The time is their median, after one call to warm up.
    """
    spawn = get_context("spawn")
    args = deepcopy(enhancer).cpu(), device, seconds, repeats
    with ProcessPoolExecutor(1, spawn, keep_freed_memory) as pool:
        return pool.submit(_measured, *args).result()


def _measured(enhancer, device, seconds, repeats):
    enhancer.to(device)
    noisy = torch.rand(1, int(seconds * SAMPLE_RATE), device=device) - 0.5

    def call():
        start = time.perf_counter()
        with torch.inference_mode():
            enhancer(noisy)[0].sum().item()  # Waits for the device.
        return time.perf_counter() - start

    call()
    elapsed = statistics.median(call() for _ in range(repeats))
    memory = peak_memory(device)
    macs = multiplications(call) / seconds
    parameters = sum(p.numel() for p in enhancer.parameters())
    calls = network_calls(enhancer).items()
    return {
        "parameters": f"{parameters:,}",
        "network calls": " + ".join(f"{n} {name}" for name, n in calls),
        "GMAC per second of audio": f"{macs / 1e9:.2f}",
        "real-time factor": f"{elapsed / seconds:.3f} ({seconds} s of audio)",
        "peak memory": f"{memory / MIB:.0f} MiB",
        "hardware": hardware(device),
    }
