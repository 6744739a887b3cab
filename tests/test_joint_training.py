"""A recogniser and our enhancer, trained together or the latter frozen."""

import os
import sys
from pathlib import Path
from unittest import mock

import pytest
import speechbrain
import torch
from examples_runs import filled, run, write_spoken_corpus
from hyperpyyaml import load_hyperpyyaml
from speechbrain.lobes.features import Fbank
from speechbrain.nnet.losses import ctc_loss
from speechbrain.processing.features import InputNormalization

from galdse_brain.inference import GALDSEEnhancement

RECIPES = Path(
    os.environ.get("SPEECHBRAIN_RECIPES")
    or Path(speechbrain.__file__).parents[1] / "recipes"
)
ASR_ENHANCE = RECIPES / "Voicebank" / "MTL" / "ASR_enhance" / "train.py"


@pytest.mark.skipif(
    not ASR_ENHANCE.is_file(),
    reason=f"no {ASR_ENHANCE}: let SPEECHBRAIN_RECIPES name the folder "
    "recipes/ of SpeechBrain's repository",
)
@pytest.mark.parametrize("unfrozen", [[], ["enhance_model"]], ids=str)
def test_the_recipe_for_robust_asr_trains_as_it_is(
    unfrozen, exported, tmp_path, monkeypatch
):
    corpus = write_spoken_corpus(tmp_path / "corpus")
    yaml = tmp_path / "asr_enhance.yaml"
    yaml.write_text(filled("asr_enhance.yaml", exported))
    for unused in ("composite_eval", "voicebank_prepare"):
        monkeypatch.setitem(sys.modules, unused, mock.Mock())
    brain = run(
        ASR_ENHANCE,
        yaml,
        f"--data_folder={corpus}",
        f"--output_folder={tmp_path / 'run'}",
        f"--unfrozen_models={unfrozen}",
        "--output_neurons=4",
        "--number_of_epochs=1",
        "--device=cpu",
        "--noprogressbar",
    )["mtl_brain"]
    assert "test loss" in (tmp_path / "run" / "train_log.txt").read_text()
    assert moved(brain.modules.enhance_model, exported) == bool(unfrozen)


def test_the_yaml_for_robust_asr_holds_our_enhancer(exported, tmp_path):
    hparams = load_hyperpyyaml(
        filled("asr_enhance.yaml", exported),
        {"data_folder": "", "save_folder": str(tmp_path), "output_neurons": 4},
    )
    hparams["enhance_pretrained"].collect_files()
    hparams["enhance_pretrained"].load_collected()
    enhancer, noisy = hparams["modules"]["enhance_model"], torch.randn(2, 9999)
    model = GALDSEEnhancement.from_hparams(exported)
    for _ in range(2):  # A normaliser that keeps the graph fails the second.
        wavs, _ = enhancer(noisy)
        assert torch.equal(wavs, model.enhance_batch(noisy))
        feats = hparams["normalizer"](hparams["fbank"](wavs), torch.ones(2))
        hparams["src_embedding"](feats).sum().backward()


def moved(enhancer, exported):
    """Whether the weights differ from the exported ones; buffers may not."""
    start = torch.load(exported / "enhance_model.ckpt", weights_only=True)
    state = enhancer.state_dict()
    assert all(
        torch.equal(state[n], start[n])
        for n, _ in enhancer.named_buffers()
        if n in start
    )
    return any(
        not torch.equal(weight, start[name])
        for name, weight in enhancer.named_parameters()
    )


@pytest.mark.parametrize("freeze", [False, True])
def test_a_recognition_loss_trains_an_enhancer_that_is_not_frozen(
    exported, freeze
):
    source = str(exported)
    model = GALDSEEnhancement.from_hparams(source, freeze_params=freeze)
    parts = Fbank(), InputNormalization("sentence"), torch.nn.Linear(40, 5)
    fbank, normalize, linear = parts
    weights = [*model.parameters(), *linear.parameters()]
    optimizer = torch.optim.SGD(weights, lr=0.1)
    lens, targets = torch.tensor([1.0, 0.6]), torch.tensor([[1, 2], [3, 4]])
    noisy = torch.randn(2, 8000)
    noisy[1, 2000:] = 0  # silence, whose gradient must stay finite

    feats = normalize(fbank(model.enhance_batch(noisy, lens)), lens)
    loss = ctc_loss(
        linear(feats).log_softmax(-1), targets, lens, torch.ones(2), 0
    )
    loss.backward()
    grads = [p.grad for p in weights if p.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)
    optimizer.step()
    assert moved(model.mods.enhance_model, exported) == (not freeze)


def test_not_frozen_an_enhancer_gives_the_same_samples(exported):
    model = GALDSEEnhancement.from_hparams(exported)
    noisy = torch.randn(2, 9999)
    trainable = GALDSEEnhancement.from_hparams(exported, freeze_params=False)
    assert trainable.training
    wavs = trainable.enhance_batch(noisy)
    assert torch.equal(wavs, model.enhance_batch(noisy))
    assert wavs.requires_grad
