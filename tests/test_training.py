"""Training through the real train.py: files, resume, selection, errors."""

import csv
import hashlib
import json
import math
import shutil
import sys
from pathlib import Path
from unittest import mock

import pytest
import soundfile
import torch
from hyperpyyaml import load_hyperpyyaml
from recipe_runs import RECIPE, TINY, log_lines, train, write_corpus
from speechbrain.utils.checkpoints import Checkpointer

from galdse_brain.inference import GALDSEEnhancement
from galdse_brain.metrics import estoi, si_sdr
from galdse_brain.nets.ncsnpp import NCSNpp
from galdse_brain.recipe import read_recipe
from galdse_brain.runs import best_weights, load_enhancer

SIGNALS = ["noisy", "mask alone", "one step", "enhanced", "clean"]


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


def scores(run):
    """Scores of ``results.csv`` under (id, signal)."""
    with open(run / "results.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        (row["id"], row["signal"], metric): float(row[metric])
        for row in rows
        for metric in ("pesq", "estoi", "si_sdr")
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
        "report.md",
        "report.html",
        "enhanced/p232_001.wav",
        "enhanced/p257_001.wav",
        "pictures/p232_001.png",
    ):
        assert (run / name).stat().st_size > 0, name
    rows = (run / "results.csv").read_text().splitlines()
    assert rows[0] == "id,signal,pesq,estoi,si_sdr,snr,si_sir,si_sar"
    signals = {tuple(row.split(",")[:2]) for row in rows[1:]}
    assert signals == {
        (name, signal)
        for name in ("p232_001", "p257_001")
        for signal in SIGNALS
    }
    assert "| mask alone " in (run / "log.txt").read_text()


def test_the_log_has_every_loss_and_every_metric(trained):
    (epoch, test) = log_lines(trained[0])
    for name in ("loss", "spec_mse", "guidance"):
        assert f"train {name}: " in epoch
    for name in ("pesq", "estoi", "si_sdr"):
        assert f"valid {name}: " in epoch and f"test {name}: " in test


def test_scores_are_those_of_whole_untouched_files(trained, corpus):
    run, _ = trained
    for name in ("p232_001", "p257_001"):
        clean, noisy, enhanced = (
            torch.from_numpy(soundfile.read(folder / f"{name}.wav")[0])
            for folder in (
                corpus / "clean_testset_wav",
                corpus / "noisy_testset_wav",
                run / "enhanced",
            )
        )
        assert len(enhanced) == len(clean) == 16000
        for metric in (si_sdr, estoi):
            score = scores(run)[name, "noisy", metric.__name__]
            assert score == pytest.approx(metric(noisy, clean), abs=1e-4)


def test_test_only_gives_the_score_that_training_ended_with(run, corpus):
    results = scores(run)
    (run / "results.csv").unlink()
    train(corpus, run, "--test_only", skip_prep=True)
    # ESTOI draws noise of 1e-16 against divisions by zero.
    assert scores(run) == pytest.approx(results, abs=1e-9)
    assert log_lines(run)[-1] == log_lines(run)[-2]


def test_a_test_scores_everything_and_says_what_it_was_of(run, corpus):
    everything = {
        "test_metrics": "!name:galdse_brain.scoring.all_metrics",
        "cost": "{seconds: 0.2, repeats: 1}",
        "score_jobs": 1,
    }
    train(corpus, run, "--test_only", **everything)
    with open(run / "results.csv", newline="", encoding="utf-8") as file:
        header = next(csv.reader(file))
    assert len(header) == 2 + 11 + 3 + 4 and "dnsmos_ovrl" in header
    top = scores(run)["p232_001", "clean", "pesq"]
    assert top == pytest.approx(4.644, abs=1e-3)
    text = (run / "report.md").read_text()
    weights = checkpoints(run)[-1].paramfiles["ema"]
    assert hashlib.sha256(Path(weights).read_bytes()).hexdigest()[:12] in text
    for line in ("- seed: 3234", "- network calls: 1 guidance + 6 net"):
        assert line in text
    for signal in SIGNALS:
        assert f" {signal} " in text


def test_metrics_of_the_loss_are_marked_in_the_report(run, corpus):
    text = (run / "report.md").read_text()
    assert "†" not in text
    losses = "{spec_mse: 1.0, guidance: 1.0, pesq: 0.001}"
    train(corpus, run, "--test_only", loss_weights=losses)
    text = (run / "report.md").read_text()
    assert "PESQ-WB †" in text and "ESTOI †" not in text


