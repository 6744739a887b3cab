"""Published GALD-SE checkpoints as our Enhancer.

The published file is a dict with ``state_dict`` (``frontend.*`` and
``dnn.*``), ``ema`` (averaged parameters as a list, in the same order, without
buffers) and ``hyper_parameters``.

Authors
 * The galdse developers
"""

from io import StringIO
from pathlib import Path

import torch
from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml import YAML

from galdse_brain.enhancer import Enhancer

SCALE_AND_SHIFT = ("weight", "bias")
NORM = (
    *SCALE_AND_SHIFT,
    "running_mean",
    "running_var",
    "num_batches_tracked",
)
LSTM = [
    f"{kind}_{way}_l0{suffix}"
    for suffix in ("", "_reverse")
    for kind in ("weight", "bias")
    for way in ("ih", "hh")
]


def _same(ours, theirs, leaves):
    """Pairs of names of one layer, ours and the published."""
    return [(f"{ours}.{leaf}", f"{theirs}.{leaf}") for leaf in leaves]


def _guidance_names():
    for side, published in (
        ("encoder", "encoder_blocks"),
        ("decoder", "complex_spectrum_decoder"),
    ):
        for i in range(3):
            ours, theirs = f"{side}.{i}", f"{published}.layers.{i}"
            yield from _same(f"{ours}.0", f"{theirs}.1", SCALE_AND_SHIFT)
            yield from _same(f"{ours}.1", f"{theirs}.2", NORM)
            yield from _same(f"{ours}.2", f"{theirs}.3", ["weight"])
    for i in range(2):
        for axis, published in (("frequency", "row"), ("time", "col")):
            ours = f"recurrence.{i}.{axis}"
            theirs = f"dprnns.{i}.{published}"
            yield from _same(f"{ours}.rnn", f"{theirs}_rnn.0.rnn", LSTM)
            yield from _same(
                f"{ours}.project", f"{theirs}_rnn.0.proj", SCALE_AND_SHIFT
            )
            yield from _same(
                f"{ours}.norm", f"{theirs}_norm.0", SCALE_AND_SHIFT
            )
    for i in range(3):
        ours, theirs = f"gates.{i}", f"cbams.0.{i}"
        yield from _same(f"{ours}.channel.0", f"{theirs}.ca.fc.0", ["weight"])
        yield from _same(f"{ours}.channel.2", f"{theirs}.ca.fc.2", ["weight"])
        yield from _same(f"{ours}.spatial", f"{theirs}.sa.conv1", ["weight"])


RES_BLOCK = {
    "norm_in": "GroupNorm_0",
    "conv_in": "Conv_0",
    "embed": "Dense_0",
    "norm_out": "GroupNorm_1",
    "conv_out": "Conv_1",
    "skip": "Conv_2",
}
# Where the layers of the denoiser stand in the published numbered list.
RES_BLOCKS = {
    **{f"encoder.{i}": 3 + 3 * i for i in range(4)},
    **{f"downs.{i}": 4 + 3 * i for i in range(3)},
    "bottleneck.0": 13,
    "bottleneck.2": 15,
    **{
        f"decoder.{i}.blocks.{j}": 16 + 5 * i + j
        for i in range(4)
        for j in range(2)
    },
    **{f"ups.{i}": 20 + 5 * i for i in range(3)},
}
LAYERS = {
    "embedding.layers.0": "0",
    "embedding.layers.2": "1",
    "conv_in": "2",
    **{f"combines.{i}": f"{5 + 3 * i}.Conv_0" for i in range(3)},
    "bottleneck.1.norm": "14.GroupNorm_0",
    **{f"decoder.{i}.norm": str(18 + 5 * i) for i in range(4)},
    **{f"decoder.{i}.to_output": str(19 + 5 * i) for i in range(4)},
}
ATTENTION = ("query", "key", "value", "out")


def _net_names():
    yield from _same("conv_out", "output_layer", SCALE_AND_SHIFT)
    for layer, number in LAYERS.items():
        yield from _same(layer, f"all_modules.{number}", SCALE_AND_SHIFT)
    for block, number in RES_BLOCKS.items():
        for layer, published in RES_BLOCK.items():
            theirs = f"all_modules.{number}.{published}"
            yield from _same(f"{block}.{layer}", theirs, SCALE_AND_SHIFT)
    for i, layer in enumerate(ATTENTION):
        theirs = f"all_modules.14.NIN_{i}"
        yield f"bottleneck.1.{layer}.weight", f"{theirs}.W"
        yield f"bottleneck.1.{layer}.bias", f"{theirs}.b"


