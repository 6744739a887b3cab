"""What the arguments of the commands share.

Authors
 * The galdse developers
"""

import argparse
import math

import torch

from galdse_brain.effort import AUTO_STEPS, fixed_steps
from galdse_brain.released import DEFAULT, NAMES


def new_command(commands, name, run):
    """A parser that is described by the function it leads to."""
    command = commands.add_parser(
        name, help=run.__doc__.splitlines()[0], description=run.__doc__
    )
    command.set_defaults(command=run, misuse=command.error)
    return command


def add_model(add, name, **options):
    """Add the argument that says which model is meant."""
    add(
        name,
        default=DEFAULT,
        help=f"{' or '.join(NAMES)} of the package, an exported folder, or a "
        "name on the hub; default: %(default)s",
        **options,
    )


def number(kind, low, high=math.inf):
    """For argparse: a number from ``low`` to ``high``."""

    def number(text):
        value = kind(text)
        if not low <= value <= high:
            limits = (
                f"at least {low}" if high == math.inf else f"{low} to {high}"
            )
            raise argparse.ArgumentTypeError(f"{text} is not {limits}")
        return value

    return number


def steps(text):
    """For argparse: what tells the number of steps from a model."""
    return AUTO_STEPS.get(text) or fixed_steps(number(int, 0)(text))


def device(name):
    """For argparse: a name that torch knows, here or on another machine."""
    try:
        torch.device(name)
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{name}: {error}") from error
    return name
