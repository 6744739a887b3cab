"""Tests of recipes/VoicebankDEMAND/voicebank_prepare.py.

Authors
 * The galdse developers
"""

import hashlib
import http.server
import importlib.util
import io
import json
import shutil
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from speechbrain.dataio.dataset import DynamicItemDataset

RECIPE = Path(__file__).parents[1] / "recipes/VoicebankDEMAND"
spec = importlib.util.spec_from_file_location(
    "voicebank_prepare", RECIPE / "voicebank_prepare.py"
)
vb = importlib.util.module_from_spec(spec)
spec.loader.exec_module(vb)

TRAIN_IDS = ("p226_001", "p2261_001", "p227_001", "p287_002")
OFFICIAL, SPEECHBRAIN, SPLIT_FOLDERS = vb.LAYOUTS


def noise(num_samples, seed=0):
    """White noise (N,) that does not clip."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, num_samples)


def write(path, wav, rate=16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wav, rate, subtype="PCM_16")


def make_corpus(root, layout, rate=16000, suffix=".wav", num_samples=1600):
    """Writes a small corpus, of which no two files are alike."""
    ids = {"train": TRAIN_IDS, "valid": ["p226_009"], "test": ["p232_001"]}
    for split, folders in layout.items():
        for folder in folders:
            for stem in ids[split]:
                seed = sum(f"{folder}{stem}".encode())
                path = root / folder / f"{stem}{suffix}"
                write(path, noise(num_samples, seed), rate)
    return root


def prepare(root, **options):
    """Prepares a corpus, returns {split: items}."""
    vb.prepare_voicebank(root, root / "save", **options)
    return read_jsons(root)


def read_jsons(root):
    return {
        split: json.loads((root / "save" / f"{split}.json").read_text())
        for split in vb.SPLITS
    }


def on_disk(root, item_path):
    return Path(item_path.format(data_root=root))


@pytest.fixture
def corpus(tmp_path):
    """A corpus at 16 kHz in the official folders."""
    return make_corpus(tmp_path, OFFICIAL)


# Layouts, splits and items


def test_splits_that_are_not_wanted_need_no_folder(tmp_path):
    folders = {split: SPLIT_FOLDERS[split] for split in ("valid", "test")}
    root = make_corpus(tmp_path, folders)
    vb.prepare_voicebank(root, root / "save", splits=["valid", "test"])
    assert len(list((root / "save").iterdir())) == 2
    with pytest.raises(FileNotFoundError, match="no train/clean"):
        prepare(root)


@pytest.mark.parametrize("layout", (OFFICIAL, SPEECHBRAIN))
def test_valid_is_the_files_of_the_valid_speakers(tmp_path, layout):
    splits = prepare(make_corpus(tmp_path, layout))
    assert list(splits["valid"]) == ["p226_001", "p287_002"]
    assert list(splits["train"]) == ["p2261_001", "p227_001"]
    assert list(splits["test"]) == ["p232_001"]


def test_the_valid_speakers_can_be_chosen(corpus):
    splits = prepare(corpus, valid_speakers=["p227"])
    assert list(splits["valid"]) == ["p227_001"]


def test_a_valid_folder_decides_alone_what_is_valid(tmp_path):
    splits = prepare(make_corpus(tmp_path, SPLIT_FOLDERS))
    assert list(splits["valid"]) == ["p226_009"]
    assert sorted(splits["train"]) == sorted(TRAIN_IDS)


@pytest.mark.parametrize("layout", vb.LAYOUTS)
@pytest.mark.parametrize("suffix", (".wav", ".flac"))
def test_items_point_to_the_pair_and_its_seconds(tmp_path, layout, suffix):
    splits = prepare(make_corpus(tmp_path, layout, suffix=suffix))
    for split, items in splits.items():
        folders = layout.get(split, layout["train"])
        for stem, item in items.items():
            clean, noisy = (
                f"{{data_root}}/{folder}/{stem}{suffix}" for folder in folders
            )
            assert item == {
                "noisy_wav": noisy,
                "clean_wav": clean,
                "length": 1600 / 16000,
            }
            assert on_disk(tmp_path, noisy).is_file()
            assert on_disk(tmp_path, clean).is_file()


def test_speechbrain_reads_the_items(corpus):
    prepare(corpus)
    dataset = DynamicItemDataset.from_json(
        corpus / "save/test.json", replacements={"data_root": corpus}
    )
    dataset.set_output_keys(["noisy_wav"])
    path = corpus / "noisy_testset_wav/p232_001.wav"
    assert dataset[0]["noisy_wav"] == str(path)


def test_words_are_upper_case_with_single_spaces(corpus):
    (corpus / "testset_txt").mkdir()
    (corpus / "testset_txt/p232_001.txt").write_text(" Please  call\nher. \n")
    splits = prepare(corpus)
    assert splits["test"]["p232_001"]["words"] == "PLEASE CALL HER."
    assert "words" not in splits["train"]["p227_001"]


def test_files_are_written_anew_and_alike(corpus):
    prepare(corpus)
    first = {p: p.read_bytes() for p in (corpus / "save").iterdir()}
    (corpus / "save/train.json").write_text("{")
    prepare(corpus, num_workers=1)
    again = {p: p.read_bytes() for p in (corpus / "save").iterdir()}
    assert again == first
    assert {p.name for p in first} == {"train.json", "valid.json", "test.json"}


def test_the_command_line_prepares_too(corpus, monkeypatch):
    words = f"prepare {corpus} {corpus / 'save'} --valid-speakers p287 p227"
    monkeypatch.setattr(sys, "argv", words.split())
    vb.main()
    assert list(read_jsons(corpus)["valid"]) == ["p227_001", "p287_002"]


# Resampling


@pytest.mark.parametrize("suffix", (".wav", ".flac"))
@pytest.mark.parametrize("num_samples", (4800, 4801, 4802))
def test_48_khz_becomes_a_third_of_the_samples(tmp_path, suffix, num_samples):
    make_corpus(tmp_path, OFFICIAL, 48000, suffix, num_samples)
    item = prepare(tmp_path)["train"]["p227_001"]
    for kind in ("clean", "noisy"):
        path = tmp_path / f"{kind}_trainset_28spk_wav_16k/p227_001{suffix}"
        assert on_disk(tmp_path, item[f"{kind}_wav"]) == path
        info = soundfile.info(path)
        assert (info.samplerate, info.subtype) == (16000, "PCM_16")
        assert info.frames == -(-num_samples // 3)
    assert item["length"] == info.frames / 16000


def test_resampling_keeps_a_tone(tmp_path):
    make_corpus(tmp_path, OFFICIAL, 48000)
    path = tmp_path / "noisy_testset_wav/p232_001.wav"
    write(path, 0.5 * np.sin(2 * np.pi * 440 * np.arange(4800) / 48000), 48000)
    shutil.copy(path, tmp_path / "clean_testset_wav")
    item = prepare(tmp_path)["test"]["p232_001"]
    wav, _ = soundfile.read(on_disk(tmp_path, item["noisy_wav"]))
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(1600) / 16000)
    np.testing.assert_allclose(wav[50:-50], tone[50:-50], atol=1e-3)


def test_16_khz_files_are_used_as_they_are(corpus):
    prepare(corpus)
    assert not list(corpus.glob("*_16k"))


def test_resampled_files_are_kept(tmp_path):
    make_corpus(tmp_path, OFFICIAL, 48000)
    prepare(tmp_path)
    path = tmp_path / "noisy_testset_wav_16k/p232_001.wav"
    write(path, np.zeros(soundfile.info(path).frames))
    kept = path.read_bytes()
    prepare(tmp_path)
    assert path.read_bytes() == kept


def test_resampled_folders_are_enough(tmp_path):
    make_corpus(tmp_path, OFFICIAL, 48000)
    before = prepare(tmp_path)
    for folders in OFFICIAL.values():
        for folder in folders:
            shutil.rmtree(tmp_path / folder)
    assert prepare(tmp_path) == before


def test_an_interrupted_resampling_leaves_no_half_file(tmp_path, monkeypatch):
    make_corpus(tmp_path, OFFICIAL, 48000)

    def write_half(path, wav, *args, **options):
        write_all(path, wav[: len(wav) // 2], *args, **options)
        raise KeyboardInterrupt

    write_all = soundfile.write
    monkeypatch.setattr(soundfile, "write", write_half)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path)
    assert not list(tmp_path.glob("*_16k/*.wav"))
    monkeypatch.undo()
    assert prepare(tmp_path)["test"]["p232_001"]["length"] == 534 / 16000
    assert not list(tmp_path.glob("*_16k/*.part"))


# Bad input

CLEAN = "clean_testset_wav/p232_001.wav"
NOISY = "noisy_testset_wav/p232_001.wav"


def assert_refused(corpus, error, *culprits, **options):
    """The error names all culprits, and nothing is written."""
    with pytest.raises(error) as caught:
        prepare(corpus, **options)
    for culprit in culprits:
        assert str(culprit) in str(caught.value)
    assert not (corpus / "save").exists()


@pytest.mark.parametrize("lost, left", ((CLEAN, NOISY), (NOISY, CLEAN)))
def test_a_file_without_its_partner_is_named(corpus, lost, left):
    write((corpus / lost).with_name("p232_009.wav"), noise(1600))
    write((corpus / left).with_name("p232_009.wav"), noise(1600))
    (corpus / lost).unlink()
    folder = (corpus / lost).parent
    assert_refused(corpus, FileNotFoundError, corpus / left, folder)


def test_different_lengths_are_named(corpus):
    write(corpus / NOISY, noise(1599))
    culprits = corpus / NOISY, corpus / CLEAN, 1599, 1600
    assert_refused(corpus, ValueError, *culprits)


def test_different_sample_rates_are_named(corpus):
    write(corpus / NOISY, noise(1600), 48000)
    culprits = corpus / NOISY, corpus / CLEAN, 48000, 16000
    assert_refused(corpus, ValueError, *culprits)


def test_another_sample_rate_is_named(corpus):
    write(corpus / NOISY, noise(1600), 44100)
    write(corpus / CLEAN, noise(1600), 44100)
    assert_refused(corpus, ValueError, corpus / NOISY, 44100, "16000 or 48000")


def test_stereo_is_named(corpus):
    write(corpus / NOISY, noise((1600, 2)))
    assert_refused(corpus, ValueError, corpus / NOISY, "2 channels")


def test_an_empty_wav_is_named(corpus):
    write(corpus / CLEAN, noise(0))
    assert_refused(corpus, ValueError, corpus / CLEAN, "0 samples")


@pytest.mark.parametrize("content", (b"", b"RIFF no wav", b"<html></html>"))
def test_a_broken_wav_is_named(corpus, content):
    (corpus / NOISY).write_bytes(content)
    assert_refused(corpus, ValueError, corpus / NOISY, "must be wav or flac")


def test_a_truncated_wav_is_named(corpus):
    content = (corpus / NOISY).read_bytes()
    (corpus / NOISY).write_bytes(content[: len(content) // 2])
    assert_refused(corpus, ValueError, corpus / NOISY, 1600)


def test_two_files_of_one_id_are_refused(corpus):
    write((corpus / NOISY).with_suffix(".flac"), noise(1600))
    assert_refused(corpus, ValueError, (corpus / NOISY).parent, "one file")


def test_an_empty_split_is_named(corpus):
    (corpus / NOISY).unlink()
    (corpus / CLEAN).unlink()
    folder = corpus / "clean_testset_wav"
    assert_refused(corpus, ValueError, folder, "must not be empty")


def test_valid_speakers_without_a_file_are_named(corpus):
    culprits = "p9, p8", "p226, p2261, p227, p287"
    options = {"valid_speakers": ("p9", "p8")}
    assert_refused(corpus, ValueError, *culprits, **options)


def test_valid_speakers_must_leave_some_for_train(corpus):
    options = {"valid_speakers": ("p226", "p2261", "p227", "p287")}
    assert_refused(corpus, ValueError, "p2261", "empty", **options)


def test_a_folder_of_no_layout_is_told_all_that_was_looked_for(corpus):
    shutil.rmtree(corpus / "noisy_testset_wav")
    names = {
        name
        for layout in vb.LAYOUTS
        for folders in layout.values()
        for name in folders
    }
    assert len(names) == 14
    missing = "no noisy_testset_wav\n"
    assert_refused(corpus, FileNotFoundError, corpus, missing, *names)


def test_a_missing_data_folder_is_named(tmp_path):
    path = tmp_path / "nowhere"
    assert_refused(path, FileNotFoundError, path, "does not exist")


# Flags


@pytest.mark.parametrize("flag", (True, None))
def test_skip_prep_only_looks_for_the_files(corpus, flag):
    prepare(corpus)
    (corpus / "save/test.json").write_text("{}")
    vb.prepare_voicebank("nowhere", corpus / "save", skip_prep=flag)
    assert (corpus / "save/test.json").read_text() == "{}"
    (corpus / "save/valid.json").unlink()
    with pytest.raises(FileNotFoundError, match="valid.json.*skip_prep"):
        vb.prepare_voicebank(corpus, corpus / "save", skip_prep=flag)


@pytest.mark.parametrize("flag, count", ((True, 1), (None, 1), (False, 0)))
def test_download_comes_first_if_asked_for(corpus, monkeypatch, flag, count):
    calls = []
    monkeypatch.setattr(vb, "download_voicebank", calls.append)
    prepare(corpus, download=flag)
    assert calls == [corpus] * count


# Download


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.archives`` as DataShare does, or as badly as asked."""

    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers["Range"])
        name = server.names[self.path.split("/")[1]]
        content = server.archives[name]
        start = int(self.headers["Range"][len("bytes=") : -1])
        if start >= len(content):
            self.send_error(416)
            return
        start *= server.knows_range
        self.send_response(206 if server.knows_range else 200)
        self.send_header("Content-Type", server.content_type)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : server.breaks_at])

    def log_message(self, *args):
        """Keeps the test output clean."""