def _names(system):
    """Published name to ours, for every entry of our ``state_dict``."""
    pairs = [(f"guidance.{a}", f"frontend.{b}") for a, b in _guidance_names()]
    pairs += [(f"net.{a}", f"dnn.{b}") for a, b in _net_names()]
    # Blocks that keep their width have no skip, the last one no PReLU.
    ours = system.state_dict()
    return {theirs: name for name, theirs in pairs if name in ours}


HYPER_PARAMETERS = (
    "kappa",
    "power",
    "min_noise_level",
    "etas_end",
    "num_diffusion_steps",
    "finetuned",
    "spec_abs_exponent",
    "spec_factor",
    "n_fft",
    "hop_length",
)


def _yaml(hyper):
    """HyperPyYAML of the enhancer that ``hyper_parameters`` describe."""
    tree = YAML().load(Path(__file__).parent / "hparams" / "galdse.yaml")
    tree.update(
        kappa=hyper["kappa"],
        power=hyper["power"],
        min_noise_level=hyper["min_noise_level"],
        alpha=hyper["spec_abs_exponent"],
        beta=hyper["spec_factor"],
        mask_exponent=0.5 if hyper["finetuned"] else 1.0,
    )
    tree["path"].update(
        end_level=hyper["etas_end"], num_steps=hyper["num_diffusion_steps"]
    )
    tree["spec"].update(n_fft=hyper["n_fft"], hop_length=hyper["hop_length"])
    stream = StringIO()
    YAML().dump(tree, stream)
    return stream.getvalue()


def _averaged(checkpoint, parameters):
    """``state_dict`` with the averaged values of ``parameters`` put in."""
    shadow = checkpoint["ema"]["shadow_params"]
    names = [name for name in checkpoint["state_dict"] if name in parameters]
    if len(shadow) != len(names):
        raise ValueError(
            f"ema.shadow_params holds {len(shadow)} tensors, but state_dict "
            f"has {len(names)} parameters"
        )
    return {**checkpoint["state_dict"], **dict(zip(names, shadow))}


def published(path, averaged=True):
    """Load a published GALD-SE checkpoint, see ``converted``."""
    enhancer, _ = converted(path, averaged)
    return enhancer


def converted(path, averaged=True):
    """Load a published GALD-SE checkpoint with the YAML that builds it.

    Arguments
    ---------
    path : str or pathlib.Path
        The checkpoint file. Only tensors and plain values are unpickled.
    averaged : bool
        Take the averaged parameters instead of the raw ones. BatchNorm
        statistics are the raw ones in both cases: none were averaged.

    Returns
    -------
    enhancer : Enhancer
        In evaluation mode, with ``system`` and ``spec`` as the file's
        ``hyper_parameters`` say. ValueError if the file does not fit.
    yaml : str
        Its HyperPyYAML.
    """
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    needed = ["state_dict", "hyper_parameters"] + ["ema"] * averaged
    _check_has(f"{path} is no published GALD-SE checkpoint", needed, checkpoint)
    hyper = checkpoint["hyper_parameters"]
    _check_has(f"{path} lacks a hyper_parameter", HYPER_PARAMETERS, hyper)
    yaml = _yaml(hyper)
    parts = load_hyperpyyaml(yaml)
    system = parts["system"]
    names = _names(system)
    state = checkpoint["state_dict"]
    _check_fit(path, names, state)
    if averaged:
        parameters = dict(system.named_parameters())
        state = _averaged(
            checkpoint, {b for b, a in names.items() if a in parameters}
        )
    ours = system.state_dict()
    system.load_state_dict(
        {
            our_name: _shaped(path, name, state[name], ours[our_name])
            for name, our_name in names.items()
        }
    )
    return Enhancer(system, parts["spec"], parts["pieces"]).eval(), yaml


def _check_has(problem, needed, found):
    missing = [key for key in needed if key not in found]
    if missing:
        raise ValueError(
            f"{problem}: it has {sorted(found)}, but no {missing[0]!r}"
        )


def _check_fit(path, names, state):
    missing = [name for name in names if name not in state]
    unexpected = [name for name in state if name not in names]
    if missing or unexpected:
        raise ValueError(
            f"{path} does not fit: {len(missing)} keys missing "
            f"(first: {next(iter(missing), None)}), {len(unexpected)} "
            f"unexpected (first: {next(iter(unexpected), None)})"
        )


def _shaped(path, name, tensor, ours):
    """A tensor of our shape; NIN stores its weight as (in, out)."""
    if name.endswith(".W"):
        tensor = tensor.t()[:, :, None, None]
    if tensor.shape != ours.shape:
        raise ValueError(
            f"{path} does not fit: {name} has shape {tuple(tensor.shape)}, "
            f"expected {tuple(ours.shape)}"
        )
    return tensor
