"""Mixtures: reproducible, at the SNR that was drawn, of what may be mixed."""

import json
from collections import Counter

import pytest
import soundfile
import torch
from recipe_runs import log_lines, train, write_corpus
from speechbrain.augment.time_domain import SpeedPerturb
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.epoch_loop import EpochCounter
from torch.utils.data import DataLoader

from galdse_brain.augment import random_filter
from galdse_brain.data import read
from galdse_brain.mixing import AudioFiles, DynamicMixing, active_level

RATE = 16000


@pytest.fixture
def folders(tmp_path):
    """Speech of three speakers, noise of two kinds, a room; ogg and flac."""
    files = {
        "speech/big": (8, 24000),
        "speech/small": (1, 9000),
        "speech/tiny": (1, 3000),
        "noise/hum": (1, 5000),
        "noise/babble": (1, 40000),
        "rooms/hall": (1, 4000),
    }
    for group, (count, length) in files.items():
        folder = tmp_path / group
        folder.mkdir(parents=True)
        for i in range(count):
            wav = 0.1 * torch.randn(length).numpy()
            name = ["a.flac", "b.ogg"][i % 2]
            soundfile.write(folder / f"{i}{name}", wav, RATE)
    return tmp_path


@pytest.fixture
def mixing(folders):
    """Builds a DynamicMixing in its third epoch."""
    epochs = EpochCounter(9)
    epochs.current = 3

    def build(**kwargs):
        settings = {
            "speech": AudioFiles([folders / "speech"], exponent=0.0),
            "noise": AudioFiles([folders / "noise"], exponent=0.0),
            "sample_rate": RATE,
            "num_items": 40,
            "num_samples": 8000,
            "window_samples": 16000,
            "snr": [-5, 20],
            "seed": 7,
            "epochs": epochs,
        }
        return DynamicMixing(**{**settings, **kwargs})

    return build


def batches(dataset, num_workers):
    """All items, through a loader."""
    loader = DataLoader(
        dataset, 4, num_workers=num_workers, collate_fn=PaddedBatch
    )
    return [
        torch.stack([batch.clean_sig.data, batch.noisy_sig.data])
        for batch in loader
    ]


def test_items_depend_on_seed_epoch_and_index_alone(mixing):
    effects = [SpeedPerturb(RATE, [90, 110]), random_filter]
    dataset = mixing(speech_effects=effects, noise_effects=effects)
    first = torch.cat(batches(dataset, 0), 1)
    assert torch.equal(torch.cat(batches(dataset, 2), 1), first)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert torch.equal(dataset[13]["noisy_sig"], first[1, 13])
    assert torch.equal(torch.get_rng_state(), state)
    assert len({tuple(wav[:9].tolist()) for wav in first[1]}) == 40
    next(dataset.epochs)
    assert not torch.equal(dataset[13]["noisy_sig"], first[1, 13])
    dataset.epochs.current -= 1
    dataset.seed = 8
    assert not torch.equal(dataset[13]["noisy_sig"], first[1, 13])


def test_the_mixture_has_the_snr_that_was_asked_for(mixing):
    for snr in (-5.0, 12.0):
        for item in mixing(snr=[snr, snr], num_samples=16000):
            clean, noise = (
                item["clean_sig"],
                item["noisy_sig"] - item["clean_sig"],
            )
            spoken = clean[clean != 0]
            ratio = 20 * torch.log10(active_level(spoken) / noise.std())
            assert ratio.item() == pytest.approx(snr, abs=0.5)


def test_snrs_are_spread_over_their_range(mixing):
    ratios = [
        20 * torch.log10(clean.std() / (noisy - clean).std())
        for _, clean, noisy in map(dict.values, mixing(num_samples=3000))
    ]
    assert -6 < min(ratios) < 0 and 15 < max(ratios) < 21


