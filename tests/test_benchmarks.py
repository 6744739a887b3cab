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
from enhance import Setting, prepared  # noqa: E402
from light import SLOW  # noqa: E402
from light import main as measure_light  # noqa: E402
from naive import NaiveNet  # noqa: E402
from pieces import compared, cuts  # noqa: E402
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


def test_the_light_model_is_measured_in_every_form(exported, capfd):
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is missing")
    pytest.importorskip("onnx", reason="the extra [onnx] is missing")
    models = ["--model", str(exported), "--against", str(exported)]
    short = ["--seconds", "0.5", "--repeats", "1", "--pieces", "4096"]
    measure_light([*models, *short])
    lines = capfd.readouterr().out.splitlines()[4:]
    cells = [line.strip("| ").split(" | ") for line in lines]
    assert len(cells) == 5 and cells[-1][0] == SLOW
    assert float(cells[-1][2]) == 1
    assert all(float(factor) > 0 for _, factor, *_ in cells)
    in_all = [float(row[-1]) for row in cells]
    assert max(in_all[2:4]) < min(in_all[:2])  # Without torch.


def test_pieces_are_compared_with_one_pass(tiny):
    noisy, clean = 0.1 * torch.randn(2, 24000)
    pieces = cuts(tiny.mods.enhance_model, 24000, [8192], [0, 4096, 8192])
    assert len(pieces) == 4  # Twice half a piece of context.
    one, _, bare, around = compared(tiny, pieces, noisy, clean)
    assert one[2:5] == ("1.00", "inf", "inf")
    assert float(bare[2]) < float(around[2]) < 2
    assert float(bare[4]) > 0


@pytest.mark.parametrize("naive", [False, True])
def test_whole_enhancers_are_measured_against_the_textbook_form(naive):
    args = SimpleNamespace(model=None, batch=1, device="cpu", compile=False)
    prepared(naive, Setting(1, 1, "fp32", 1), args)()
