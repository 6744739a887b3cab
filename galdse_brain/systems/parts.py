"""What systems are made of: whether it goes together, and controls.

Authors
 * The galdse developers
"""

from functools import partial
from inspect import signature

import torch
from torch import nn


def check_parts(system, clean):
    """Walk over a single bin, as if the network gave zeros.

    ``clean`` is (x_t, output, y, t) -> estimate of the clean spectrogram.
    ValueError names system, sampler and path if they cannot go together.
    """
    path = system.path
    sampler = getattr(system.sampler, "func", system.sampler)
    parts = type(system).__name__, sampler.__name__, type(path).__name__
    refusal = "{}, {} and {} cannot go together: ".format(*parts)
    times, y = path.times(), torch.ones(1, 2, 1, 1)
    if times[-1] != 0:
        raise ValueError(
            f"{refusal}the times must fall to 0, got {times.tolist()}"
        )

    def estimate(x_t, t):
        return clean(x_t, torch.zeros_like(x_t), y, t)

    try:
        x_0 = system.sampler(path, estimate, y, randn_like=torch.ones_like)
    except NotImplementedError as error:
        raise ValueError(f"{refusal}{error}") from error
    if not x_0.isfinite().all():
        raise ValueError(f"{refusal}not all values on the way are finite")


def check_condition(owner, net, channels):
    """ValueError if a network does not take the condition that it gets."""
    wanted = getattr(net, "cond_channels", channels)
    if wanted != channels:
        raise ValueError(
            f"{type(owner).__name__} gives {type(net).__name__} {channels} "
            f"channels of condition, but it is made for {wanted}"
        )


def check_takes_condition(owner, system, channels=None):
    """ValueError if a system cannot be given a condition of its owner's.

    With ``channels``, so many of it.
    """
    if "cond" not in signature(system.enhance).parameters:
        raise ValueError(
            f"{type(owner).__name__} gives its system a condition, which "
            f"{type(system).__name__} does not take"
        )
    if channels is not None:
        check_condition(owner, system.net, channels)


def check_guidance(owner, guidance, net):
    """ValueError if a network cannot go on from what a guidance gives."""
    check_condition(owner, net, 3)  # y and 1 - M
    given, wanted = (getattr(x, "num_features", 0) for x in (guidance, net))
    if wanted and given != wanted:
        raise ValueError(
            f"{type(guidance).__name__} gives {type(net).__name__} {given} "
            f"features, but it is made for {wanted}"
        )


def keep_statistics(module):
    """Let batch normalisation stay as it is in use; the module itself.

    With the statistics of a batch its items would depend on each other, and
    every call would move what was trained. All else keeps its mode: cuDNN
    gives no gradient of a recurrence in evaluation mode.
    """
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()
    return module


def part_with(system, name):
    """The outermost part of a system that has an attribute of this name.

    ValueError if there is none.
    """
    for part in system.modules():
        if hasattr(part, name):
            return part
    raise ValueError(f"{type(system).__name__} has no {name}")


def title(system):
    """Name of a system's class, and of those that it is made around.

    Example
    -------
    >>> title(torch.nn.Identity())
    'Identity'
    """
    name = type(system).__name__
    inner = getattr(system, "system", None)
    return name if inner is None else f"{name} of {title(inner)}"


def one_step(system, y, randn_like, num_steps=None):
    """What a system makes of (B, 2, F, T) in one step, a control."""
    return system.enhance(y, randn_like, num_steps=1)


def controls(system):
    """Name to function, as ``system.enhance``, of the controls of a system."""
    found, parts = {}, list(system.modules())
    if any(hasattr(part, "enhance_by_mask") for part in parts):
        found["mask alone"] = partial(mask_alone, system)
    if hasattr(system, "predict"):
        found["predictor"] = system.predict
    if any(hasattr(part, "times") for part in parts):
        found["one step"] = partial(one_step, system)
    return found


def mask_alone(system, y, randn_like=None, num_steps=None):
    """What the guidance in a system gives alone, a control."""
    return part_with(system, "enhance_by_mask").enhance_by_mask(y)