def test_without_matplotlib_a_run_has_text_and_scores(
    corpus, tmp_path, monkeypatch, caplog
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in ("page", "pictures"):
        monkeypatch.delitem(sys.modules, f"galdse_brain.{name}", False)
    with pytest.warns(UserWarning, match=r"galdse\[plot\]"):
        train(corpus, tmp_path)
    assert (tmp_path / "results.csv").is_file()
    assert (tmp_path / "report.md").is_file()
    assert not (tmp_path / "report.html").exists()
    assert not (tmp_path / "pictures").exists()


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
        wavs, _ = enhancer(noisy, seed=3234)
        expected = brain.enhance("enhanced", noisy, None)
    assert torch.equal(wavs, expected)
    assert not enhancer.training


def test_a_run_exports_its_best_weights(run):
    model = GALDSEEnhancement.from_hparams(run / "exported")
    enhancer, noisy = load_enhancer(run), torch.randn(1, 9000)
    with torch.no_grad():
        assert torch.equal(model.enhance_batch(noisy), enhancer(noisy)[0])
    about = json.loads((run / "exported" / "config.json").read_text())
    assert list(about["scores"]) == SIGNALS
    assert list(about["scores"]["clean"]) == ["pesq", "estoi"]
    assert about["test_pairs"] == 2


def test_fine_tuning_starts_from_the_averaged_weights(corpus, run):
    recipe = read_recipe(
        RECIPE / "hparams" / "galdse_finetune.yaml",
        f"{{data_folder: {corpus}, start_from: {run}, "
        f"enhancer: {TINY['enhancer']}}}",
    )
    system = load_hyperpyyaml(recipe)["modules"]["system"]
    weights = system.state_dict()
    assert weights.keys() == best_weights(run).keys()
    assert all(map(torch.equal, weights.values(), best_weights(run).values()))
    assert system.mask_exponent == 0.5


def test_spent_steps_end_training_and_more_steps_go_on(corpus, tmp_path):
    budget = {"number_of_steps": 3, "number_of_epochs": 100}
    train(corpus, tmp_path, **budget)
    first, second, _ = log_lines(tmp_path)
    # The second of 200 steps of warm-up, with a third of the budget spent
    assert "steps: 2, lr: 6.67e-06" in first
    assert "steps: 3, lr: 5.00e-06" in second
    train(corpus, tmp_path, **budget)
    assert len(log_lines(tmp_path)) == 3 + 1  # Only tested again
    train(corpus, tmp_path, number_of_steps=500, number_of_epochs=3)
    *_, third, _ = log_lines(tmp_path)
    assert "steps: 5, lr: 2.48e-05" in third


def test_all_five_losses_train(corpus, tmp_path):
    train(corpus, tmp_path, "--debug", recipe="galdse", segment_samples=8064)
    for name in ("spec_mse", "guidance", "wave_l1", "neg_si_snr", "pesq"):
        assert f"train {name}: " in log_lines(tmp_path)[0]


def test_too_few_pairs_for_a_batch_are_an_error(corpus, tmp_path):
    with pytest.raises(ValueError, match="no whole batch.*batch_size"):
        train(corpus, tmp_path, batch_size=5)


@pytest.mark.parametrize("augment", ["eq_remix", "unchanged"])
def test_other_augmentations_train(corpus, tmp_path, augment):
    name = f"!name:galdse_brain.augment.{augment}"
    variables = train(corpus, tmp_path, "--debug", augment=name)
    assert math.isfinite(variables["brain"].train_stats["loss"])


def test_padded_batches_have_the_scores_of_single_files(run, corpus):
    results = scores(run)
    for folder in ("clean_testset_wav", "noisy_testset_wav"):
        assert (corpus / folder / "p257_001.wav").exists()
    opts = "{batch_size: 2}"
    train(corpus, run, "--test_only", test_dataloader_opts=opts)
    for key, score in scores(run).items():
        if key[:2] != ("p257_001", "enhanced"):  # It has other noise.
            assert score == pytest.approx(results[key], abs=1e-2), key


def test_gradient_accumulation_averages_once_per_step(corpus, tmp_path):
    variables = train(corpus, tmp_path, grad_accumulation_factor=2)
    brain = variables["brain"]
    assert brain.optimizer_step == 1
    assert variables["hparams"]["ema"].n_averaged == 1


def test_half_precision_trains(corpus, tmp_path):
    seen = set()
    forward = NCSNpp.forward

    def spy(net, *inputs):
        output = forward(net, *inputs)
        seen.add((net.training, output.dtype))
        return output

    with mock.patch.object(NCSNpp, "forward", spy):
        variables = train(corpus, tmp_path, precision="bf16", num_workers=1)
    assert seen == {(True, torch.bfloat16), (False, torch.float32)}
    assert math.isfinite(variables["brain"].train_stats["loss"])
    assert next(variables["brain"].system.parameters()).dtype == torch.float32


def test_debug_leaves_no_checkpoint(corpus, tmp_path):
    train(corpus, tmp_path, "--debug")
    assert not list(tmp_path.glob("save/CKPT*"))
    assert not (tmp_path / "exported").exists()
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
    with pytest.raises(ValueError, match="losses.*'spec_mse'.*names.*'extra'"):
        train(corpus, tmp_path, loss_weights="{extra: 1.0}")


def test_a_misspelt_override_is_an_error(corpus, tmp_path):
    with pytest.raises(KeyError, match="lerning_rate"):
        train(corpus, tmp_path, lerning_rate="1")
    with pytest.raises(KeyError, match="enhancer sets 'kapa'.*galdse.yaml"):
        train(corpus, tmp_path, enhancer="{kapa: 0.1}")
