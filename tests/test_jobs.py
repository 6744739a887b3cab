"""Many files: nothing is lost, nothing is replaced that was not meant."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import write

from galdse_brain import jobs
from galdse_brain.jobs import (
    Outcome,
    checked,
    planned,
    run_jobs,
    summary,
    write_outcomes,
)


@pytest.fixture
def five(tmp_path):
    """A folder with five files of 600 to 604 samples."""
    for i in range(5):
        write(tmp_path / "noisy" / f"{i}.wav", 600 + i)
    return tmp_path / "noisy"


def contents(folder):
    """Names of all files below a folder, hidden ones too."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file()
    )


def test_a_file_goes_to_a_file_or_into_a_folder(tmp_path):
    path = write(tmp_path / "a.wav")
    (tmp_path / "there.d").mkdir()
    for output, target in {
        "b.flac": "b.flac",
        "folder": "folder/a.wav",
        "there.d": "there.d/a.wav",
    }.items():
        found = planned([path], tmp_path / output)
        assert found == [(path, tmp_path / target)]


def test_a_folder_goes_into_a_folder_even_if_it_has_one_file(tmp_path):
    path = write(tmp_path / "in" / "sub" / "a.WAV")
    (tmp_path / "in" / "folder.wav").mkdir()
    (tmp_path / "in" / "notes.txt").touch()
    found = planned([tmp_path / "in"], tmp_path / "out.v2")
    assert found == [(path, tmp_path / "out.v2" / "sub" / "a.WAV")]


def test_patterns_are_filled_in_and_names_with_brackets_are_names(tmp_path):
    for name in ("a1.wav", "a2.wav", "b.wav", "x/a3.wav", "[a].wav"):
        write(tmp_path / name)

    def names(pattern):
        found = planned([str(tmp_path / pattern)], tmp_path / "out")
        return [source.name for source, _ in found]

    assert names("a*.wav") == ["a1.wav", "a2.wav"]
    assert names("**/a*.wav") == ["a1.wav", "a2.wav", "a3.wav"]
    assert names("[a].wav") == ["[a].wav"]
    with pytest.raises(FileNotFoundError, match=r"c\*.wav is no file, folder"):
        names("c*.wav")


