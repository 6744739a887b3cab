"""Benchmarks: what ours is measured against computes the same."""

import runpy
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT
from recipe_runs import RECIPE

from galdse_brain.nets.ncsnpp import NCSNpp
from galdse_brain.samplers import euler_maruyama
from galdse_brain.systems.few_steps import FewSteps

sys.path.append(str(ROOT / "benchmarks"))
from naive import NaiveNet  # noqa: E402
from steps import Row, chosen, measured, walker  # noqa: E402

# Not imported: the recipe has a module of this name, too.
built = runpy.run_path(str(ROOT / "benchmarks" / "train.py"))["built"]


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


@pytest.mark.parametrize("recipe", sorted(RECIPE.glob("hparams/*.yaml")))
def test_training_is_measured_for_every_recipe(recipe):
    hparams = built(recipe, "{batch_size: 3}")
    assert hparams["batch_size"] == 3
    assert hparams["loss_weights"] and hparams["modules"]["system"]


def test_auto_takes_the_fewest_steps_that_keep_the_score():
    rows = [
        Row("markov", precision, steps, pesq + moved, 0.0, 0.0)
        for precision, moved in (("fp32", 0.0), ("bf16", 0.008))
        for steps, pesq in ((1, 2.0), (2, 2.96), (3, 2.98), (6, 3.0))
    ]
    others = [row._replace(rule="other", pesq=9.0) for row in rows]
    lines = chosen(rows + others, "markov").splitlines()
    assert lines[0] == "auto_steps: 3"
    assert lines[1].startswith("bf16_keeps_scores: True")
    worse = [*rows[:4], rows[4]._replace(pesq=2.02), *rows[5:]]
    assert "bf16_keeps_scores: False" in chosen(worse, "markov")


def test_what_is_measured_is_what_the_options_make(tiny):
    for parameter in tiny.mods.enhance_model.system.net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    clean = torch.sin(torch.arange(16000) / 20)
    pairs = [(clean + 0.1 * torch.randn(16000), clean)]
    rows = [
        measured(tiny, pairs, rule, precision, steps)
        for rule in ("markov", "deterministic")
        for precision in ("fp32", "bf16")
        for steps in (1, 2)
    ]
    assert len({row.si_sdr for row in rows if row.steps == 2}) == 4
    full = [row.si_sdr for row in rows if row[1:3] == ("fp32", 1)]
    assert full[0] == full[1]  # The last step is the estimate by any rule.


def test_the_rule_is_found_in_any_system_that_walks(tiny):
    system = tiny.mods.enhance_model.system
    assert walker(tiny) == (system, "markov")
    few, model = FewSteps(system, 2), SimpleNamespace()
    model.mods = SimpleNamespace(enhance_model=SimpleNamespace(system=few))
    assert walker(model) == (system, "markov")
    system.sampler = euler_maruyama
    with pytest.raises(
        ValueError, match="predictor_corrector.* does not walk by"
    ):
        walker(model)