def make_archives(root):
    """Zips a corpus, with the clutter of a Mac, returns {name: bytes}."""
    make_corpus(root, OFFICIAL)
    archives = {}
    for name in vb.BITSTREAMS:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as file:
            for path in sorted((root / name).iterdir()):
                file.write(path, f"{name}/{path.name}")
                file.writestr(f"__MACOSX/{name}/._{path.name}", "")
        archives[name] = stream.getvalue()
    return archives


@pytest.fixture
def server(tmp_path):
    """A server of four small archives that notes the ranges asked for."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.archives = make_archives(tmp_path / "source")
        server.names = {key: name for name, key in vb.BITSTREAMS.items()}
        server.ranges = []
        server.knows_range, server.breaks_at = True, None
        server.content_type = "application/zip"
        server.data = tmp_path / "data"
        server.url = f"http://127.0.0.1:{server.server_port}"
        server.md5s = {
            name: hashlib.md5(content).hexdigest()
            for name, content in server.archives.items()
        }
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server
        server.shutdown()


def download(server):
    vb.download_voicebank(server.data, server.url, server.md5s)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_download_holds_the_corpus_and_nothing_else(server):
    download(server)
    archives = [f"{name}.zip" for name in vb.BITSTREAMS]
    assert names_in(server.data) == sorted([*vb.BITSTREAMS, *archives])
    for path in (server.data.parent / "source").glob("*/*.wav"):
        copy = server.data / path.parent.name / path.name
        assert copy.read_bytes() == path.read_bytes()
    assert list(prepare(server.data)["test"]) == ["p232_001"]


def test_a_second_download_asks_for_nothing(server):
    download(server)
    server.ranges.clear()
    download(server)
    assert not server.ranges


def test_a_broken_download_resumes(server):
    server.breaks_at = 100
    with pytest.raises(ConnectionError, match="100 of .* bytes.*go on"):
        download(server)
    assert names_in(server.data) == ["clean_testset_wav.zip.part"]
    server.breaks_at = None
    download(server)
    assert server.ranges[:2] == ["bytes=0-", "bytes=99-"]
    archive = server.data / "clean_testset_wav.zip"
    assert archive.read_bytes() == server.archives["clean_testset_wav"]


def test_a_download_that_only_lacks_its_name_resumes(server):
    server.data.mkdir()
    part = server.data / "clean_testset_wav.zip.part"
    part.write_bytes(server.archives["clean_testset_wav"])
    download(server)
    assert (server.data / "clean_testset_wav").is_dir()
    assert not part.exists()


def test_a_server_without_ranges_is_read_from_the_start(server):
    server.knows_range = False
    server.data.mkdir()
    part = server.data / "clean_testset_wav.zip.part"
    part.write_bytes(server.archives["clean_testset_wav"][:100])
    download(server)
    assert (server.data / "clean_testset_wav").is_dir()


def test_a_web_page_does_not_overwrite_a_half_archive(server):
    server.knows_range, server.content_type = False, "text/html"
    server.data.mkdir()
    part = server.data / "clean_testset_wav.zip.part"
    part.write_bytes(b"half")
    with pytest.raises(ConnectionError, match="clean_testset_wav.zip"):
        download(server)
    assert part.read_bytes() == b"half"


def test_a_corrupt_archive_is_named_and_not_taken(server):
    content = bytearray(server.archives["noisy_testset_wav"])
    content[200] ^= 1
    server.archives["noisy_testset_wav"] = bytes(content)
    with pytest.raises(ValueError) as caught:
        download(server)
    for word in (
        "noisy_testset_wav.zip.part",
        server.md5s["noisy_testset_wav"],
    ):
        assert word in str(caught.value)
    assert names_in(server.data) == [
        "clean_testset_wav",
        "clean_testset_wav.zip",
        "noisy_testset_wav.zip.part",
    ]


def test_a_corrupt_archive_put_there_by_hand_is_named_and_kept(server):
    server.data.mkdir()
    archive = server.data / "clean_testset_wav.zip"
    archive.write_bytes(b"corrupt")
    with pytest.raises(ValueError, match=archive.name):
        download(server)
    assert names_in(server.data) == [archive.name]


def test_good_archives_need_no_network(server):
    server.data.mkdir()
    for name, content in server.archives.items():
        (server.data / f"{name}.zip").write_bytes(content)
    vb.download_voicebank(server.data, "http://127.0.0.1:9", server.md5s)
    assert not server.ranges
    assert all((server.data / name).is_dir() for name in vb.BITSTREAMS)


def test_speechbrains_folders_are_not_downloaded_again(server):
    make_corpus(server.data, SPEECHBRAIN)
    download(server)
    assert not server.ranges


def test_no_network_says_what_to_do_by_hand(tmp_path):
    with pytest.raises(ConnectionError, match="clean_testset_wav.zip.*by hand"):
        vb.download_voicebank(tmp_path, "http://127.0.0.1:9")


def test_an_interrupted_unpacking_leaves_no_half_folder(server, monkeypatch):
    def extract(self, member, path):
        if member.filename.startswith("__MACOSX"):
            raise KeyboardInterrupt
        return extract_one(self, member, path)

    extract_one = zipfile.ZipFile.extract
    monkeypatch.setattr(zipfile.ZipFile, "extract", extract)
    with pytest.raises(KeyboardInterrupt):
        download(server)
    assert names_in(server.data) == ["clean_testset_wav.zip"]
