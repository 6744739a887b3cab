"""Benchmarks: what ours is measured against computes the same."""

import sys

import pytest
import torch
from conftest import ROOT

from galdse_brain.nets.ncsnpp import NCSNpp

sys.path.append(str(ROOT / "benchmarks"))
from naive import NaiveNet  # noqa: E402


@pytest.mark.parametrize("multipliers", [(1, 2, 2, 4), (1, 2)])
def test_the_textbook_form_is_our_network(multipliers):
    net = NCSNpp(channels=16, multipliers=multipliers).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x_t, cond = torch.randn(2, 5, 32, 24).double().split([2, 3], dim=1)
    t = torch.tensor([0, 5])
    with torch.no_grad():
        expected = NaiveNet(net.state_dict())(x_t, t, cond)
        assert expected.std() > 0.1
        torch.testing.assert_close(net(x_t, t, cond), expected)
