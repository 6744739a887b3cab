"""The model that comes with the package works right after installation."""

import json
import runpy

import pytest
import soundfile
import torch
from conftest import ROOT
from hyperpyyaml import load_hyperpyyaml
from recipe_runs import RECIPE, voice
from safetensors.torch import load_file
from speechbrain.inference.enhancement import WaveformEnhancement

from galdse_brain import released
from galdse_brain.card import scores_text
from galdse_brain.cli import main
from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.metrics import si_sdr
from galdse_brain.pieces import Pieces
from galdse_brain.recipe import read_recipe
from galdse_brain.released import FOLDER, WEIGHTS, restored, store
from galdse_brain.runs import start_from

_TOOL = runpy.run_path(str(ROOT / "tools" / "package_weights.py"))
package, START, END = (_TOOL[name] for name in ("package", "START", "END"))
CARD = (FOLDER / "README.md").read_text()


@pytest.fixture(scope="module")
def model():
    """The model of the package."""
    return GALDSEEnhancement.from_hparams()


def test_the_command_makes_noisy_speech_cleaner_without_a_model_named(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    clean = torch.from_numpy(voice(150, 32000)).float()
    noisy = clean + 0.05 * torch.randn(32000)
    soundfile.write("noisy.wav", noisy.numpy(), 16000)
    with pytest.raises(SystemExit) as done:
        main(["enhance", "noisy.wav", "-o", "clean.wav"])
    assert not done.value.code
    enhanced = torch.from_numpy(soundfile.read("clean.wav")[0]).float()
    assert si_sdr(enhanced, clean) > si_sdr(noisy, clean) + 3


def test_the_weights_are_stored_in_half_and_used_in_single_precision(model):
    stored = load_file(WEIGHTS)
    assert WEIGHTS.stat().st_size < 12e6
    for name, weight in model.mods.enhance_model.named_parameters():
        assert stored[name].dtype == torch.float16
        assert weight.dtype == torch.float32
        assert torch.equal(weight.cpu(), stored[name].float())


def test_what_is_stored_is_restored_as_near_as_half_precision_is(
    tiny, tmp_path
):
    enhancer = tiny.mods.enhance_model
    before = {k: v.clone() for k, v in enhancer.state_dict().items()}
    store(enhancer, tmp_path / "weights.safetensors")
    for weight in enhancer.parameters():
        weight.data.zero_()
    restored(enhancer, tmp_path / "weights.safetensors")
    for name, tensor in enhancer.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=1e-3, atol=1e-7)


def test_stock_classes_load_the_folder_of_the_package(model):
    stock = WaveformEnhancement.from_hparams(str(FOLDER))
    noisy = 0.1 * torch.randn(1, 4000)
    lengths = torch.ones(1)
    expected = model.enhance_batch(noisy)
    assert torch.equal(stock.enhance_batch(noisy, lengths), expected)


def test_pieces_of_a_long_recording_are_near_one_pass(model):
    noisy = torch.from_numpy(voice(150, 160000)).float()
    noisy += 0.05 * torch.randn(160000)
    in_pieces = model.enhance_waveform(noisy, 16000)
    enhancer = model.mods.enhance_model
    before = enhancer.pieces
    enhancer.pieces = Pieces(num_samples=len(noisy), overlap=0)
    one_pass = model.enhance_waveform(noisy, 16000)
    enhancer.pieces = before
    assert si_sdr(in_pieces, one_pass) > 20


def test_card_and_readme_show_the_scores_of_the_configuration(model):
    about = json.loads((FOLDER / "config.json").read_text())
    parameters = sum(p.numel() for p in model.mods.parameters())
    assert about["parameters"] == parameters == 4517134
    assert set(about["scores"]) >= {"noisy", "mask alone", "one step"}
    for page in (CARD, (ROOT / "README.md").read_text()):
        assert scores_text(about) in page


def test_the_card_names_the_sources_that_want_it():
    for source in ("LibriSpeech", "VCTK", "African Storybook", "blanket"):
        assert source in CARD
    assert "CC BY" in CARD


def test_fine_tuning_can_start_from_it(model):
    recipe = read_recipe(
        RECIPE / "hparams" / "galdse_finetune.yaml",
        f"{{data_folder: x, start_from: {FOLDER}}}",
    )
    state = load_hyperpyyaml(recipe)["modules"]["system"].state_dict()
    packaged = model.mods.enhance_model.system.system.state_dict()
    assert state.keys() == packaged.keys()
    assert all(map(torch.equal, state.values(), packaged.values()))


def test_a_model_of_another_system_is_refused_with_both_names():
    other = torch.nn.Flatten()
    with pytest.raises(ValueError, match="released holds .*Steps, .*Flatten"):
        start_from(other, FOLDER)


def test_an_exported_model_takes_the_place_of_the_packaged_one(
    exported, tmp_path, monkeypatch
):
    folder = tmp_path / "released"
    folder.mkdir()
    weights = folder / WEIGHTS.name
    monkeypatch.setattr(released, "WEIGHTS", weights)
    for page in (folder / "README.md", tmp_path / "README.md"):
        page.write_text(f"Before.\n{START}\nold\n{END}\nAfter.\n")
    package(exported, 1, True, folder, [tmp_path / "README.md"])
    model, noisy = (
        GALDSEEnhancement.from_hparams(folder),
        0.1 * torch.randn(1, 4000),
    )
    before = GALDSEEnhancement.from_hparams(exported)
    expected = before.enhance_batch(noisy, num_steps=1)
    assert si_sdr(model.enhance_batch(noisy)[0], expected[0]) > 40
    about = json.loads((folder / "config.json").read_text())
    text = f"Before.\n{START}\n\n{scores_text(about)}\n\n{END}\nAfter.\n"
    for page in (folder / "README.md", tmp_path / "README.md"):
        assert page.read_text() == text
