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
from torch.utils._pytree import tree_flatten, tree_unflatten

from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.nets import blocks
from galdse_brain.samplers import step, unwrapped

FILES = "guidance.onnx", "denoiser.onnx"
EXAMPLE_SIZES = (2, 16), (3, 32)  # Of batch and frames
SPEC = "n_fft", "hop_length", "alpha", "beta", "frame_multiple", "by_peak"
PIECES = "num_samples", "overlap", "context"


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


class Guide(nn.Module):
    """Guidance, and what the denoiser makes of it once for all steps."""

    def __init__(self, system):
        super().__init__()
        self.system = system

    def forward(self, y):
        """y -> mask, first estimate, condition."""
        guidance = self.system.guidance(y)
        cond = self.system.net.condition(y, guidance)
        return guidance.mask, guidance.estimate, cond


class Denoiser(nn.Module):
    """The network, which counts its steps from 0, under times of the path.

    Arguments
    ---------
    system : GALDSE
        Holds the network.
    cond : object
        An example of a condition; those that come are its tensors in a row.
    """

    def __init__(self, system, cond):
        super().__init__()
        self.net = system.net
        self.structure = tree_flatten(cond)[1]

    def forward(self, x_t, t, *cond):
        """State, times (B,), condition, to an estimate."""
        return self.net(x_t, t - 1, tree_unflatten(cond, self.structure))


def write_onnx(folder):
    """Write guidance and denoiser of an exported folder beside its files.

    Complex spectrograms are real and imaginary part, (B, 2, F, T), batch and
    frames as many as one likes, frames a multiple of the transform's.
    ``guidance``: y -> mask, the guidance's estimate, and one or more tensors
    of condition. ``denoiser``: x_t, t, condition -> estimate of x_0.
    The denoiser's metadata hold, as JSON under ``galdse``, what is around the
    networks: the numbers of the transform and of the pieces of long
    recordings, and, for each number of steps, the rows of the sampler, see
    ``steps``.

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
    own_steps = enhancer.num_steps
    if own_steps is None:
        own_steps = getattr(system, "num_steps", None)
    if hasattr(system, "system"):  # A few-step system walks as its own.
        system = system.system
    if not hasattr(system, "guidance") or not hasattr(system, "denoiser"):
        raise ValueError(
            f"{folder}: {type(system).__name__} has no guidance and denoiser"
        )
    guide, sizes = Guide(system), EXAMPLE_SIZES
    ys = [torch.randn(n, 2, spec.n_fft // 2 + 1, frames) for n, frames in sizes]
    with torch.no_grad():
        outs = [guide(y) for y in ys]
    conds = [tree_flatten(cond)[0] for *_, cond in outs]
    names = [f"condition_{i}" for i in range(len(conds[0]))]
    start = system.path.times()[:1]
    states = [(y, start.expand(len(y)), *cond) for y, cond in zip(ys, conds)]
    paths = [Path(folder) / name for name in FILES]
    found = ["mask", "estimate", *names]
    flat = [tree_flatten(out)[0] for out in outs]
    write_network(paths[0], guide, ["y"], [(y,) for y in ys], found, flat)
    net = Denoiser(system, outs[0][2])
    inputs = ["x_t", "t", *names]
    results = [(y,) for y in ys]
    write_network(paths[1], net, inputs, states, ["x_0"], results)
    around = {
        **{name: getattr(spec, name) for name in SPEC},
        **{name: getattr(enhancer.pieces, name) for name in PIECES},
        "sample_rate": model.hparams.sample_rate,
        "start_std": float(system.path.prior(ys[0])[1]),
        "num_steps": _most(system) if own_steps is None else own_steps,
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


def write_network(path, module, inputs, examples, outputs, results):
    """Write a module as an ONNX file.

    Arguments
    ---------
    path : str or pathlib.Path
        The file.
    module : torch.nn.Module
        Its ``forward`` takes the inputs in their order.
    inputs, outputs : list of str
        Names of what goes in and comes out.
    examples, results : list of tuple
        Two of what goes in, and what comes out, of other batches and frames:
        where their shapes differ any size will do.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Of torch's own trees.
        module = deepcopy(module).eval()
    module.to(memory_format=torch.contiguous_format)
    for part in [*module.modules()]:
        if getattr(part, "kernel_size", None) == (1, 1):
            part.dilation = 1, 1  # See ``blocks.conv``: for torch alone.
        for name, child in part.named_children():
            if type(child) in FOR_ONNX:
                setattr(part, name, FOR_ONNX[type(child)]())
    names = [*inputs, *outputs]
    pairs = zip(*([*x, *y] for x, y in zip(examples, results)))
    axes = {name: _axes(name, *pair) for name, pair in zip(names, pairs)}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of shapes that it takes as fixed.
        torch.onnx.export(
            module,
            examples[0],
            path,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,  # The new exporter takes minutes over the LSTMs.
        )


def _axes(name, one, other):
    """Axis to name, of those in which two tensors differ."""
    sizes = zip(one.shape, other.shape)
    return {i: f"{name}_{i}" for i, (a, b) in enumerate(sizes) if a != b}
