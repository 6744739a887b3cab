"""Experiment files: what they include, and that no key is dead."""

import ast
import re

import pytest
from conftest import ROOT
from hyperpyyaml import load_hyperpyyaml, resolve_references
from speechbrain.utils.run_opts import RunOptions

from galdse_brain.recipe import read_recipe, save_resolved

RECIPE = ROOT / "recipes" / "VoicebankDEMAND" / "galdse"
YAMLS = sorted(RECIPE.glob("hparams/*.yaml"))
CODE = [RECIPE / "train.py", *sorted(ROOT.glob("galdse_brain/**/*.py"))]


def used_in_code():
    """Keys read as ``hparams["key"]`` or ``hparams.key``."""
    keys = set()
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Subscript):
                owner, key = node.value, getattr(node.slice, "value", None)
            elif isinstance(node, ast.Attribute):
                owner, key = node.value, node.attr
            else:
                continue
            name = getattr(owner, "id", getattr(owner, "attr", None))
            if name == "hparams" and isinstance(key, str):
                keys.add(key)
    return keys - {"items"}


@pytest.mark.parametrize("yaml", YAMLS, ids=lambda path: path.stem)
def test_every_key_is_used_and_every_used_key_is_there(yaml):
    text = read_recipe(yaml).getvalue()
    keys = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    referenced = set(re.findall(r"<(\w+)", text))
    run_options = set(RunOptions().as_dict())
    dead = keys - referenced - used_in_code() - run_options
    assert not {key for key in dead if not key.startswith("__")} - {
        "start_from",  # referred to by galdse_finetune.yaml alone
        "mixing",  # and by galdse_mixed.yaml
    }
    assert used_in_code() <= keys


@pytest.mark.parametrize("yaml", YAMLS, ids=lambda path: path.stem)
def test_no_key_is_the_beginning_of_a_run_option(yaml):
    text = read_recipe(yaml).getvalue()
    options = set(RunOptions().as_dict())
    for key in re.findall(r"^(\w+):", text, re.MULTILINE):
        clash = {option for option in options if option.startswith(key)}
        assert clash <= {key}


def load(name):
    """A recipe with small networks."""
    return load_hyperpyyaml(
        read_recipe(
            RECIPE / "hparams" / name,
            "{data_folder: x, enhancer: {channels: 8, hidden_size: 4}}",
        )
    )


def test_published_settings_are_the_default(path):
    hparams = load("galdse.yaml")
    system, spec = hparams["modules"]["system"], hparams["modules"]["spec"]
    assert system.path.stds.tolist() == path.stds.tolist()
    assert (spec.alpha, spec.beta) == (0.5, 0.5)
    assert hparams["segment_samples"] == 32640
    assert hparams["loss_weights"] == {
        "spec_mse": 1.0,
        "guidance": 1.0,
        "wave_l1": 0.5 * 5e-4,
        "neg_si_snr": 3e-5,
        "pesq": 1e-3,
    }


def test_plain_training_has_two_losses():
    hparams = load("galdse_plain.yaml")
    assert list(hparams["objective"].on_waveform) == []
    assert set(hparams["loss_weights"]) == {"spec_mse", "guidance"}


def test_parts_are_built_once():
    hparams = load("galdse_mini.yaml")
    system = hparams["modules"]["system"]
    assert system is hparams["enhancer"]["system"]
    assert system is hparams["checkpointer"].recoverables["system"]
    assert hparams["ema"].module is not system
    assert hparams["modules"]["spec"] is hparams["objective"].spec


def test_the_enhancer_in_full_has_the_published_size():
    with open(ROOT / "hparams" / "galdse.yaml", encoding="utf-8") as file:
        system = load_hyperpyyaml(file)["system"]
    assert sum(p.numel() for p in system.parameters()) == 4517134


def test_an_including_file_replaces_values_and_keeps_the_rest(tmp_path):
    (tmp_path / "base.yaml").write_text("a: 1\nb: {c: 2, d: 3}\ne: !ref <a>\n")
    (tmp_path / "middle.yaml").write_text("include: base.yaml\nb: {c: 5}\n")
    (tmp_path / "top.yaml").write_text("include: middle.yaml\na: 7\n")
    hparams = load_hyperpyyaml(read_recipe(tmp_path / "top.yaml"))
    assert hparams == {"a": 7, "b": {"c": 5}, "e": 7}


def test_an_including_file_may_not_invent_keys(tmp_path):
    (tmp_path / "base.yaml").write_text("lr: 1\n")
    (tmp_path / "top.yaml").write_text("include: base.yaml\nlearn: 2\n")
    with pytest.raises(KeyError, match="top.yaml sets 'learn'.*base.yaml"):
        read_recipe(tmp_path / "top.yaml")


def test_an_included_part_may_not_be_given_unknown_keys(tmp_path):
    (tmp_path / "part.yaml").write_text("kappa: 1\n")
    text = "enhancer: !include:part.yaml\n  kapa: 2\n"
    (tmp_path / "top.yaml").write_text(text)
    with pytest.raises(KeyError, match="enhancer sets 'kapa'.*part.yaml"):
        read_recipe(tmp_path / "top.yaml")


def test_nor_may_a_part_within_a_part(tmp_path):
    (tmp_path / "inner.yaml").write_text("steps: 1\n")
    middle = "inner: !include:inner.yaml\n  steps: 2\n"
    (tmp_path / "middle.yaml").write_text(middle)
    text = "enhancer: !include:middle.yaml\n  inner: {stepz: 3}\n"
    (tmp_path / "top.yaml").write_text(text)
    with pytest.raises(KeyError, match="inner sets 'stepz'.*inner.yaml"):
        read_recipe(tmp_path / "top.yaml")
    (tmp_path / "top.yaml").write_text(text.replace("stepz", "steps"))
    hparams = load_hyperpyyaml(read_recipe(tmp_path / "top.yaml"))
    assert hparams == {"enhancer": {"inner": {"steps": 3}}}


def test_saved_yaml_stands_alone_and_builds_the_same(tmp_path):
    yaml = RECIPE / "hparams" / "galdse_plain.yaml"
    overrides = "{data_folder: nowhere, lr: 0.5}"
    save_resolved(yaml, overrides, tmp_path)
    saved = (tmp_path / "hyperparams.yaml").read_text()
    assert "!include" not in saved and "!ref" not in saved
    assert resolve_references(saved).getvalue() == saved
    assert "lr: 0.5" in saved


def test_a_run_does_not_go_on_with_an_enhancer_of_other_parts(tmp_path):
    def save(name, more=""):
        yaml = RECIPE / "hparams" / f"{name}.yaml"
        save_resolved(yaml, f"{{data_folder: nowhere{more}}}", tmp_path)

    save("sgmse")
    save("sgmse", ", lr: 0.5")
    with pytest.raises(ValueError, match="with .*OUVE, but .*bbed.yaml.*BBED"):
        save("bbed")
    assert "lr: 0.5" in (tmp_path / "hyperparams.yaml").read_text()


def test_a_missing_data_folder_is_asked_for():
    with pytest.raises(ValueError, match="'data_folder' is a !PLACEHOLDER"):
        load_hyperpyyaml(read_recipe(RECIPE / "hparams" / "galdse.yaml"))