def test_without_effects_clean_is_a_piece_of_a_file(mixing):
    dataset = mixing()
    item = dataset[0]
    wavs = [read(p, RATE) for ps in dataset.speech.groups.values() for p in ps]
    clean = item["clean_sig"]
    inside = clean[3000:4000]
    found = [
        (wav.unfold(0, 1000, 1) - inside).abs().amax(1).min()
        for wav in wavs
        if len(wav) >= 1000
    ]
    assert min(found) < 2e-3  # Opus, read from the middle


def test_speakers_are_drawn_by_their_number_of_files_to_a_power(folders):
    def shares(exponent):
        files = AudioFiles([folders / "speech"], exponent)
        drawn = Counter(files.draw()[0] for _ in range(2000))
        return [drawn[name] / 2000 for name in ("big", "small", "tiny")]

    assert shares(0.0) == pytest.approx([1 / 3] * 3, abs=0.05)
    assert shares(1.0) == pytest.approx([0.8, 0.1, 0.1], abs=0.05)


def test_groups_come_from_folders_names_and_manifests(folders):
    def groups(root):
        return sorted(AudioFiles([root], 1.0).groups)

    assert groups(folders / "speech") == ["big", "small", "tiny"]
    flat = folders / "flat"
    flat.mkdir()
    for name in ("p226_001", "p226_002", "p287_001"):
        soundfile.write(flat / f"{name}.wav", torch.zeros(99).numpy(), RATE)
    assert groups(flat) == ["p226", "p287"]
    rows = {
        path.stem: {"wav": str(path), "spk_id": f"s{i}"}
        for i, path in enumerate(sorted(flat.iterdir()))
    }
    (folders / "a.json").write_text(json.dumps(rows))
    lines = [f"{k},1.0,{v['wav']},{v['spk_id']}" for k, v in rows.items()]
    text = "\n".join(["ID,duration,wav,spk_id", *lines])
    (folders / "a.csv").write_text(text)
    for manifest in ("a.json", "a.csv"):
        assert groups(folders / manifest) == ["s0", "s1", "s2"]


def test_held_out_speakers_are_in_one_set_alone(folders):
    root = [folders / "speech"]
    ours = AudioFiles(root, 1.0, never=["t*", "big"])
    theirs = AudioFiles(root, 1.0, only=["t*", "big"])
    assert list(ours.groups) == ["small"]
    assert list(theirs.groups) == ["big", "tiny"]
    with pytest.raises(FileNotFoundError, match="no audio.*'nobody'"):
        AudioFiles(root, 1.0, only=["nobody"])


def test_babble_is_not_mixed_with_the_voices_in_it(mixing, monkeypatch):
    drawn = set()
    draw = AudioFiles.draw

    def spy(files, never=()):
        group, path = draw(files, never)
        drawn.add(group)
        return group, path

    monkeypatch.setattr(AudioFiles, "draw", spy)
    speakers = {"big", "small", "tiny"}
    list(mixing())
    assert drawn == speakers | {"hum", "babble"}
    drawn.clear()
    list(mixing(apart=[["babb*", "*"]]))
    assert drawn == speakers | {"hum"}


def test_files_are_read_in_pieces(mixing, monkeypatch):
    counts = []
    load = soundfile.SoundFile.read

    def spy(file, frames=-1, *args, **kwargs):
        wav = load(file, frames, *args, **kwargs)
        counts.append(len(wav))
        return wav

    monkeypatch.setattr(soundfile.SoundFile, "read", spy)
    list(mixing())
    assert 0 < max(counts) <= 16000


def test_rooms_keep_the_level_and_change_the_rest(mixing, folders):
    rooms = AudioFiles([folders / "rooms"], 1.0)
    dry = mixing(num_samples=16000)
    wet = mixing(num_samples=16000, rooms=rooms, room_share=1.0)
    for index in range(5):
        a, b = dry[index]["clean_sig"], wet[index]["clean_sig"]
        assert b.abs().mean() / a.abs().mean() == pytest.approx(1, abs=0.2)
        assert not torch.allclose(a, b, atol=1e-3)
    with pytest.raises(ValueError, match="room_share is 0.5, but rooms"):
        mixing(room_share=0.5)


