"""Training through the real train.py: files, resume, selection, errors."""

import csv
import math
import shutil

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from recipe_runs import RECIPE, log_lines, train, write_corpus
from speechbrain.utils.checkpoints import Checkpointer

from galdse_brain.brain import seeded_randn_like
from galdse_brain.recipe import read_recipe
from galdse_brain.runs import best_weights, load_enhancer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus of seconds."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """A run of one epoch and train.py's variables; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "trained"
    return run, train(corpus, run)


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the trained run, to be changed."""
    shutil.copytree(trained[0], tmp_path / "run")
    return tmp_path / "run"


def checkpoints(run):
    """Checkpoints of a run, oldest first."""
    listed = Checkpointer(run / "save").list_checkpoints()
    return sorted(listed, key=lambda c: c.meta["unixtime"])


def states(checkpoint):
    """Everything a checkpoint holds that training goes on with."""
    return {
        name: torch.load(checkpoint.paramfiles[name], weights_only=True)
        for name in ("system", "ema", "optimizer")
    }


def test_a_run_leaves_the_files_that_users_look_for(trained):
    run, _ = trained
    for name in (
        "hyperparams.yaml",
        "log.txt",
        "env.log",
        "train.py",
        "train_log.txt",
        "results.csv",
        "enhanced/p232_001.wav",
        "enhanced/p257_001.wav",
        "pictures/p232_001.png",
    ):
        assert (run / name).stat().st_size > 0, name
    rows = (run / "results.csv").read_text().splitlines()
    assert rows[0] == "id,signal,pesq,estoi,si_sdr"
    signals = {tuple(row.split(",")[:2]) for row in rows[1:]}
    assert signals == {
        (name, signal)
        for name in ("p232_001", "p257_001")
        for signal in ("noisy", "mask alone", "enhanced")
    }
    assert "| mask alone |" in (run / "log.txt").read_text()


def test_the_log_has_every_loss_and_every_metric(trained):
    (epoch, test) = log_lines(trained[0])
    for name in ("loss", "spec_mse", "guidance", "wave_l1", "neg_si_snr"):
        assert f"train {name}: " in epoch
    for name in ("pesq", "estoi", "si_sdr"):
        assert f"valid {name}: " in epoch and f"test {name}: " in test


def test_validation_and_test_use_whole_untouched_utterances(trained):
    _, variables = trained
    for split in ("valid", "test"):
        item = variables["datasets"][split][0]
        assert len(item["clean_sig"]) == len(item["noisy_sig"]) == 16000


def scores(run):
    """Scores of ``results.csv`` under (id, signal)."""
    with open(run / "results.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        (row["id"], row["signal"], metric): float(row[metric])
        for row in rows
        for metric in ("pesq", "estoi", "si_sdr")
    }


def test_test_only_gives_the_score_that_training_ended_with(run, corpus):
    results = scores(run)
    (run / "results.csv").unlink()
    train(corpus, run, "--test_only", skip_prep=True)
    # ESTOI draws noise of 1e-16 against divisions by zero.
    assert scores(run) == pytest.approx(results, abs=1e-9)
    assert log_lines(run)[-1] == log_lines(run)[-2]


def test_the_best_checkpoint_is_tested_though_the_last_is_worse(
    run, corpus, trained
):
    results = scores(run)
    best = best_weights(run)
    checkpointer = trained[1]["hparams"]["checkpointer"]
    ema = trained[1]["hparams"]["ema"]
    before = {k: v.clone() for k, v in ema.state_dict().items()}
    folder, checkpointer.checkpoints_dir = (
        checkpointer.checkpoints_dir,
        run / "save",
    )
    try:
        for parameter in ema.parameters():
            parameter.data.mul_(-1)
        checkpointer.save_checkpoint(meta={"pesq": 0.5, "epoch": 2})
    finally:
        ema.load_state_dict(before)
        checkpointer.checkpoints_dir = folder
    assert len(checkpoints(run)) == 2
    assert all(map(torch.equal, best_weights(run).values(), best.values()))
    train(corpus, run, "--test_only")
    # ESTOI draws noise of 1e-16 against divisions by zero.
    assert scores(run) == pytest.approx(results, abs=1e-9)


def test_a_resumed_run_equals_an_uninterrupted_one(run, corpus, tmp_path):
    train(corpus, run, number_of_epochs=2)
    straight = tmp_path / "straight"
    train(corpus, straight, number_of_epochs=2)
    resumed, expected = (
        states(checkpoints(folder)[-1]) for folder in (run, straight)
    )
    torch.testing.assert_close(resumed, expected, atol=0, rtol=0)
    assert log_lines(run)[-2:] == log_lines(straight)[-2:]
    assert "epoch: 2" in log_lines(run)[-2]
    assert resumed["ema"]["n_averaged"] == 4


def test_an_enhancer_is_loaded_from_a_run(run, trained):
    enhancer = load_enhancer(run)
    brain = trained[1]["brain"]
    noisy = trained[1]["datasets"]["test"][0]["noisy_sig"][None]
    with torch.no_grad():
        wavs, _ = enhancer(noisy, randn_like=seeded_randn_like(3234))
        expected, _ = brain.enhance("enhanced", noisy, None)
    assert torch.equal(wavs, expected)
    assert not enhancer.training


def test_fine_tuning_starts_from_the_averaged_weights(corpus, run):
    recipe = read_recipe(RECIPE / "hparams" / "galdse_finetune.yaml")
    overrides = {
        "data_folder": str(corpus),
        "start_from": str(run),
        "enhancer": {"channels": 8, "hidden_size": 4},
    }
    system = load_hyperpyyaml(recipe, overrides)["modules"]["system"]
    weights = system.state_dict()
    assert weights.keys() == best_weights(run).keys()
    assert all(map(torch.equal, weights.values(), best_weights(run).values()))
    assert system.mask_exponent == 0.5


def test_gradient_accumulation_averages_once_per_step(corpus, tmp_path):
    variables = train(
        corpus, tmp_path, grad_accumulation_factor=2
    )
    brain = variables["brain"]
    assert brain.optimizer_step == 1
    assert variables["hparams"]["ema"].n_averaged == 1


def test_half_precision_trains(corpus, tmp_path):
    variables = train(corpus, tmp_path, precision="bf16")
    assert math.isfinite(variables["brain"].train_stats["loss"])
    assert next(variables["brain"].system.parameters()).dtype == torch.float32


def test_debug_leaves_no_checkpoint(corpus, tmp_path):
    train(corpus, tmp_path, "--debug")
    assert not list(tmp_path.glob("save/CKPT*"))
    assert len(log_lines(tmp_path)) == 2


def test_a_negative_gradient_norm_means_no_clipping(corpus, tmp_path):
    variables = train(corpus, tmp_path, "--debug", max_grad_norm=-1)
    assert variables["brain"].max_grad_norm == math.inf


def test_testing_an_untrained_run_is_an_error(corpus, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint with 'pesq'"):
        train(corpus, tmp_path, "--test_only")
    with pytest.raises(FileNotFoundError, match="no checkpoint with 'pesq'"):
        best_weights(tmp_path)
    with pytest.raises(FileNotFoundError, match="is no run"):
        load_enhancer(tmp_path / "elsewhere")


def test_an_unknown_selection_metric_is_an_error(corpus, tmp_path):
    with pytest.raises(KeyError, match="'peqs' is none of the metrics.*estoi"):
        train(corpus, tmp_path, selection_metric="peqs")


def test_loss_weights_of_other_names_are_an_error(corpus, tmp_path):
    with pytest.raises(ValueError, match="losses.*'pesq'.*names.*'extra'"):
        train(corpus, tmp_path, loss_weights="{extra: 1.0}")


def test_a_misspelt_override_is_an_error(corpus, tmp_path):
    with pytest.raises(KeyError, match="lerning_rate"):
        train(corpus, tmp_path, lerning_rate="1")
