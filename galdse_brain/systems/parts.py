"""Parts that cannot go together are found when a system is built.

Authors
 * The galdse developers
"""

import torch


def check_parts(system):
    """Walk over a single bin, as if the network gave zeros.

    Arguments
    ---------
    system : torch.nn.Module
        With a path, a sampler and ``clean``. ValueError names all three if
        the path does not end at 0, has not what the sampler needs, or leads
        to infinite values.
    """
    path, sampler = system.path, system.sampler
    names = (
        f"{type(system).__name__}, "
        f"{getattr(sampler, 'func', sampler).__name__} and "
        f"{type(path).__name__} cannot go together"
    )
    times = path.times()
    if times[-1] != 0:
        raise ValueError(
            f"{names}: the times must fall to 0, got {times.tolist()}"
        )
    y = torch.ones(1, 2, 1, 1)

    def estimate(x_t, t):
        return system.clean(x_t, torch.zeros_like(x_t), y, t)

    try:
        x_0 = sampler(path, estimate, y, randn_like=torch.ones_like)
    except NotImplementedError as error:
        raise ValueError(f"{names}: {error}") from error
    if not x_0.isfinite().all():
        raise ValueError(f"{names}: not all values on the way are finite")