def test_silence_stays_finite(mixing, folders):
    folder = folders / "silence" / "nobody"
    folder.mkdir(parents=True)
    soundfile.write(folder / "a.wav", torch.zeros(20000).numpy(), RATE)
    silence = AudioFiles([folders / "silence"], 1.0)
    for item in (*mixing(speech=silence), *mixing(noise=silence)):
        assert item["noisy_sig"].isfinite().all()
    assert mixing(speech=silence)[0]["noisy_sig"].std() < 0.01


def test_clips_shorter_than_a_frame_have_a_level_too(folders, mixing):
    assert active_level(torch.full((100,), 0.5)) == 0.5
    soundfile.write(folders / "speech" / "tiny" / "0a.flac", [0.1] * 100, RATE)
    only_tiny = AudioFiles([folders / "speech"], 0.0, only=["tiny"])
    assert mixing(speech=only_tiny)[0]["noisy_sig"].isfinite().all()


def test_what_cannot_be_mixed_is_an_error_with_its_name(folders, mixing):
    apart = mixing(apart=[("*", "*")])
    with pytest.raises(ValueError, match="'babble', 'hum'. are kept apart"):
        apart[0]
    soundfile.write(folders / "noise" / "void_0.wav", [], RATE)
    only_void = AudioFiles([folders / "noise"], 0.0, only=["void*"])
    with pytest.raises(ValueError, match="void_0.wav holds no samples"):
        mixing(noise=only_void)[0]


def test_a_random_filter_is_its_recursion():
    impulse = torch.zeros(1, 400)
    impulse[0, 0] = 1
    torch.manual_seed(5)
    response = random_filter(impulse)[0]
    torch.manual_seed(5)
    r = torch.empty(4).uniform_(-0.375, 0.375).tolist()
    expected = [0.0, 0.0]
    for n in range(400):
        ahead = [1.0, r[0], r[1]][n] if n < 3 else 0.0
        expected.append(ahead - r[2] * expected[-1] - r[3] * expected[-2])
    torch.testing.assert_close(response, torch.tensor(expected[2:]))


def test_the_stages_of_the_packaged_weights_train_one_after_the_other(
    folders, tmp_path
):
    corpus = write_corpus(tmp_path / "corpus")
    options = {
        "segment_samples": 8064,
        "number_of_steps": 2,
        "mixing": f"{{speech_folders: [{folders / 'speech'}], noise_folders: "
        f"[{folders / 'noise'}], held_out: [small], items: 4, "
        "held_out_items: 1}",
    }
    first, second = tmp_path / "six_steps", tmp_path / "one_step"
    tiny = "{channels: 8, hidden_size: 4}"
    train(corpus, first, recipe="galdse_weights", enhancer=tiny, **options)
    train(
        corpus,
        second,
        recipe="galdse_weights_crp",
        enhancer=f"{{galdse: {tiny}}}",
        start_from=first,
        **options,
    )
    about = json.loads((second / "exported" / "config.json").read_text())
    assert about["network_calls"] == {"system.guidance": 1, "system.net": 1}
    losses = {"guidance", "spec_mse", "wave_l1", "neg_si_snr", "pesq"}
    assert set(about["losses"]) == losses


def test_the_recipe_trains_on_mixtures(folders, tmp_path):
    corpus, run = write_corpus(tmp_path / "corpus"), tmp_path / "run"
    speech, noise = folders / "speech", folders / "noise"
    variables = train(
        corpus,
        run,
        recipe="galdse_mixed",
        num_workers=1,
        segment_samples=8064,
        number_of_steps=2,
        mixing=f"{{speech_folders: [{speech}], noise_folders: [{noise}], "
        "held_out: [small], items: 4, held_out_items: 1}",
    )
    assert len(variables["datasets"]["valid"]) == 2 + 1
    assert len(variables["datasets"]["test"]) == 2
    epoch, _ = log_lines(run)
    assert "steps: 2" in epoch and "train pesq: " in epoch
    groups = variables["datasets"]["train"].datasets[0].speech.groups
    assert "small" not in groups
