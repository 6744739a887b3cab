"""How weights are averaged over a training.

Authors
 * The galdse developers
"""

import torch


def warmed_up_average(averaged, current, num_averaged, decay):
    """Exponential average, in place, whose memory grows to ``decay``.

    The weight of the past is ``min(decay, (1 + n) / (10 + n))``. The
    ``multi_avg_fn`` of ``torch.optim.swa_utils.AveragedModel``; equal values
    stay exactly equal, and whole numbers, such as a count of batches, are
    those of the current model.

    Example
    -------
    >>> averaged, current = [torch.zeros(())], [torch.ones(())]
    >>> warmed_up_average(averaged, current, torch.tensor(10), decay=0.999)
    >>> averaged
    [tensor(0.4500)]
    """
    if not averaged[0].is_floating_point():
        torch._foreach_copy_(averaged, current)
        return
    past = ((1 + num_averaged) / (10 + num_averaged)).clamp(max=decay)
    steps = torch._foreach_sub(current, averaged)
    torch._foreach_mul_(steps, 1 - past)
    torch._foreach_add_(averaged, steps)
