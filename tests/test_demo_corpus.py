"""Tests of tools/make_demo_corpus.py on a tiny corpus."""

import csv
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

pytest.importorskip("espeakng_loader")

TOOL = Path(__file__).parents[1] / "tools" / "make_demo_corpus.py"
MINUTES = 0.3


def load_tool():
    spec = importlib.util.spec_from_file_location(TOOL.stem, TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "corpus"
    tool.make_corpus(out, MINUTES, seed=0)
    return out


@pytest.fixture(scope="module")
def rows(corpus):
    with open(corpus / "demo_corpus.csv", newline="") as file:
        return list(csv.DictReader(file))


def read_pair(corpus, row):
    """Clean and noisy waveform, (N,) each."""
    name = f"{row['split']}_wav/{row['stem']}.wav"
    return [
        sf.read(corpus / f"{kind}_{name}")[0] for kind in ("clean", "noisy")
    ]


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*.*")
        if path.is_file()
    }


def variants(voices):
    return {voice.name.split("+")[1] for voice in voices}


def test_same_seed_gives_same_bytes(corpus, tmp_path):
    tool.make_corpus(tmp_path / "again", MINUTES, seed=0)
    assert contents(tmp_path / "again") == contents(corpus)


def test_another_seed_gives_other_waveforms(corpus, tmp_path):
    tool.make_corpus(tmp_path / "other", MINUTES, seed=1)
    name = "noisy_testset_wav/p232_001.wav"
    other = (tmp_path / "other" / name).read_bytes()
    assert other != (corpus / name).read_bytes()


def test_more_minutes_only_add_training_pairs(corpus, tmp_path):
    tool.make_corpus(tmp_path / "longer", 2 * MINUTES, seed=0)
    longer = contents(tmp_path / "longer")
    shorter = contents(corpus)
    del shorter[Path("demo_corpus.csv")]
    assert shorter.items() < longer.items()


def test_table_lists_exactly_the_files(corpus, rows):
    expected = {
        corpus / f"{kind}_{row['split']}_wav" / f"{row['stem']}.wav"
        for row in rows
        for kind in ("clean", "noisy")
    }
    assert set(corpus.rglob("*.wav")) == expected


def test_difference_of_a_pair_has_the_promised_snr(corpus, rows):
    for row in rows:
        clean, noisy = read_pair(corpus, row)
        noise_level = np.sqrt(np.square(noisy - clean).mean())
        snr_db = 20 * np.log10(tool.speech_level(clean) / noise_level)
        assert snr_db == pytest.approx(float(row["snr_db"]), abs=0.02), row


def test_snr_does_not_count_pauses():
    rng = np.random.default_rng(0)
    speech = rng.standard_normal(tool.RATE)
    with_pause = np.concatenate([speech, np.zeros(tool.RATE)])
    assert tool.speech_level(with_pause) == pytest.approx(
        tool.speech_level(speech)
    )


def test_mix_scales_both_alike():
    rng = np.random.default_rng(0)
    speech, noise = rng.standard_normal((2, tool.RATE))
    clean, noisy = tool.mix(speech, noise, snr_db=0)
    gain = clean / speech
    assert np.allclose(gain, gain[0])
    residual = (noisy - clean) / noise
    assert np.allclose(residual, residual[0])
    assert max(np.abs(clean).max(), np.abs(noisy).max()) == tool.PEAK


def test_nothing_clips(corpus, rows):
    for row in rows:
        for wav in read_pair(corpus, row):
            assert np.abs(wav).max() < 1 - 2**-15, row


def test_clean_utterances_are_speech(corpus, rows):
    for row in rows:
        clean, _ = read_pair(corpus, row)
        assert 1 < clean.size / tool.RATE < 6, row
        assert 0.01 < tool.speech_level(clean) < 0.2, row
        power = np.abs(np.fft.rfft(clean)) ** 2
        hertz = np.fft.rfftfreq(clean.size, 1 / tool.RATE)
        voiced = (hertz > 80) & (hertz < 4000)
        assert power[voiced].sum() > 0.5 * power.sum(), row


def test_files_are_16_khz_mono_16_bit(corpus):
    for path in corpus.rglob("*.wav"):
        info = sf.info(path)
        kind = (info.samplerate, info.channels, info.subtype)
        assert kind == (16000, 1, "PCM_16"), path


