"""The networks of a model as ONNX files, without transform and sampler.

Authors
 * The galdse developers
"""

import json
import warnings
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.nets import blocks
from galdse_brain.samplers import step, unwrapped

FILES = "guidance.onnx", "denoiser.onnx"
DYNAMIC = {0: "batch", 3: "frames"}
EXAMPLE_FRAMES = 16
SPEC = "n_fft", "hop_length", "alpha", "beta", "frame_multiple"


class Upsample(nn.Module):
    """``blocks.Upsample`` as ONNX Runtime is fast at it: one product with the
    weights of the borders instead of four updates in place."""

    def forward(self, x):
        """(B, C, F, T) to (B, C, 2F, 2T)."""
        x = functional.interpolate(x, scale_factor=2, mode="bilinear")
        bins, frames = (_border_weights(size) for size in x.shape[2:])
        return x * (bins[:, None] * frames)


def _border_weights(size):
    i = torch.arange(size)
    return 1 - 0.25 * ((i == 0) | (i == size - 1)).float()


FOR_ONNX = {blocks.Upsample: Upsample}


class Denoiser(nn.Module):
    """The network under its condition, with all its inputs in the open."""

    def __init__(self, system):
        super().__init__()
        self.system = system

    def forward(self, x_t, t, y, mask):
        """State, times (B,), noisy spectrogram, mask, to an estimate."""
        return self.system.denoiser(y, mask)(x_t, t)


def write_onnx(folder):
    """Write guidance and denoiser of an exported folder beside its files.

    Complex spectrograms are real and imaginary part, (B, 2, F, T), batch and
    frames as many as one likes, frames a multiple of the network's stride.
    ``guidance``: y -> mask. ``denoiser``: x_t, t, y, mask -> estimate of x_0.
    The denoiser's metadata hold, as JSON under ``galdse``, what is around the
    networks: the numbers of the transform and, for each number of steps, the
    rows of the sampler, see ``steps``.

    Arguments
    ---------
    folder : str or pathlib.Path
        What ``export_run`` or ``export_published`` has made.

    Returns
    -------
    paths : list of pathlib.Path
        ImportError without the extra ``onnx``, ValueError if the system has
        no guidance.
    """
    import onnx

    model = GALDSEEnhancement.from_hparams(folder, run_opts={"device": "cpu"})
    enhancer = model.mods.enhance_model
    system, spec = enhancer.system, enhancer.spec
    own_steps = enhancer.num_steps or getattr(system, "num_steps", None)
    if hasattr(system, "num_steps"):  # A few-step system walks as its own.
        system = system.system
    if not hasattr(system, "guidance") or not hasattr(system, "denoiser"):
        raise ValueError(
            f"{folder}: {type(system).__name__} has no guidance and denoiser"
        )
    y = torch.randn(2, 2, spec.n_fft // 2 + 1, EXAMPLE_FRAMES)
    t, mask = system.path.times()[:1].expand(2), torch.rand_like(y[:, :1])
    paths = [Path(folder) / name for name in FILES]
    write_network(paths[0], system.guidance, {"y": y}, "mask")
    inputs = {"x_t": y, "t": t, "y": y, "mask": mask}
    write_network(paths[1], Denoiser(system), inputs, "x_0")
    around = {
        **{name: getattr(spec, name) for name in SPEC},
        "sample_rate": model.hparams.sample_rate,
        "start_std": float(system.path.prior(y)[1]),
        "num_steps": own_steps or _most(system),
        "steps": {n: steps(system, n) for n in range(1, _most(system) + 1)},
    }
    denoiser = onnx.load(paths[1])
    onnx.helper.set_model_props(denoiser, {"galdse": json.dumps(around)})
    onnx.save(denoiser, paths[1])
    return paths


def _most(system):
    return len(system.path.times()) - 1


def steps(system, num_steps):
    """The sampler as numbers, one row a step.

    Arguments
    ---------
    system : GALDSE
        With a path, and a sampler made of a rule ``keep``.
    num_steps : int
        Calls of the denoiser.

    Returns
    -------
    rows : list of list of float
        Time t, then the weights of x_t, of the estimate, of y and of the
        noise in the next state. The last row returns the estimate.
    """
    x_t, x_hat, y, noise = torch.eye(4).view(4, 4, 1, 1, 1)
    keep = unwrapped(system.sampler).keywords["keep"]
    rows = []
    for t, u in pairwise(system.path.times(num_steps)):
        pair = t.expand(4), u.expand(4)
        weights = step(system.path, x_t, x_hat, y, *pair, keep, noise)
        rows.append([t.item(), *weights.flatten().tolist()])
    return rows


def write_network(path, module, inputs, output):
    """Write a module as an ONNX file.

    Arguments
    ---------
    path : str or pathlib.Path
        The file.
    module : torch.nn.Module
        Its ``forward`` takes the inputs in their order.
    inputs : dict
        Name -> example, (B, C, F, T) or (B,). B and T may be others later.
    output : str
        Name of what it returns, (B, C, F, T).
    """
    module = deepcopy(module).eval()
    for part in [*module.modules()]:
        if getattr(part, "kernel_size", None) == (1, 1):
            part.dilation = 1, 1  # See ``blocks.conv``: for torch alone.
        for name, child in part.named_children():
            if type(child) in FOR_ONNX:
                setattr(part, name, FOR_ONNX[type(child)]())
    axes = {
        name: DYNAMIC if x.ndim > 1 else {0: "batch"}
        for name, x in inputs.items()
    }
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of shapes that it takes as fixed.
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            path,
            input_names=[*inputs],
            output_names=[output],
            dynamic_axes={**axes, output: DYNAMIC},
            opset_version=17,
            dynamo=False,  # The new exporter takes minutes over the LSTMs.
        )