def test_what_is_given_twice_is_done_once(five, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = [five, five / "1.wav", "noisy/../noisy/2.wav", "noisy/*.wav"]
    found = planned(inputs, tmp_path / "out")
    assert [target.name for _, target in found] == [
        f"{i}.wav" for i in range(5)
    ]


def test_two_inputs_of_one_name_are_both_named(tmp_path):
    one, two = write(tmp_path / "x/a.wav"), write(tmp_path / "y/a.wav")
    with pytest.raises(ValueError) as error:
        planned([one, two], tmp_path / "out")
    for path in (one, two, tmp_path / "out" / "a.wav"):
        assert str(path) in str(error.value)


@pytest.mark.parametrize("given, output", [("in/a.wav", "in"), ("in", "in")])
def test_an_input_is_never_its_own_output(tmp_path, given, output):
    write(tmp_path / "in" / "a.wav")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for folder in (tmp_path / output, tmp_path / "link"):
        with pytest.raises(ValueError, match="a.wav would be replaced"):
            planned([tmp_path / given], folder)
    with pytest.raises(ValueError, match="a.wav would be replaced"):
        planned([tmp_path / "in/a.wav"], tmp_path / "in" / "a.wav")


def test_outputs_inside_an_input_folder_are_no_inputs(five, unchanged):
    made = five / "enhanced"
    for overwrite in (False, True, True):
        run_jobs(unchanged, planned([five], made), overwrite, progress=False)
    names = [f"{i}.wav" for i in range(5)]
    assert contents(five) == sorted(names + [f"enhanced/{n}" for n in names])


def test_an_input_folder_may_be_inside_the_output_folder(five):
    found = planned([five], five.parent)
    assert len(found) == 5
    assert found[0] == (five / "0.wav", five.parent / "0.wav")


def test_a_folder_without_audio_is_an_error(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match="holds no audio file"):
        planned([tmp_path], tmp_path / "out")


def spoil(path):
    """A NaN in its middle."""
    noise = np.zeros(700)
    noise[650] = np.nan
    soundfile.write(path, noise, 16000, subtype="FLOAT")


@pytest.mark.parametrize(
    "breaks, reason",
    [
        (lambda path: path.write_text("text"), "2.wav is no audio file"),
        (lambda path: path.write_bytes(b""), "2.wav is no audio file"),
        (lambda path: path.unlink(), "2.wav is no file"),
        (spoil, "2.wav: sample 650 of channel 0 is nan"),
        (lambda path: write(path, 0), "2.wav has 0 samples"),
        (lambda path: write(path, 9, 4000), "2.wav has 4000 Hz"),
    ],
    ids=["text", "empty", "gone", "nan", "no samples", "rate"],
)
def test_a_failure_in_the_third_of_five_leaves_four(
    five, tmp_path, unchanged, breaks, reason
):
    todo = planned([five], tmp_path / "out")
    breaks(five / "2.wav")
    found = run_jobs(unchanged, todo, progress=False)
    assert [bool(one.error) for one in found] == [i == 2 for i in range(5)]
    assert reason in found[2].error
    assert contents(tmp_path / "out") == ["0.wav", "1.wav", "3.wav", "4.wav"]


def test_a_file_without_header_is_one_failure_of_many(tmp_path, unchanged):
    write(tmp_path / "a.wav")
    (tmp_path / "b.raw").write_bytes(b"\0" * 1000)
    paths = [tmp_path / "a.wav", tmp_path / "b.raw"]
    todo = [(path, tmp_path / "out" / path.name) for path in paths]
    for progress in (False, True):
        good, bad = run_jobs(unchanged, todo, True, progress)
        assert not good.error and "b.raw is no audio file" in bad.error


@pytest.mark.parametrize(
    "output",
    ["file/below", "/proc/below", "x" * 300],
    ids=["file", "proc", "x"],
)
def test_a_folder_that_cannot_be_written_fails_every_file(
    five, tmp_path, unchanged, output
):
    (tmp_path / "file").touch()
    found = run_jobs(
        unchanged, planned([five], tmp_path / output), progress=False
    )
    assert all(one.error for one in found) and len(found) == 5


def test_an_error_without_a_message_is_an_error(five, tmp_path, unchanged):
    def fail(*_, **__):
        raise RuntimeError

    unchanged.enhance_blocks = fail
    found = run_jobs(
        unchanged, planned([five], tmp_path / "out"), progress=False
    )
    assert all(one.error == "RuntimeError()" for one in found)


def test_what_is_there_stays_until_it_is_overwritten(five, tmp_path, unchanged):
    todo = planned([five], tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1.wav").write_text("precious")
    found = run_jobs(unchanged, todo, progress=False)
    assert [one.skipped for one in found] == [i == 1 for i in range(5)]
    assert (tmp_path / "out" / "1.wav").read_text() == "precious"
    found = run_jobs(unchanged, todo, overwrite=True, progress=False)
    assert not any(one.skipped or one.error for one in found)
    assert soundfile.info(tmp_path / "out" / "1.wav").frames == 601


class Stops:
    """Stands in for the bar and is interrupted in the middle of a file."""

    def __init__(self, *_, **__):
        self.updates = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def set_postfix_str(self, text):
        """Says which file it is."""

    def update(self, seconds):
        """The third block is one too many."""
        self.updates += 1
        if self.updates == 3:
            raise KeyboardInterrupt


def test_an_interrupted_run_leaves_whole_files_and_goes_on(
    five, tmp_path, unchanged, monkeypatch
):
    todo = planned([five], tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr(jobs, "tqdm", Stops)
        with pytest.raises(KeyboardInterrupt) as interrupt:
            run_jobs(unchanged, todo)
        assert interrupt.value.__traceback__  # Its frames are still alive.
        assert contents(tmp_path / "out") == ["0.wav", "1.wav"]
    found = run_jobs(unchanged, todo, progress=False)
    assert [one.skipped for one in found] == [True, True, False, False, False]
    assert contents(tmp_path / "out") == [f"{i}.wav" for i in range(5)]


def test_a_failing_model_leaves_no_half_file(five, tmp_path, unchanged):
    def blocks(source, **_):
        yield torch.zeros(1, 100)
        raise RuntimeError("out of memory")

    unchanged.enhance_blocks = blocks
    found = run_jobs(
        unchanged, planned([five], tmp_path / "out"), progress=False
    )
    assert {one.error for one in found} == {"out of memory"}
    assert contents(tmp_path / "out") == []


@pytest.mark.parametrize(
    "name, how",
    [
        ("a.wav", {"subtype": "PCM_24"}),
        ("a.wav", {"subtype": "FLOAT"}),
        ("a.wav", {"subtype": "PCM_24", "format": "WAVEX"}),
        ("a.wav", {"subtype": "ULAW"}),
        ("a.flac", {"subtype": "PCM_24"}),
        ("a.ogg", {}),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
        ("a.mp3", {}),
        ("ü n.aiff", {}),
    ],
)
def test_a_file_keeps_its_format_and_encoding(tmp_path, unchanged, name, how):
    path = write(tmp_path / name, 5000, 24000, **how)
    todo = planned([path], tmp_path / "out")
    (outcome,) = run_jobs(unchanged, todo, progress=False)
    assert not outcome.error
    ours, theirs = (soundfile.info(p) for p in (outcome.target, path))
    for key in ("format", "subtype", "samplerate", "channels", "frames"):
        assert getattr(ours, key) == getattr(theirs, key), key


def test_progress_is_measured_in_seconds_of_audio(
    five, tmp_path, unchanged, capsys
):
    todo = planned([five], tmp_path / "out")
    run_jobs(unchanged, todo[:2], progress=False)
    assert capsys.readouterr() == ("", "")
    run_jobs(unchanged, todo)
    out, err = capsys.readouterr()
    assert out == "" and "100%" in err and "0.2/0.2 s" in err
    assert "4.wav" in err and not re.search(r"\d\.\d\d", err)


def test_the_summary_counts_files_and_seconds():
    a, b = Path("a"), Path("b")
    found = [
        Outcome(a, b, 2.0),
        Outcome(a, b, 3.0),
        Outcome(a, b, skipped=True),
        Outcome(Path("bad.wav"), b, error="is bad"),
    ]
    first, last = summary(found, 0.0).split("\n")
    assert first == "failed: bad.wav: is bad"
    assert last.startswith("2 enhanced, 1 there already, 1 failed; 5.0 s of au")
    assert summary([], 0.0) == "0 enhanced, 0 there already, 0 failed"


def test_a_pipe_without_writer_is_refused_and_not_waited_for(
    tmp_path, unchanged
):
    os.mkfifo(tmp_path / "pipe.wav")
    todo = checked([(tmp_path / "pipe.wav", tmp_path / "out.wav")])
    (outcome,) = run_jobs(unchanged, todo, progress=False)
    assert "pipe.wav is no file" in outcome.error


def test_the_table_takes_names_that_are_no_text(tmp_path):
    name = Path(os.fsdecode(b"\xff.wav"))
    write_outcomes([Outcome(name, name, 1.0)], tmp_path / "new" / "a.csv")
    header, row = (tmp_path / "new" / "a.csv").read_bytes().splitlines()
    assert header == b"source,target,seconds,error,skipped"
    assert row == b"\xff.wav,\xff.wav,1.0,,False"
