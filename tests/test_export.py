"""Exported folders: complete, portable, honest about what does not fit."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import huggingface_hub
import pytest
import soundfile
import torch
from conftest import CPU, ROOT
from speechbrain.inference.enhancement import WaveformEnhancement
from weights import official_checkpoint

from galdse_brain.card import card
from galdse_brain.cli import main
from galdse_brain.convert import published
from galdse_brain.export import FILES, export_published, publish, write_folder
from galdse_brain.inference import GALDSEEnhancement

CLASSES = [GALDSEEnhancement, WaveformEnhancement]


def load(folder, cls=GALDSEEnhancement, **how):
    """A model on the CPU."""
    return cls.from_hparams(str(folder), run_opts=CPU, **how)


@pytest.fixture
def copied(exported, tmp_path):
    """A copy that may be spoilt."""
    return Path(shutil.copytree(exported, tmp_path / "copied"))


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """``galdse convert`` of a published file, its folder."""
    place = tmp_path_factory.mktemp("converted")
    torch.save(official_checkpoint(), place / "epoch=700.ckpt")
    soundfile.write(place / "noisy.wav", 0.1 * torch.randn(500).numpy(), 16000)
    words = ["convert", place / "epoch=700.ckpt", place / "out"]
    with pytest.raises(SystemExit) as end:
        main([*map(str, words), "--example", str(place / "noisy.wav")])
    assert not end.value.code
    return place / "out"


def test_a_folder_has_its_files_and_no_others(exported, converted):
    for folder in (exported, converted):
        assert sorted(os.listdir(folder)) == sorted(FILES)
        assert not list(folder.parent.glob(".*"))


def test_no_path_of_this_machine_and_no_name_of_the_hub(exported, converted):
    for folder in (exported, converted):
        for name in ("hyperparams.yaml", "config.json", "README.md"):
            text = (folder / name).read_text(encoding="utf-8")
            for place in (folder.parent, Path.home(), ROOT, Path("/tmp")):
                assert str(place) not in text
            assert not re.search(r"""(^|[\s"'`(])/\w+/\w""", text)
        yaml = (folder / "hyperparams.yaml").read_text()
        assert "pretrained_path" not in yaml and "paths:" not in yaml


def test_weights_are_plain_single_precision_on_the_cpu(exported):
    state = torch.load(exported / "enhance_model.ckpt", weights_only=True)
    floating = [t for t in state.values() if t.is_floating_point()]
    assert {t.dtype for t in floating} == {torch.float32}
    assert {t.device.type for t in state.values()} == {"cpu"}
    assert not any(t.requires_grad for t in state.values())


def test_the_configuration_counts_parameters_and_calls(exported, tiny):
    about = json.loads((exported / "config.json").read_text())
    enhancer = tiny.mods.enhance_model
    assert about["parameters"] == sum(p.numel() for p in enhancer.parameters())
    assert about["network_calls"] == {"guidance": 1, "net": 6}
    assert about["system"] == "GALDSE"


def test_a_converted_checkpoint_is_the_published_model(converted):
    ours = load(converted).mods.enhance_model
    theirs = published(converted.parent / "epoch=700.ckpt")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for one, other in zip(
        ours.state_dict().values(), theirs.state_dict().values()
    ):
        assert torch.equal(one, other)
    noisy = 0.1 * torch.randn(1, 500)
    with torch.no_grad():
        assert torch.equal(ours(noisy)[0], theirs(noisy)[0])
    about = json.loads((converted / "config.json").read_text())
    assert about["converted_from"] == "epoch=700.ckpt"
    assert about["parameters"] == 4_517_134


def test_raw_weights_are_another_model(converted, tmp_path):
    example = converted / "example.wav"
    checkpoint = converted.parent / "epoch=700.ckpt"
    out = export_published(checkpoint, tmp_path / "raw", example, False)
    raw, averaged = (load(f).mods.enhance_model for f in (out, converted))
    expected = published(checkpoint, averaged=False).state_dict()
    assert all(
        torch.equal(tensor, expected[name])
        for name, tensor in raw.state_dict().items()
    )
    assert not torch.equal(
        raw.system.net.conv_out.weight, averaged.system.net.conv_out.weight
    )


def blocks(kind):
    """Code of a kind in a model card."""
    return rf"```{kind}\n(.*?)```"


def test_the_card_does_what_it_says(copied, monkeypatch):
    monkeypatch.chdir(copied)
    text = (copied / "README.md").read_text(encoding="utf-8")
    ours, stock = re.findall(blocks("python"), text, re.DOTALL)
    (bash,) = re.findall(blocks("bash"), text, re.DOTALL)
    command, *words = bash.split()
    assert command == "galdse"
    with pytest.raises(SystemExit) as end:
        main(words)
    assert not end.value.code
    by_command = Path("enhanced.wav").read_bytes()
    Path("enhanced.wav").unlink()
    exec(ours, {})
    assert Path("enhanced.wav").read_bytes() == by_command
    exec(stock, {})
    enhanced, _ = soundfile.read("enhanced.wav")
    by_stock, _ = soundfile.read("enhanced_16k.wav")
    assert abs(enhanced - by_stock).max() <= 2.0**-15


def test_the_card_of_a_tested_model_shows_its_scores():
    cell = {"mean": 2.5, "std": 0.25, "failures": 0}
    text = card(
        {
            "system": "GALDSE",
            "parameters": 1234567,
            "network_calls": {"net": 6},
            "galdse_version": "0",
            "training_data": "8 pairs of `corpus`",
            "test_pairs": 3,
            "epoch": 2,
            "selection_metric": "pesq",
            "loss_weights": {"pesq": 0.1, "spec_mse": 1.0},
            "losses": ["pesq", "spec_mse"],
            "scores": {
                "noisy": {"pesq": cell},
                "enhanced": {"pesq": {**cell, "failures": 1}},
            },
        }
    )
    assert "metrics:\n- pesq\n---" in text
    assert "1,234,567 parameters" in text and "6 × `net`" in text
    row = "| PESQ-WB † | 2.500 ± 0.250 | 2.500 ± 0.250 (1 failed) |"
    assert row in text and "† part of the training loss" in text


OFFLINE = """
import torch
from galdse_brain.inference import GALDSEEnhancement
from speechbrain.inference.enhancement import WaveformEnhancement

noisy = torch.load("noisy.pt", weights_only=True)
for cls in GALDSEEnhancement, WaveformEnhancement:
    model = cls.from_hparams("else where/mövéd", run_opts={"device": "cpu"})
    torch.save(model.enhance_batch(noisy), f"{cls.__name__}.pt")
"""


def test_a_moved_folder_loads_offline_from_anywhere(copied, tiny, tmp_path):
    (tmp_path / "else where").mkdir()
    copied.rename(tmp_path / "else where" / "mövéd")
    noisy = 0.1 * torch.randn(2, 700)
    torch.save(noisy, tmp_path / "noisy.pt")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "no cache"),
    }
    subprocess.run(
        [sys.executable, "-c", OFFLINE],
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    for cls in CLASSES:
        found = torch.load(tmp_path / f"{cls.__name__}.pt", weights_only=True)
        assert torch.equal(found, tiny.enhance_batch(noisy))


@pytest.mark.parametrize("how", [{}, {"savedir": "saved"}])
def test_two_models_one_after_the_other_are_two_models(
    exported, copied, tmp_path, monkeypatch, how
):
    monkeypatch.chdir(tmp_path)
    state = torch.load(copied / "enhance_model.ckpt", weights_only=True)
    name = "system.net.conv_out.weight"
    torch.save({**state, name: state[name] + 1}, copied / "enhance_model.ckpt")
    first, second = (load(folder, **how) for folder in (exported, copied))
    again = load(exported, **how)
    found = [
        model.mods.enhance_model.state_dict()[name]
        for model in (first, second, again)
    ]
    assert torch.equal(found[1], found[0] + 1)
    assert torch.equal(found[2], found[0])
    assert sorted(os.listdir(exported)) == sorted(FILES)


def test_two_models_of_the_hub_share_no_folder(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "speechbrain.inference.interfaces.fetch",
        lambda **how: seen.append((how["source"], how["savedir"])) or 1 / 0,
    )
    for name in ("user/one", "user/two"):
        with pytest.raises(ZeroDivisionError):
            load(name, savedir=tmp_path)
    (one, first), (two, second) = seen
    assert (one, two) == ("user/one", "user/two")
    assert first != second and first.parent == second.parent == tmp_path


@pytest.mark.parametrize("cls", CLASSES)
def test_weights_that_do_not_fit_name_the_first_keys(copied, cls):
    state = torch.load(copied / "enhance_model.ckpt", weights_only=True)
    state["system.stranger"] = state.pop("system.net.conv_out.bias")
    torch.save(state, copied / "enhance_model.ckpt")
    with pytest.raises(ValueError, match="1 keys missing") as error:
        load(copied, cls)
    assert "first: system.net.conv_out.bias" in str(error.value)
    assert "first: system.stranger" in str(error.value)


@pytest.mark.parametrize("cls", CLASSES)
def test_weights_of_another_shape_are_refused(copied, cls):
    state = torch.load(copied / "enhance_model.ckpt", weights_only=True)
    name = "system.net.conv_out.bias"
    state[name] = torch.zeros(77)
    torch.save(state, copied / "enhance_model.ckpt")
    with pytest.raises(RuntimeError, match=f"{name}.*77"):
        load(copied, cls)


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.mark.parametrize("cls", CLASSES)
def test_code_among_the_weights_is_never_run(copied, capsys, cls):
    torch.save({"trap": Trap()}, copied / "enhance_model.ckpt")
    with pytest.raises(Exception, match="[Ww]eights.only"):
        load(copied, cls)
    assert "unpickled" not in capsys.readouterr().out


def rewrite(exported, out, **how):
    """Write the tiny model again."""
    yaml = "system: !new:torch.nn.Identity\nspec: null\nsample_rate: 16000\n"
    enhancer = load(exported).mods.enhance_model
    about = {"converted_from": "nothing"}
    return write_folder(
        out, yaml, enhancer, about, exported / "example.wav", **how
    )


def test_a_model_is_replaced_only_if_asked(exported, copied):
    before = (copied / "config.json").read_bytes()
    with pytest.raises(FileExistsError, match="copied is there already"):
        rewrite(exported, copied)
    assert (copied / "config.json").read_bytes() == before
    (copied / "notes.txt").write_text("precious")
    rewrite(exported, copied, overwrite=True)
    assert (copied / "config.json").read_bytes() != before
    assert (copied / "notes.txt").read_text() == "precious"
    assert sorted(os.listdir(copied)) == sorted([*FILES, "notes.txt"])


@pytest.mark.parametrize("out", [".", "run", "run/../run"])
def test_what_is_no_model_is_never_replaced(
    exported, tmp_path, monkeypatch, out
):
    monkeypatch.chdir(tmp_path)
    for name in (
        "run/hyperparams.yaml",
        "run/save/weights",
        "hyperparams.yaml",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("precious")
    with pytest.raises(FileExistsError, match="is no exported model"):
        rewrite(exported, out, overwrite=True)
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(found) == 3
    assert {path.read_text() for path in found} == {"precious"}


def test_a_failed_export_leaves_nothing(exported, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        rewrite(exported, tmp_path / "new" / "out")
    assert [*(tmp_path / "new").iterdir()] == []


def test_an_example_that_is_no_audio_leaves_nothing(tmp_path, capsys):
    torch.save(official_checkpoint(), tmp_path / "a.ckpt")
    words = ["convert", tmp_path / "a.ckpt", tmp_path / "out", "--example"]
    (tmp_path / "text.wav").write_text("It is a text.")
    for name in ("nothing.wav", "text.wav"):
        with pytest.raises(SystemExit) as end:
            main([*map(str, words), str(tmp_path / name)])
        assert end.value.code == 1
        assert name in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["a.ckpt", "text.wav"]


@pytest.fixture
def hub(monkeypatch):
    """The two calls of the hub's client, recorded in order."""
    client = mock.Mock()
    client.upload_folder.return_value = "https://hub/user/model/commit/1"
    monkeypatch.setattr(huggingface_hub, "create_repo", client.create_repo)
    monkeypatch.setattr(huggingface_hub, "upload_folder", client.upload_folder)
    return client


def test_publishing_uploads_the_model_and_nothing_else(copied, hub, capsys):
    (copied / "enhanced.wav").write_text("made by trying the card")
    with pytest.raises(SystemExit) as end:
        main(["publish", str(copied), "--repo-id", "user/model", "--private"])
    assert not end.value.code
    assert capsys.readouterr().out == "https://hub/user/model/commit/1\n"
    assert hub.mock_calls == [
        mock.call.create_repo("user/model", private=True, exist_ok=True),
        mock.call.upload_folder(
            repo_id="user/model",
            folder_path=str(copied),
            allow_patterns=[*FILES, "*.onnx"],
        ),
    ]


def test_publishing_is_public_unless_asked(copied, hub):
    publish(copied, "user/model")
    assert hub.create_repo.call_args.kwargs["private"] is False


@pytest.mark.parametrize("name", FILES)
def test_an_incomplete_folder_is_not_published(copied, hub, name):
    (copied / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"copied has no {name}"):
        publish(copied, "user/model")
    assert not hub.mock_calls


def test_a_refusal_of_the_hub_is_one_line(copied, hub, capsys):
    hub.create_repo.side_effect = OSError("401 Client Error")
    with pytest.raises(SystemExit) as end:
        main(["publish", str(copied), "--repo-id", "user/model"])
    assert end.value.code == 1
    assert capsys.readouterr().err == "galdse: 401 Client Error\n"
    assert not hub.upload_folder.mock_calls
