"""Other pipelines with our front-end: every file in examples/ is run."""

import json
import os
import runpy
import sys
from pathlib import Path
from unittest import mock

import pytest
import soundfile
import speechbrain
import torch
from conftest import ROOT
from hyperpyyaml import load_hyperpyyaml
from recipe_runs import write_corpus
from speechbrain.dataio.dataio import read_audio
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.encoder import CTCTextEncoder
from speechbrain.inference.ASR import EncoderASR
from speechbrain.inference.enhancement import WaveformEnhancement
from speechbrain.inference.separation import SepformerSeparation
from speechbrain.lobes.features import Fbank
from speechbrain.nnet.losses import ctc_loss
from speechbrain.processing.features import InputNormalization

from galdse_brain.cli import main
from galdse_brain.inference import GALDSEEnhancement

EXAMPLES = ROOT / "examples"
RECIPES = Path(
    os.environ.get("SPEECHBRAIN_RECIPES")
    or Path(speechbrain.__file__).parents[1] / "recipes"
)
ASR_ENHANCE = RECIPES / "Voicebank" / "MTL" / "ASR_enhance" / "train.py"
ASR = """
tokenizer: !new:speechbrain.dataio.encoder.CTCTextEncoder
encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
  fbank: !new:speechbrain.lobes.features.Fbank
  normalize: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
  linear: !new:torch.nn.Linear [40, 4]
  log_softmax: !new:speechbrain.nnet.activations.Softmax
    apply_log: True
decoding_function: !name:speechbrain.decoders.ctc_greedy_decode
  blank_id: 0
modules:
  encoder: !ref <encoder>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables:
    tokenizer: !ref <tokenizer>
"""


def run(script, *arguments):
    """Run a script in this process; gives its variables."""
    argv = [str(script), *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "excepthook", sys.excepthook),
    ):
        return runpy.run_path(str(script), run_name="__main__")


