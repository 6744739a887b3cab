"""Learning rates over a training, as shares of the highest.

Each is a function of the number of steps done and of the share of the budget
that is spent (0 to 1): nothing has to be remembered to go on.

Authors
 * The galdse developers
"""

import math


def constant(step, share):
    """No warm-up, no decay."""
    return 1.0


def linear(step, share, warmup_steps):
    """Rises over ``warmup_steps``, falls in a line to 0.

    Example
    -------
    >>> [linear(step, step / 8, 2) for step in (0, 1, 4, 8)]
    [0.5, 0.875, 0.5, 0.0]
    """
    return rise(step, warmup_steps) * (1 - share)


def cosine(step, share, warmup_steps):
    """Rises over ``warmup_steps``, falls as half a cosine to 0.

    Example
    -------
    >>> [round(cosine(step, step / 8, 2), 3) for step in (0, 2, 4, 8)]
    [0.5, 0.854, 0.5, 0.0]
    """
    return rise(step, warmup_steps) * (1 + math.cos(math.pi * share)) / 2


def rise(step, num_steps):
    """From 1 / num_steps at step 0 to 1, and 1 from there on.

    Example
    -------
    >>> [rise(step, 4) for step in (0, 2, 3, 9)]
    [0.25, 0.75, 1.0, 1.0]
    """
    return min(1.0, (step + 1) / num_steps)
