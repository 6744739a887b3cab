"""How weights are averaged over a training.

Authors
 * The galdse developers
"""


def warmed_up_average(averaged, current, num_averaged, decay):
    """Exponential average whose memory grows to ``decay``.

    The weight of the past is ``min(decay, (1 + n) / (10 + n))``. For
    ``torch.optim.swa_utils.AveragedModel``; equal values stay exactly equal.

    Example
    -------
    >>> import torch
    >>> one = torch.ones(())
    >>> warmed_up_average(0 * one, one, torch.tensor(10), decay=0.999)
    tensor(0.4500)
    """
    past = ((1 + num_averaged) / (10 + num_averaged)).clamp(max=decay)
    return averaged + (1 - past) * (current - averaged)
