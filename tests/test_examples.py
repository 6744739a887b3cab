"""Other pipelines with our front-end: every file in examples/ is run."""

import pytest
import soundfile
import torch
from examples_runs import EXAMPLES, filled, run, write_spoken_corpus
from hyperpyyaml import load_hyperpyyaml
from speechbrain.dataio.dataio import read_audio
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.encoder import CTCTextEncoder
from speechbrain.inference.ASR import EncoderASR
from speechbrain.inference.enhancement import WaveformEnhancement
from speechbrain.inference.separation import SepformerSeparation

from galdse_brain.cli import main
from galdse_brain.inference import GALDSEEnhancement

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


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Pairs with their words."""
    return write_spoken_corpus(tmp_path_factory.mktemp("corpus"))


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
    hparams = load_hyperpyyaml(rest + filled("rescuespeech.yaml", exported))
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


@pytest.fixture
def asr(tmp_path):
    """Folder of a little recogniser that nobody trained."""
    (tmp_path / "hyperparams.yaml").write_text(ASR)
    labels = CTCTextEncoder()
    labels.update_from_iterable(["A", "B", " "], sequence_input=False)
    labels.insert_blank()
    labels.save(tmp_path / "tokenizer.ckpt")
    return tmp_path


def test_a_recogniser_hears_a_padded_item_as_it_hears_it_alone(model, asr):
    asr = EncoderASR.from_hparams(str(asr))
    noisy, lens = torch.randn(3, 16000), torch.tensor([1.0, 0.6, 0.5])
    wavs = model.enhance_batch(noisy, lens)
    texts, _ = asr.transcribe_batch(wavs, lens)
    assert len(set(texts)) == 3
    for wav, length, heard in zip(noisy, lens, asr.encode_batch(wavs, lens)):
        alone = model.enhance_batch(wav[None, : int(16000 * length)])
        expected = asr.encode_batch(alone, torch.ones(1))[0]
        torch.testing.assert_close(heard[: len(expected)], expected)


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
