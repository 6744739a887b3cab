"""What an enhancer costs: parameters, calls, arithmetic, time and memory.

Authors
 * The galdse developers
"""

import platform
import resource
import statistics
import time
from collections import Counter
from contextlib import contextmanager
from math import prod
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

MIB = 2**20
PER_RUSAGE = {"Darwin": 1}.get(platform.system(), 1024)  # bytes


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


# FlopCounterMode knows no recurrent layer.
RECURRENT = {
    torch.ops.aten.mkldnn_rnn_layer: lstm_flops,
    torch.ops.aten._cudnn_rnn: cudnn_rnn_flops,
}


def multiplications(call):
    """Multiply-accumulate operations of a call without arguments."""
    with FlopCounterMode(display=False, custom_mapping=RECURRENT) as counter:
        call()
    return counter.get_total_flops() / 2


@contextmanager
def counted_calls(model):
    """Counter of the calls of the outermost modules that have parameters."""
    calls, running = Counter(), []

    def enter(module, _):
        if not running:
            calls[names[module]] += 1
        running.append(module)

    def leave(*_):
        running.pop()

    names = {
        module: name
        for name, module in model.named_modules()
        if any(True for _ in module.parameters()) and module is not model
    }
    handles = [m.register_forward_pre_hook(enter) for m in names]
    handles += [m.register_forward_hook(leave, always_call=True) for m in names]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def hardware(device):
    """Name of what computes: the GPU, or the processor and its threads."""
    if torch.device(device).type in {"cuda"}:
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2] for line in lines if "model name" in line]
    model = (models or [platform.processor()])[0].strip()
    return f"{model}, {torch.get_num_threads()} threads"


def peak_memory(device):
    """Most bytes that the process held so far, on a GPU those of tensors."""
    if torch.device(device).type in {"cuda"}:
        return torch.cuda.max_memory_allocated(device)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used * PER_RUSAGE


def cost(enhancer, sample_rate=16000, seconds=4, repeats=3):
    """Name to text: what enhancing costs, for the facts of a report.

    Arguments
    ---------
    enhancer : Enhancer
        In evaluation mode, on the device that is to be measured.
    sample_rate : int
        In Hz.
    seconds : float
        Length of the noise that is enhanced.
    repeats : int
        The time is their median, after one call to warm up.
    """
    device = next(enhancer.parameters()).device
    noisy = torch.rand(1, int(seconds * sample_rate), device=device) - 0.5

    def call():
        start = time.perf_counter()
        with torch.inference_mode():
            enhancer(noisy)[0].sum().item()  # Waits for the device.
        return time.perf_counter() - start

    with counted_calls(enhancer.system) as calls:
        call()
    elapsed = statistics.median(call() for _ in range(repeats))
    memory = peak_memory(device)
    macs = multiplications(call) / seconds
    parameters = sum(p.numel() for p in enhancer.parameters())
    return {
        "parameters": f"{parameters:,}",
        "network calls": " + ".join(f"{n} {name}" for name, n in calls.items()),
        "GMAC per second of audio": f"{macs / 1e9:.2f}",
        "real-time factor": f"{elapsed / seconds:.3f} ({seconds} s of audio)",
        "peak memory": f"{memory / MIB:.0f} MiB",
        "hardware": hardware(device),
    }
