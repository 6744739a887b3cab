"""Precision and steps: what a model says of itself is what auto takes."""

import shutil

import pytest
import torch

from galdse_brain import effort
from galdse_brain.cli import main, parser
from galdse_brain.enhancing import loader
from galdse_brain.inference import GALDSEEnhancement


@pytest.fixture
def saying(exported, tmp_path):
    """Makes a copy of the tiny model whose YAML says one thing more."""

    def make(line):
        folder = shutil.copytree(exported, tmp_path / "model")
        with open(folder / "hyperparams.yaml", "a") as file:
            file.write(f"{line}\n")
        return folder

    return make


def asked(folder, *words):
    """The model and the number of steps of a command."""
    words = ["enhance", "a", "-o", "b", f"--model={folder}", *words]
    model = loader(parser().parse_args(words))()
    return model, model.mods.enhance_model.num_steps


@pytest.mark.parametrize(
    "line, has_bf16, expected",
    [
        ("bf16_keeps_scores: True", True, "bf16"),
        ("bf16_keeps_scores: True", False, "fp32"),
        ("bf16_keeps_scores: False", True, "fp32"),
        ("", True, "fp32"),
    ],
)
def test_half_precision_needs_a_processor_and_a_measurement(
    saying, monkeypatch, line, has_bf16, expected
):
    monkeypatch.setitem(effort.HAS_BF16, "cpu", lambda: has_bf16)
    folder = saying(line)
    model, _ = asked(folder, "--precision=auto")
    assert model.precision == expected
    noisy = 0.1 * torch.randn(1, 900)
    same = GALDSEEnhancement.from_hparams(
        folder, run_opts={"device": "cpu", "precision": expected}
    )
    assert torch.equal(model.enhance_batch(noisy), same.enhance_batch(noisy))


def test_fewest_steps_are_those_of_the_model(saying):
    folder = saying("auto_steps: 2")
    assert asked(folder, "--steps=auto")[1] == 2
    assert asked(folder, "--steps=5")[1] == 5
    assert asked(folder)[1] is None


def test_a_model_that_does_not_say_is_an_error(exported, tmp_path, capsys):
    noisy = str(exported / "example.wav")
    with pytest.raises(SystemExit) as ended:
        main(
            ["enhance", noisy, f"-o{tmp_path}", "--steps=auto"]
            + [f"--model={exported}"]
        )
    assert ended.value.code == 1
    assert "hyperparams.yaml has no auto_steps" in capsys.readouterr().err
