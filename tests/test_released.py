"""The models that come with the package work right after installation."""

import json
import runpy
import shutil

import pytest
import soundfile
import torch
from conftest import ROOT
from hyperpyyaml import load_hyperpyyaml
from recipe_runs import RECIPE, voice
from speechbrain.inference.enhancement import WaveformEnhancement

from galdse_brain.card import scores_text
from galdse_brain.cli import main
from galdse_brain.export import FILES
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.metrics import level, si_sdr
from galdse_brain.recipe import read_recipe
from galdse_brain.released import DEFAULT, FOLDER, NAMES, packaged
from galdse_brain.runs import losses_of, start_from

_TOOL = runpy.run_path(str(ROOT / "tools" / "package_weights.py"))
package, START, END, readme_table = (
    _TOOL[name] for name in ("package", "START", "END", "readme_table")
)
PARAMETERS = {"light": 316346, "galdse": 4517134}


@pytest.fixture(scope="module")
def models():
    """Name -> model."""
    return {name: GALDSEEnhancement.from_hparams(name) for name in NAMES}


@pytest.fixture
def noisy_wav(tmp_path, monkeypatch):
    """A noisy file where the command runs, and its clean speech."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    clean = torch.from_numpy(voice(150, 32000)).float()
    noisy = clean + 0.05 * torch.randn(32000)
    soundfile.write("noisy.wav", noisy.numpy(), 16000)
    return clean


def run(*words):
    """The command, which must succeed."""
    with pytest.raises(SystemExit) as done:
        main([*map(str, words)])
    assert not done.value.code


def test_the_names_are_those_of_the_folders_and_the_light_one_is_default():
    assert sorted(PARAMETERS) == sorted(NAMES) and DEFAULT == "light"
    assert packaged("light") == FOLDER / "light"
    assert packaged("./light") == "./light"
    total = sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file())
    assert total < 12e6


@pytest.mark.parametrize("words", [[], ["--model=light"], ["--model=galdse"]])
def test_the_command_makes_noisy_speech_cleaner(noisy_wav, words):
    run("enhance", "noisy.wav", "-o", "clean.wav", *words)
    noisy, enhanced = (
        torch.from_numpy(soundfile.read(f"{name}.wav")[0]).float()
        for name in ("noisy", "clean")
    )
    assert si_sdr(enhanced, noisy_wav) > si_sdr(noisy, noisy_wav) + 3


def test_the_light_model_keeps_the_level_of_clean_speech(models, noisy_wav):
    for gain in (1, 0.05):
        clean = gain * noisy_wav
        enhanced = models["light"].enhance_waveform(clean, 16000)
        assert abs(level(enhanced, clean)) < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_stored_in_half_and_used_in_single_precision(
    name, models
):
    stored = torch.load(FOLDER / name / "enhance_model.ckpt", weights_only=True)
    for key, weight in models[name].mods.enhance_model.named_parameters():
        assert stored[key].dtype == torch.float16
        assert weight.dtype == torch.float32
        assert torch.equal(weight.cpu(), stored[key].float())


@pytest.mark.parametrize("name", NAMES)
def test_stock_classes_load_the_folder(name, models):
    stock = WaveformEnhancement.from_hparams(str(FOLDER / name))
    noisy = 0.1 * torch.randn(1, 4000)
    expected = models[name].enhance_batch(noisy)
    assert torch.equal(stock.enhance_batch(noisy, torch.ones(1)), expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_of_the_folder_reads_its_own_weights(name, models, tmp_path):
    noisy = 0.1 * torch.randn(1, 4000)
    run("export", name, tmp_path / "copy")
    copied = GALDSEEnhancement.from_hparams(tmp_path / "copy")
    expected = models[name].enhance_batch(noisy)
    assert torch.equal(copied.enhance_batch(noisy), expected)
    weights = tmp_path / "copy" / "enhance_model.ckpt"
    state = torch.load(weights, weights_only=True)
    torch.save({k: torch.zeros_like(v) for k, v in state.items()}, weights)
    zeros = GALDSEEnhancement.from_hparams(tmp_path / "copy")
    assert not torch.allclose(zeros.enhance_batch(noisy), expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_the_package_is_complete(name, models):
    for file in FILES:
        assert (FOLDER / name / file).is_file()
    about = json.loads((FOLDER / name / "config.json").read_text())
    modules = models[name].mods.parameters()
    assert about["parameters"] == sum(p.numel() for p in modules)
    assert about["parameters"] == PARAMETERS[name]
    assert set(about["scores"]) >= {"noisy", "mask alone", "one step"}
    assert "pesq" in losses_of(name)
    card = (FOLDER / name / "README.md").read_text()
    assert scores_text(about) in card
    for source in ("LibriSpeech", "VCTK", "African Storybook", "CC BY"):
        assert source in card


def test_the_readme_shows_the_scores_of_the_configurations():
    assert readme_table() in (ROOT / "README.md").read_text()


def test_the_list_of_models_says_what_each_is_for(capsys):
    run("models")
    printed = capsys.readouterr().out
    for name, parameters in PARAMETERS.items():
        about = json.loads((FOLDER / name / "config.json").read_text())
        assert f"{parameters:,}" in printed
        assert f"{name}: {about['summary']}" in printed
        assert f"{about['scores']['enhanced']['estoi']['mean']:.3f}" in printed


@pytest.mark.parametrize(
    "recipe, name, inner",
    [
        ("galdse_finetune", "galdse", True),
        ("galdse_light_finetune", "light", False),
    ],
)
def test_fine_tuning_can_start_from_a_name(recipe, name, inner, models):
    text = read_recipe(
        RECIPE / "hparams" / f"{recipe}.yaml",
        f"{{data_folder: x, start_from: {name}}}",
    )
    state = load_hyperpyyaml(text)["modules"]["system"].state_dict()
    system = models[name].mods.enhance_model.system
    expected = (system.system if inner else system).state_dict()
    assert state.keys() == expected.keys()
    assert all(map(torch.equal, state.values(), expected.values()))


def test_a_model_of_another_system_is_refused_with_both_names():
    other = torch.nn.Flatten()
    with pytest.raises(ValueError, match="galdse holds .*Steps, .*Flatten"):
        start_from(other, "galdse")


def test_an_exported_model_becomes_a_packaged_one(exported, tmp_path):
    folder = tmp_path / "released"
    folder.mkdir()
    page = folder / "README.md"
    page.write_text(f"Before.\n{START}\nold\n{END}\nAfter.\n")
    package(exported, folder, {"summary": "a test"}, "\nauto_steps: 2\n")
    model = GALDSEEnhancement.from_hparams(folder)
    noisy = 0.1 * torch.randn(1, 4000)
    expected = GALDSEEnhancement.from_hparams(exported).enhance_batch(noisy)
    assert si_sdr(model.enhance_batch(noisy)[0], expected[0]) > 40
    assert model.hparams.auto_steps == 2
    about = json.loads((folder / "config.json").read_text())
    assert about["summary"] == "a test" and "real-time factor" in about["cost"]
    text = f"Before.\n{START}\n\n{scores_text(about)}\n\n{END}\nAfter.\n"
    assert page.read_text() == text
    shutil.rmtree(folder)
