"""Crops are fresh, aligned and read partially; utterances are whole."""

import json

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.dataio import audio_io
from speechbrain.utils.epoch_loop import EpochCounter

from galdse_brain.data import pad_around, paired_datasets

RATE = 16000


def write_pair(folder, name, num_samples, rate=RATE, noisy_samples=None):
    """A pair whose noisy samples are the negated clean ones."""
    ramp = np.arange(num_samples) / 65536
    noisy = -ramp if noisy_samples is None else -ramp[:noisy_samples]
    entry = {"length": num_samples / rate}
    for kind, wav in (("clean", ramp), ("noisy", noisy)):
        path = folder / f"{name}_{kind}.wav"
        soundfile.write(path, wav, rate, subtype="FLOAT")
        entry[f"{kind}_wav"] = f"{{data_root}}/{path.name}"
    return {name: entry}


@pytest.fixture
def epochs():
    """In the first epoch."""
    counter = EpochCounter(100)
    next(counter)
    return counter


@pytest.fixture
def datasets(tmp_path, epochs):
    """Builds the three splits, with crops of 100 samples."""

    def build(entries):
        manifest = tmp_path / "all.json"
        manifest.write_text(json.dumps(entries))
        return paired_datasets(
            dict.fromkeys(["train", "valid", "test"], manifest),
            data_folder=str(tmp_path),
            sample_rate=RATE,
            segment_samples=100,
            seed=0,
            epochs=epochs,
        )

    return build


def test_crops_are_fresh_and_aligned(tmp_path, datasets, epochs):
    train = datasets(write_pair(tmp_path, "p1_001", 1000))["train"]
    starts = set()
    for _ in range(20):
        next(epochs)
        item = train[0]
        assert torch.equal(item["clean_sig"], -item["noisy_sig"])
        start = round(item["clean_sig"][0].item() * 65536)
        expected = torch.arange(start, start + 100) / 65536
        torch.testing.assert_close(item["clean_sig"], expected)
        starts.add(start)
    assert len(starts) > 10 and max(starts) <= 900


def test_crops_are_read_partially(tmp_path, datasets, monkeypatch):
    train = datasets(write_pair(tmp_path, "p1_001", 1000))["train"]
    load, read = audio_io.load, []

    def spy(*args, **kwargs):
        wav, rate = load(*args, **kwargs)
        read.append(wav.shape[-1])
        return wav, rate

    monkeypatch.setattr(audio_io, "load", spy)
    train[0]
    assert read == [100, 100]


def test_a_crop_as_long_as_the_file_is_the_file(tmp_path, datasets):
    train = datasets(write_pair(tmp_path, "p1_001", 100))["train"]
    expected = torch.arange(100) / 65536
    torch.testing.assert_close(train[0]["clean_sig"], expected)


def test_short_files_are_padded_on_both_sides(tmp_path, datasets):
    train = datasets(write_pair(tmp_path, "p1_001", 60))["train"]
    crop = train[0]["clean_sig"]
    assert len(crop) == 100
    torch.testing.assert_close(crop[20:80], torch.arange(60) / 65536)
    assert not crop[:20].any() and not crop[80:].any()
    assert len(pad_around(torch.ones(3), 8)) == 8


@pytest.mark.parametrize("split", ["valid", "test"])
def test_evaluation_reads_whole_utterances(tmp_path, datasets, split):
    item = datasets(write_pair(tmp_path, "p1_001", 777))[split][0]
    torch.testing.assert_close(item["clean_sig"], torch.arange(777) / 65536)
    assert torch.equal(item["clean_sig"], -item["noisy_sig"])


@pytest.mark.parametrize("split", ["train", "test"])
def test_another_sample_rate_is_named(tmp_path, datasets, split):
    entries = write_pair(tmp_path, "p1_001", 1000, rate=8000)
    with pytest.raises(Exception, match="p1_001_clean.wav has 8000 Hz"):
        datasets(entries)[split][0]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_pair_of_two_lengths_is_named(tmp_path, datasets, split):
    entries = write_pair(tmp_path, "p1_001", 1000, noisy_samples=900)
    with pytest.raises(Exception, match="has 1000 samples but .*noisy.* 900"):
        datasets(entries)[split][0]