def built(example, exported, before=""):
    """What an example's YAML builds around the exported folder."""
    text = (EXAMPLES / example).read_text()
    text = text.replace("/path/to/exported", str(exported))
    return load_hyperpyyaml(before + text)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """One-second pairs; three, two batches, to train on."""
    folder = write_corpus(tmp_path_factory.mktemp("corpus"))
    for split, names, kind in (
        ("train", ["p227_001", "p227_002", "p228_001"], "trainset_28spk"),
        ("valid", ["p226_001"], "trainset_28spk"),
        ("test", ["p232_001"], "testset"),
    ):
        manifest = {
            name: {
                "noisy_wav": f"{{data_root}}/noisy_{kind}_wav/{name}.wav",
                "clean_wav": f"{{data_root}}/clean_{kind}_wav/{name}.wav",
                "length": 1.0,
                "words": "PLEASE CALL STELLA",
                "phones": "P L IY Z",
            }
            for name in names
        }
        (folder / f"{split}.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def model(exported):
    """Our own class around the exported folder."""
    return GALDSEEnhancement.from_hparams(exported)


@pytest.mark.parametrize(
    "script", ["waveform_enhancement.py", "sepformer_separation.py"]
)
def test_a_stock_class_writes_the_file_that_ours_writes(
    script, exported, model, tmp_path
):
    noisy = exported / "example.wav"
    run(EXAMPLES / script, exported, noisy, tmp_path / "theirs.wav")
    model.enhance_file(noisy, tmp_path / "ours.wav")
    theirs, rate = soundfile.read(tmp_path / "theirs.wav")
    ours, _ = soundfile.read(tmp_path / "ours.wav")
    assert rate == 16000 and (theirs == ours).all()
    assert (theirs != soundfile.read(noisy)[0]).any()


def test_stock_classes_give_the_same_samples(exported, model):
    noisy = torch.randn(2, 9999)
    expected = model.enhance_batch(noisy)
    source = str(exported)
    enhancer = WaveformEnhancement.from_hparams(source)
    separator = SepformerSeparation.from_hparams(source)
    assert torch.equal(enhancer.enhance_batch(noisy), expected)
    assert torch.equal(separator.separate_batch(noisy)[..., 0], expected)


def test_the_front_end_of_rescuespeech_gives_the_same_samples(
    exported, model, tmp_path
):
    rest = (
        f"save_folder: {tmp_path}\npretrained_whisper_path: {tmp_path}\n"
        "whisper: !new:torch.nn.Linear [1, 1]\n"
    )
    hparams = built("rescuespeech.yaml", exported, rest)
    whisper = hparams["whisper"].state_dict()
    torch.save(whisper, tmp_path / "whisper.ckpt")
    hparams["asr_pretrained"].collect_files()
    hparams["asr_pretrained"].load_collected()

    noisy = torch.randn(2, 9999)
    parts = {part: m.eval() for part, m in hparams["enhance_model"].items()}
    noisy_w = parts["Encoder"](noisy)
    sep_h = noisy_w * parts["MaskNet"](noisy_w)
    assert torch.equal(parts["Decoder"](sep_h[0]), model.enhance_batch(noisy))
    assert hparams["unfrozen_models"] == ["whisper"]


@pytest.mark.skipif(
    not ASR_ENHANCE.is_file(),
    reason=f"no {ASR_ENHANCE}: let SPEECHBRAIN_RECIPES name the folder "
    "recipes/ of SpeechBrain's repository",
)
@pytest.mark.parametrize("unfrozen", [[], ["enhance_model"]], ids=str)
def test_the_recipe_for_robust_asr_trains_as_it_is(
    unfrozen, exported, corpus, tmp_path, monkeypatch
):
    text = (EXAMPLES / "asr_enhance.yaml").read_text()
    yaml = tmp_path / "asr_enhance.yaml"
    yaml.write_text(text.replace("/path/to/exported", str(exported)))
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


def test_not_frozen_an_enhancer_gives_the_same_samples(exported, model):
    noisy = torch.randn(2, 9999)
    trainable = GALDSEEnhancement.from_hparams(exported, freeze_params=False)
    assert trainable.training
    wavs = trainable.enhance_batch(noisy)
    assert torch.equal(wavs, model.enhance_batch(noisy))
    assert wavs.requires_grad


@pytest.fixture
def asr(tmp_path):
    """Folder of a little recogniser that nobody trained."""
    (tmp_path / "hyperparams.yaml").write_text(ASR)
    labels = CTCTextEncoder()
    labels.update_from_iterable(["A", "B", " "], sequence_input=False)
    labels.insert_blank()
    labels.save(tmp_path / "tokenizer.ckpt")
    return tmp_path


def test_a_padded_batch_is_transcribed_as_its_items_alone(model, asr):
    asr = EncoderASR.from_hparams(str(asr))
    noisy, samples = torch.randn(3, 16000), [16000, 9600, 8000]
    lens = torch.tensor(samples) / 16000
    texts, _ = asr.transcribe_batch(model.enhance_batch(noisy, lens), lens)
    for wav, n, text in zip(noisy, samples, texts):
        alone = model.enhance_batch(wav[None, :n])
        assert asr.transcribe_batch(alone, torch.ones(1))[0] == [text]
    assert len(set(texts)) == 3


def test_a_recogniser_transcribes_noisy_mixed_and_enhanced(
    exported, corpus, asr, capsys
):
    run(
        EXAMPLES / "transcribe.py",
        *(exported, asr, corpus / "train.json", f"--data_root={corpus}"),
    )
    lines = capsys.readouterr().out.splitlines()
    rates = [line.split(":")[0] for line in lines if ": WER" in line]
    assert rates == ["mix 1.00", "mix 0.50", "mix 0.00"]


def test_a_manifest_with_enh_wav_feeds_the_recipe_for_ctc(
    exported, corpus, model, tmp_path
):
    manifest = corpus / "train.json"
    options = [f"--manifest={manifest}", f"--data-root={corpus}"]
    with pytest.raises(SystemExit) as ended:
        main(["enhance", f"--model={exported}", *options, f"-o{tmp_path}"])
    assert not ended.value.code

    data = DynamicItemDataset.from_json(
        json_path=tmp_path / "train.json",
        replacements={"data_root": str(corpus)},
    )
    data.add_dynamic_item(read_audio, takes="enh_wav", provides="sig")
    data.set_output_keys(["id", "sig", "phones"])
    data = data.filtered_sorted(sort_key="length")
    assert [item["phones"] for item in data] == ["P L IY Z"] * 3
    for item in data:
        noisy = corpus / "noisy_trainset_28spk_wav" / f"{item['id']}.wav"
        expected = model.enhance_file(noisy)
        torch.testing.assert_close(item["sig"], expected, atol=1e-4, rtol=0)
