"""Costs are those that were counted by hand."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from torch import nn

from galdse_brain.cost import (
    cost,
    cudnn_rnn_flops,
    multiplications,
    network_calls,
    peak_memory,
    recorded_calls,
)
from galdse_brain.enhancer import Enhancer
from galdse_brain.nets.guidance import GuidanceNet
from galdse_brain.nets.ncsnpp import NCSNpp
from galdse_brain.spec import SpecTransform


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_recurrent_layers_are_counted(grad, batch):
    rnn = nn.LSTM(5, 7, num_layers=2, bidirectional=True, batch_first=True)
    x = torch.randn(batch, 11, 5)
    with torch.set_grad_enabled(grad):
        count = multiplications(lambda: rnn(x))
    layers = 4 * 7 * (5 + 7) + 4 * 7 * (2 * 7 + 7)
    assert count == batch * 11 * 2 * layers


def test_recurrent_layers_of_a_gpu_are_counted_from_their_shapes():
    rnn = nn.LSTM(5, 7, num_layers=2, bidirectional=True)
    shapes = [weight.shape for weight in rnn.parameters()]
    count = cudnn_rnn_flops((11, 3, 5), shapes, 4, out_shape=None)
    layers = 4 * 7 * (5 + 7) + 4 * 7 * (2 * 7 + 7)
    assert count == 2 * 33 * 2 * layers


def test_convolutions_and_products_are_counted():
    net = nn.Sequential(nn.Conv1d(2, 3, 5, padding=2), nn.Linear(10, 4))
    x = torch.randn(1, 2, 10)
    assert multiplications(lambda: net(x)) == 10 * 2 * 3 * 5 + 3 * 10 * 4


def test_the_networks_cost_what_the_specification_counts():
    guidance, net = GuidanceNet().eval(), NCSNpp().eval()
    second = torch.randn(1, 2, 256, 125)
    y, cond = torch.randn(1, 2, 256, 256), torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        mask = multiplications(lambda: guidance(second))
        call = multiplications(lambda: net(y, torch.ones(1), cond))
    assert mask / 1e9 == pytest.approx(7.11, rel=0.01)
    assert call / 1e9 * 125 / 256 == pytest.approx(11.6, rel=0.01)


def test_after_an_error_nothing_listens_any_more():
    system = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ZeroDivisionError), recorded_calls(system) as calls:
        system(torch.ones(2))
        raise ZeroDivisionError
    system(torch.ones(2))
    assert [name for name, _ in calls] == [""]
    assert torch.equal(calls[0][1](), system(torch.ones(2)))


class Twice(nn.Module):
    """A system whose network has a network in it."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Sequential())
        self.mask = nn.Conv2d(2, 2, 1)

    def enhance(self, y, randn_like, num_steps):
        """Three calls."""
        return self.net(self.net(self.mask(y)))


def test_calls_are_counted_once_for_the_outermost_module():
    enhancer = Enhancer(Twice(), SpecTransform(alpha=0.5, beta=0.5))
    before = enhancer(torch.ones(1, 600))[0]
    assert network_calls(enhancer) == {"mask": 1, "net": 2}
    assert network_calls(enhancer) == {"mask": 1, "net": 2}
    assert torch.equal(enhancer(torch.ones(1, 600))[0], before)
    for part in enhancer.modules():
        assert not (part._forward_hooks or part._forward_pre_hooks)


def test_the_cost_of_an_enhancer_is_told(small_system):
    enhancer = Enhancer(small_system, SpecTransform(alpha=0.5, beta=0.5))
    told = cost(enhancer, "cpu", seconds=0.5, repeats=1)
    assert told["network calls"] == "1 guidance + 6 net"
    count = sum(p.numel() for p in enhancer.parameters())
    assert told["parameters"] == f"{count:,}"
    assert "thread" in told["hardware"]
    assert float(told["GMAC per second of audio"]) > 0.1
    assert 50 < float(told["peak memory"].split()[0]) < 1e5


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="no other way to know"
)
def test_what_the_parent_has_used_is_no_memory_of_a_new_process():
    held = b"x" * 2**30
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(peak_memory, "cpu").result() < len(held)
    assert peak_memory("cpu") > len(held)