def test_validation_and_test_speakers_are_there(rows):
    speakers = [row["stem"].split("_")[0] for row in rows]
    for speaker, how_many in {
        "p226": 5,
        "p287": 5,
        "p232": 6,
        "p257": 6,
    }.items():
        assert speakers.count(speaker) == how_many


def test_snrs_are_those_of_voicebank_demand(rows):
    promised = {
        "trainset_28spk": {0, 5, 10, 15},
        "testset": {2.5, 7.5, 12.5, 17.5},
    }
    for row in rows:
        assert float(row["snr_db"]) in promised[row["split"]]


def test_no_held_out_voice_speaks_in_training():
    train = variants([*tool.TRAIN.speakers.values(), *tool.TRAIN.babblers])
    for cast in (tool.VALIDATION, tool.TEST):
        assert train.isdisjoint(variants(cast.speakers.values()))
    validation = variants(tool.VALIDATION.speakers.values())
    test = variants([*tool.TEST.speakers.values(), *tool.TEST.babblers])
    assert test.isdisjoint(train | validation)


def test_no_sentence_occurs_in_two_casts():
    casts = (tool.TEST, tool.VALIDATION, tool.TRAIN)
    sentences = [sentence for cast in casts for sentence in cast.sentences]
    assert len(set(sentences)) == len(sentences)


def test_sentences_have_four_to_fourteen_words():
    for cast in (tool.TEST, tool.VALIDATION, tool.TRAIN):
        for sentence in cast.sentences:
            assert 4 <= len(sentence.split()) <= 14, sentence


@pytest.mark.parametrize("name", tool.NOISES)
def test_noises_with_other_draws_differ(name):
    draws = [tool.NOISES[name](8000, np.random.default_rng(i)) for i in (0, 1)]
    assert all(draw.shape == (8000,) for draw in draws)
    normalised = [draw / np.linalg.norm(draw) for draw in draws]
    assert abs(normalised[0] @ normalised[1]) < 0.9


def test_coloured_noise_falls_with_its_exponent():
    hertz = np.fft.rfftfreq(2**16, 1 / tool.RATE)[1:]
    audible = hertz > 40
    for exponent in (0, 1, 2):
        noise = tool.coloured(2**16, np.random.default_rng(0), exponent)
        power = np.abs(np.fft.rfft(noise))[1:] ** 2
        slope, _ = np.polyfit(
            np.log(hertz[audible]), np.log(power[audible]), deg=1
        )
        assert slope == pytest.approx(-exponent, abs=0.05)


@pytest.mark.parametrize("name", ["corpus", "corpus.part"])
def test_filled_folder_is_refused_and_left_alone(name, tmp_path):
    filled = tmp_path / name
    filled.mkdir()
    (filled / "old.wav").write_bytes(b"old")
    with pytest.raises(FileExistsError, match=f"{name} is not empty"):
        tool.make_corpus(tmp_path / "corpus", MINUTES, seed=0)
    assert contents(tmp_path) == {Path(name) / "old.wav": b"old"}


def test_empty_folder_is_filled(tmp_path):
    tool.make_corpus(tmp_path, 0.01, seed=0)
    assert (tmp_path / "demo_corpus.csv").exists()


def test_interrupted_run_leaves_no_corpus(tmp_path, monkeypatch):
    def fail(pair, folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "write", fail)
    with pytest.raises(KeyboardInterrupt):
        tool.make_corpus(tmp_path / "corpus", MINUTES, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.part"]


def test_missing_synthesiser_names_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(sys, "argv", [str(TOOL), str(tmp_path / "corpus")])
    with pytest.raises(SystemExit):
        tool.main()
    assert "pip install espeakng-loader" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("minutes", [0, -1, float("inf"), float("nan")])
def test_minutes_must_be_positive(minutes, tmp_path):
    with pytest.raises(ValueError, match=f"minutes.*{minutes}"):
        tool.make_corpus(tmp_path / "corpus", minutes, seed=0)


def test_last_line_counts_pairs_and_seconds(tmp_path, monkeypatch, capsys):
    out = tmp_path / "corpus"
    monkeypatch.setattr(sys, "argv", [str(TOOL), str(out), "--minutes", "0.01"])
    tool.main()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{out}: 12 pairs")
    assert "11 pairs" in line
    assert line.endswith(" s")
