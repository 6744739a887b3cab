"""The average of the weights."""

from functools import partial

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from galdse_brain.averaging import warmed_up_average


def averaged(model, decay=0.999):
    """The average as the recipes build it."""
    average = partial(warmed_up_average, decay=decay)
    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def test_the_weight_of_the_past_warms_up():
    zero, one = torch.zeros(()), torch.ones(())
    for n, past in ((1, 0.181818), (10, 0.55), (100, 0.918182), (1e6, 0.999)):
        averaged = [one.clone()]
        warmed_up_average(averaged, [zero], torch.tensor(n), decay=0.999)
        torch.testing.assert_close(averaged[0].item(), past, atol=1e-6, rtol=0)


def test_averages_of_equal_weights_are_the_weights():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    ema = averaged(model)
    for _ in range(20):
        ema.update_parameters(model)
    for ours, theirs in zip(
        ema.module.state_dict().values(), model.state_dict().values()
    ):
        assert torch.equal(ours, theirs)


def test_averages_approach_new_weights_and_buffers():
    model = nn.BatchNorm1d(3)
    ema = averaged(model, decay=0.5)
    ema.update_parameters(model)
    model.running_mean.fill_(1.0)
    model.weight.data.fill_(3.0)
    for _ in range(40):
        ema.update_parameters(model)
    torch.testing.assert_close(ema.module.running_mean, torch.ones(3))
    torch.testing.assert_close(ema.module.weight.data, torch.full((3,), 3.0))
