"""The command: what it makes, what it says, and how it ends."""

import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from conftest import ROOT, write
from signals import noisy_pair

from galdse_brain import cli, enhancing
from galdse_brain.cli import main
from galdse_brain.metrics import si_sdr


@pytest.fixture
def galdse(capsysbinary):
    """Runs a command: its exit code, and what it printed as bytes and text."""

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        out, err = capsysbinary.readouterr()
        assert b"Traceback" not in err
        return SimpleNamespace(
            code=end.value.code or 0, out=out, err=err.decode()
        )

    return run


@pytest.fixture
def enhance(galdse, exported):
    """Runs ``galdse enhance`` with the tiny model and one step."""

    def run(*words):
        return galdse("enhance", "--model", exported, "--steps", "1", *words)

    return run


def names(folder):
    """Names of all files below a folder, hidden ones too."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file()
    )


def samples(path):
    """float32 samples of a file."""
    return soundfile.read(path, dtype="float32")[0]


def test_files_folders_and_patterns_in_one_call(enhance, tmp_path):
    write(tmp_path / "a.wav", 300)
    write(tmp_path / "folder" / "sub" / "b.flac", 301)
    write(tmp_path / "p1.wav", 302, 8000)
    out = tmp_path / "out"
    inputs = [tmp_path / "a.wav", tmp_path / "folder", tmp_path / "p?.wav"]
    done = enhance(*inputs, "-o", out)
    assert done.code == 0 and done.out == b""
    assert "3 enhanced, 0 there already, 0 failed" in done.err
    assert "real-time factor" in done.err
    assert names(out) == ["a.wav", "p1.wav", "sub/b.flac"]
    assert soundfile.info(out / "p1.wav").samplerate == 8000
    assert len(samples(out / "sub" / "b.flac")) == 301


def test_the_options_of_the_model_reach_it(enhance, exported, tiny, tmp_path):
    path = write(tmp_path / "a.wav", 900, subtype="FLOAT")
    for i, (words, options) in enumerate(
        [
            ((), {}),
            (("--steps", 2), {"num_steps": 2}),
            (("--seed", 5), {"seed": 5}),
            (("--mix", 0.5), {"mix": 0.5}),
        ]
    ):
        made = tmp_path / f"{i}.wav"
        assert enhance(path, "-o", made, *words).code == 0
        options = {"num_steps": 1, **options}
        assert np.array_equal(samples(made), tiny.enhance_file(path, **options))


def test_the_pieces_can_be_chosen(exported):
    def pieces(*words):
        args = cli.parser().parse_args(
            ["enhance", "a", "-o", "b", "--model", str(exported), *words]
        )
        return enhancing.loader(args)().mods.enhance_model.pieces

    found = pieces("--chunk-seconds", "2", "--batch-size", "3")
    assert found.at_once == 3
    assert 32000 <= found.num_samples < 32000 + 8 * 128
    assert 0 < found.overlap <= found.num_samples // 2
    assert found.num_samples % 128 == found.overlap % 128 == 0
    assert pieces("--chunk-seconds", "0.1").checked()
    assert pieces() == pieces("--batch-size", "1")


def test_a_model_marks_the_metrics_that_it_was_trained_on(
    galdse, exported, tmp_path, monkeypatch
):
    monkeypatch.setattr(cli, "all_metrics", lambda: {"si_sdr": si_sdr})
    folder = shutil.copytree(exported, tmp_path / "model")
    about = json.loads((folder / "config.json").read_text())
    about["losses"] = ["spec_mse", "neg_si_snr"]
    (folder / "config.json").write_text(json.dumps(about))
    for name, wav in zip(("clean", "enhanced"), noisy_pair()):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "p1_0.wav", wav.numpy(), 16000)
    folders = "--clean", tmp_path / "clean", "--enhanced", tmp_path / "enhanced"
    words = "evaluate", *folders, "-o", tmp_path, "--jobs", 0
    done = galdse(*words, "--model", folder)
    assert "| SI-SDR, dB † |" in done.out.decode()
    assert "warning: no --noisy" in done.err
    report = (tmp_path / "report.md").read_text()
    for fact in ("weights: SHA-256 ", "network calls: 1 guidance + 6 net"):
        assert f"- {fact}" in report
    galdse(*words)
    assert "†" not in (tmp_path / "report.md").read_text()


def test_two_folders_of_speech_are_scored_and_compared(
    galdse, tmp_path, monkeypatch
):
    monkeypatch.setattr(cli, "all_metrics", lambda: {"si_sdr": si_sdr})
    clean, noisy = noisy_pair()
    for name, share in {"clean": 0, "noisy": 1, "a": 0.5, "b": 0.25}.items():
        (tmp_path / name).mkdir()
        wav = clean + share * (noisy - clean)
        for i in range(2):
            path = tmp_path / name / f"p1_{i}.wav"
            soundfile.write(path, wav.numpy(), 16000, subtype="FLOAT")
    folders = "--clean", tmp_path / "clean", "--noisy", tmp_path / "noisy"
    for name in "ab":
        out = tmp_path / f"report_{name}"
        words = "--enhanced", tmp_path / name, "-o", out, "--jobs", 0
        done = galdse("evaluate", *folders, *words)
        assert done.code == 0 and "100%" in done.err
        assert "| SI-SDR, dB |" in done.out.decode()
        assert str(out / "report.html") in done.err
        made = ["report.html", "report.md", "results.csv"]
        assert names(out) == made
    done = galdse("compare", tmp_path / "report_a", out / "results.csv")
    # Half the noise is 6.02 dB less.
    assert done.code == 0 and "+6.02" in done.out.decode()
    assert "100%" in done.out.decode()
    (tmp_path / "b" / "p1_1.wav").unlink()
    done = galdse("evaluate", *folders, "--enhanced", tmp_path / "b")
    assert done.code == 1 and "lacks 'p1_1'" in done.err and not done.out
    assert galdse("compare", tmp_path / "b", out).code == 1


def test_half_precision_is_another_number(enhance, tmp_path):
    path = write(tmp_path / "a.wav", 900, subtype="FLOAT")
    for precision in ("fp32", "bf16"):
        out = tmp_path / f"{precision}.wav"
        assert enhance(path, "-o", out, "--precision", precision).code == 0
    full, half = (samples(tmp_path / f"{p}.wav") for p in ("fp32", "bf16"))
    assert 0 < np.linalg.norm(full - half) < 0.2 * np.linalg.norm(full)


def test_a_failed_file_is_named_and_the_others_are_done(enhance, tmp_path):
    for i in range(5):
        write(tmp_path / "in" / f"{i}.wav", 200)
    (tmp_path / "in" / "2.wav").write_text("It is a text.")
    done = enhance(tmp_path / "in", "-o", tmp_path / "out")
    assert (
        done.code == 1 and "4 enhanced, 0 there already, 1 failed" in done.err
    )
    assert f"failed: {tmp_path}/in/2.wav: " in done.err
    assert names(tmp_path / "out") == ["0.wav", "1.wav", "3.wav", "4.wav"]
    write(tmp_path / "in" / "2.wav", 200)
    done = enhance(tmp_path / "in", "-o", tmp_path / "out")
    assert done.code == 0 and "1 enhanced, 4 there already" in done.err


def test_if_no_file_can_be_read_the_reasons_are_said(enhance, tmp_path):
    (tmp_path / "a.wav").write_text("It is a text.")
    done = enhance(tmp_path / "a.wav", "-o", tmp_path / "out")
    assert done.code == 1 and "a.wav is no audio file" in done.err


def test_overwriting_must_be_asked_for(enhance, tmp_path):
    path, made = write(tmp_path / "a.wav"), tmp_path / "b.wav"
    made.write_text("precious")
    done = enhance(path, "-o", made)
    assert done.code == 0 and "1 there already" in done.err
    assert made.read_text() == "precious"
    assert enhance(path, "-o", made, "--overwrite").code == 0
    assert len(samples(made)) == 600


@pytest.mark.parametrize(
    "inputs, wrong",
    [
        (["nothing.wav"], "nothing.wav is no file, folder or pattern"),
        (["a.wav", "nothing*.wav"], r"nothing*.wav is no file, folder or pat"),
        (["empty"], "empty holds no audio file"),
        (["x/a.wav", "a.wav"], "x/a.wav and a.wav would both become out/a.wav"),
        (["out/a.wav"], "out/a.wav would be replaced"),
    ],
)
def test_inputs_that_make_no_sense_are_one_line(
    enhance, tmp_path, monkeypatch, inputs, wrong
):
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "x/a.wav", "out/a.wav"):
        write(Path(name))
    Path("empty").mkdir()
    done = enhance(*inputs, "-o", "out", "--overwrite")
    assert done.code == 1 and done.out == b""
    assert done.err.startswith(f"galdse: {wrong}")
    assert len(done.err.splitlines()) == 1
    assert names(Path("out")) == ["a.wav"]


@pytest.mark.parametrize(
    "words, wrong",
    [
        ([], "give either IN or --manifest"),
        (["a.wav", "--manifest", "m.json"], "give either IN or --manifest"),
        (["-", "a.wav"], "- takes one IN"),
        (["-", "--plot"], "no --plot"),
        (["-", "--engine=ray"], "no --plot, --table or --engine ray"),
        (["a.wav", "--workers=2"], "--workers is for --engine ray"),
        (["a.wav", "--mix", "1.5"], "--mix: 1.5 is not 0 to 1"),
        (["a.wav", "--mix", "nan"], "--mix: nan is not 0 to 1"),
        (["a.wav", "--seed", "-1"], "--seed: -1 is not at least 0"),
        (["a.wav", "--steps", "-1"], "--steps: -1 is not at least 0"),
        (["a.wav", "--steps", "many"], "--steps: invalid steps value: 'many'"),
        (["a.wav", "--batch-size", "0"], "--batch-size: 0 is not at least 1"),
        (["a.wav", "--chunk-seconds", "0"], "0 is not 0.1 to 3600"),
        (["a.wav", "--chunk-seconds", "inf"], "inf is not 0.1 to 3600"),
        (["a.wav", "--precision", "fp8"], "invalid choice: 'fp8'"),
        (["a.wav", "--device", "abacus"], "--device: abacus: "),
        (["a.wav", "--colour", "red"], "unrecognized arguments: --colour"),
    ],
)
def test_misuse_ends_with_two_before_anything_is_loaded(galdse, words, wrong):
    done = galdse("enhance", "--model", "nothing", "-o", "out", *words)
    assert done.code == 2 and done.out == b""
    assert wrong in done.err and "usage: galdse" in done.err


def test_a_command_must_be_given(galdse):
    assert galdse().code == 2
    assert galdse("dance").code == 2
    assert b"enhance" in galdse("--help").out


def test_too_many_steps_are_a_failure_that_says_how_many(enhance, tmp_path):
    done = enhance(
        write(tmp_path / "a.wav"), "-o", tmp_path / "out", "--steps", "7"
    )
    assert done.code == 1 and "ResidualShift must be 1 to 6" in done.err


def feed(monkeypatch, content):
    """Put bytes into standard input."""
    stdin = SimpleNamespace(buffer=io.BytesIO(content))
    monkeypatch.setattr(sys, "stdin", stdin)


def wav_of_unknown_length(wav):
    """What a program writes that does not know how long its output gets."""
    unknown = 0xFFFFFFFF
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", unknown, b"WAVE"),
        *(b"fmt ", 16, 1, 1, 16000, 32000, 2, 16),
        *(b"data", unknown),
    )
    return header + (wav * 2.0**15).astype("<i2").tobytes()


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_from_standard_input_to_standard_output(
    enhance, tiny, tmp_path, monkeypatch, known
):
    path = write(tmp_path / "a.wav", 700)
    content = path.read_bytes()
    if not known:
        content = wav_of_unknown_length(samples(path))
    feed(monkeypatch, content)
    done = enhance("-", "-o", "-")
    assert done.code == 0 and "1 enhanced, 0 there already" in done.err
    found, rate = soundfile.read(io.BytesIO(done.out), dtype="float32")
    assert rate == 16000 and len(found) == 700
    expected = tiny.enhance_file(path, num_steps=1).clamp(-1, 1)
    np.testing.assert_allclose(found, expected, atol=2.0**-15)


def test_standard_output_keeps_the_encoding(enhance, tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", 700, 44100, subtype="FLOAT")
    feed(monkeypatch, path.read_bytes())
    streamed = enhance("-", "-o", "-")
    from_file = enhance(path, "-o", "-")
    # libsndfile notes the time of writing before the samples.
    assert streamed.out[-4 * 700 :] == from_file.out[-4 * 700 :]
    with soundfile.SoundFile(io.BytesIO(streamed.out)) as file:
        assert (file.format, file.subtype) == ("WAV", "FLOAT")
    assert enhance(path, "-o", tmp_path / "b.wav").code == 0
    ours, _ = soundfile.read(io.BytesIO(streamed.out), dtype="float32")
    assert np.array_equal(ours, samples(tmp_path / "b.wav"))


def test_standard_input_goes_to_a_file_that_is_not_there(
    enhance, tmp_path, monkeypatch
):
    content = write(tmp_path / "a.wav", 300).read_bytes()
    made = tmp_path / "new" / "b.flac"
    feed(monkeypatch, content)
    assert enhance("-", "-o", made).code == 0
    before = made.read_bytes()
    assert soundfile.info(made).frames == 300
    feed(monkeypatch, content)
    done = enhance("-", "-o", made)
    assert done.code == 1 and "b.flac is there already" in done.err
    assert made.read_bytes() == before
    assert enhance("-", "-o", made, "--overwrite", "--mix", "1").code == 0
    assert made.read_bytes() != before


@pytest.mark.parametrize("content", [b"", b"It is a text." * 9])
def test_standard_input_that_is_no_audio(enhance, monkeypatch, content):
    feed(monkeypatch, content)
    done = enhance("-", "-o", "-")
    assert done.code == 1 and done.out == b""
    assert done.err.startswith("galdse: standard input is no audio file")


def test_a_format_that_cannot_hold_standard_input(
    enhance, tmp_path, monkeypatch
):
    feed(monkeypatch, write(tmp_path / "a.wav", 300, 44100).read_bytes())
    done = enhance("-", "-o", tmp_path / "b.opus")
    assert done.code == 1 and "b.opus cannot be written" in done.err
    assert names(tmp_path) == ["a.wav"]


def test_no_standard_input_is_said(enhance, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    assert "standard input is closed" in enhance("-", "-o", "-").err


def test_a_glob_that_finds_what_was_made_goes_on(
    enhance, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "x" / "a.wav")
    for count in ("1 enhanced, 0 there", "0 enhanced, 1 there"):
        done = enhance("**/*.wav", "-o", "out")
        assert done.code == 0 and count in done.err
    assert "an empty name" in enhance("", "-o", "out").err


def test_a_picture_that_cannot_be_is_one_failure_of_many(enhance, tmp_path):
    pytest.importorskip("matplotlib")
    write(tmp_path / "in" / "ü.wav")
    write(tmp_path / "in" / f"{'n' * 250}.wav")  # No room for .png
    words = [tmp_path / "in", "-o", tmp_path / "out", "--plot", "--table"]
    done = enhance(*words, tmp_path / "table.csv")
    assert done.code == 1 and "no picture: " in done.err
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 and lines[2].count("ü.wav") == 2
    picture = tmp_path / "out" / "ü.wav.png"
    picture.unlink()
    enhance(*words, tmp_path / "table.csv")
    assert picture.is_file()


def test_a_folder_in_the_place_of_an_output_is_a_failure(enhance, tmp_path):
    path = write(tmp_path / "a.wav")
    (tmp_path / "out" / "a.wav").mkdir(parents=True)
    done = enhance(path, "-o", tmp_path / "out")
    assert done.code == 1 and "1 failed" in done.err
    assert names(tmp_path) == ["a.wav"]


def test_a_file_that_is_no_manifest_of_ours_is_not_replaced(enhance, tmp_path):
    path = manifest(tmp_path, {"x": {"noisy_wav": "/no/thing.wav"}})
    made = tmp_path / "out" / "m.json"
    made.parent.mkdir()
    made.write_text("precious")
    done = enhance("--manifest", path, "-o", made.parent)
    assert done.code == 1 and "m.json is there already" in done.err
    assert made.read_text() == "precious"
    enhance("--manifest", path, "-o", made.parent, "--overwrite")
    assert json.loads(made.read_text()) == {}


def test_an_interrupt_is_said_in_one_line(enhance, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(enhancing, "run_jobs", interrupted)
    done = enhance(write(tmp_path / "a.wav"), "-o", tmp_path / "out")
    assert done.code == 130 and "interrupted" in done.err


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_leaves_no_half_file(
    exported, tmp_path, end
):
    write(tmp_path / "hour.wav", 3600 * 16000)
    process = subprocess.Popen(
        [sys.executable, "-m", "galdse_brain.cli", "enhance", "--model"]
        + [exported, tmp_path / "hour.wav", "-o", tmp_path / "out.wav"],
        stderr=subprocess.PIPE,
        # Under nohup it would be ignored, as it should.
        preexec_fn=lambda: signal.signal(end, signal.SIG_DFL),
    )
    while not list(tmp_path.glob(".galdse-*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(end)
    assert "interrupted" in process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130
    assert names(tmp_path) == ["hour.wav"]


def test_a_picture_is_beside_every_file_that_was_made(enhance, tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("a.wav", "a.flac", "b.wav"):
        write(tmp_path / "in" / name, 300, 22050)
    (tmp_path / "in" / "b.wav").write_text("It is a text.")
    out = tmp_path / "out"
    assert enhance(tmp_path / "in", "-o", out, "--plot").code == 1
    expected = ["a.flac", "a.flac.png", "a.wav", "a.wav.png"]
    assert names(out) == expected
    assert (out / "a.wav.png").read_bytes().startswith(b"\x89PNG")


def test_a_missing_plotter_is_said_before_the_work(
    enhance, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "galdse_brain.pictures", raising=False)
    done = enhance(write(tmp_path / "a.wav"), "-o", tmp_path / "out", "--plot")
    assert done.code == 1 and "matplotlib" in done.err
    assert names(tmp_path) == ["a.wav"]


def manifest(folder, entries):
    """Write a manifest with the recordings below ``{data_root}``."""
    (folder / "m.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder / "m.json"


def test_a_manifest_gets_the_enhanced_files(enhance, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / 'a "root" ü'
    for name in ("one.wav", "two.flac"):
        write(root / name, 300)
    entries = {
        "x": {"noisy_wav": "{data_root}/one.wav", "wrd": "Grüß"},
        "y": {"noisy_wav": "{data_root}/two.flac"},
        "z": {"noisy_wav": "{data_root}/gone.wav"},
    }
    path = manifest(tmp_path, entries)
    done = enhance("--manifest", path, "--data-root", root, "-o", "out")
    assert done.code == 1 and "gone.wav is no file" in done.err
    made = json.loads((tmp_path / "out" / "m.json").read_text("utf-8"))
    assert list(made) == ["x", "y"] and made["x"]["wrd"] == "Grüß"
    for name, entry in made.items():
        assert entry["enh_wav"] == str(tmp_path / "out" / f"{name}.wav")
        assert soundfile.info(entry["enh_wav"]).frames == 300
        assert Path(entry["noisy_wav"]).is_file()
    assert json.loads(path.read_text("utf-8")) == entries


def test_a_manifest_of_nothing_but_failures(enhance, tmp_path):
    path = manifest(tmp_path, {"x": {"noisy_wav": "/no/thing.wav"}})
    done = enhance("--manifest", path, "-o", tmp_path / "out")
    assert done.code == 1 and "0 enhanced, 0 there already, 1 fa" in done.err
    assert json.loads((tmp_path / "out" / "m.json").read_text()) == {}


@pytest.mark.parametrize(
    "text, wrong",
    [
        ("", "m.json is no manifest: "),
        ("[1, 2]", "m.json is no manifest: "),
        ('{"x": 3}', "m.json: x has no noisy_wav"),
        ('{"x": ["noisy_wav"]}', "m.json: x has no noisy_wav"),
        ('{"x": {"noisy_wav": 5}}', "m.json: x has no noisy_wav"),
        ('{"x": {"noisy_wav": ""}}', "m.json: x has no noisy_wav"),
        ('{"../x": {"noisy_wav": "x.wav"}}', "'../x' is no id for a file in"),
        ('{"x": {"wav": "a.wav"}}', "m.json: x has no noisy_wav"),
    ],
)
def test_a_manifest_that_is_none_is_named(enhance, tmp_path, text, wrong):
    (tmp_path / "m.json").write_text(text)
    out = tmp_path / "out"
    done = enhance("--manifest", tmp_path / "m.json", "-o", out)
    assert done.code == 1 and wrong in done.err and not out.exists()


def test_neither_the_manifest_nor_its_recordings_are_replaced(
    enhance, tmp_path
):
    noisy = write(tmp_path / "in" / "x.wav")
    path = manifest(tmp_path, {"x": {"noisy_wav": str(noisy)}})
    for out in (tmp_path, tmp_path / "in"):
        done = enhance("--manifest", path, "-o", out, "--overwrite")
        assert done.code == 1 and "would be replaced" in done.err
    assert names(tmp_path) == ["in/x.wav", "m.json"]


def broken(exported, tmp_path, name, content):
    """The model with one file replaced."""
    folder = tmp_path / "broken"
    shutil.copytree(exported, folder)
    (folder / name).write_bytes(content)
    return folder


BROKEN = {
    "yaml": ("hyperparams.yaml", b"a: [1, 2\nb: }", "Error"),
    "two keys": ("hyperparams.yaml", b"a: 1\na: 2\n", "DuplicateKey"),
    "reference": ("hyperparams.yaml", b"a: !ref <b>\n", "cannot be loaded"),
    "no model": ("hyperparams.yaml", b"a: 1\n", "cannot be loaded: "),
    "no class": ("hyperparams.yaml", b"a: !new:no.such.Class\n", "no.such"),
    "arguments": (
        "hyperparams.yaml",
        b"a: !new:torch.nn.Linear\n  colour: red\n",
        "colour",
    ),
    "text": ("enhance_model.ckpt", b"It is a text.", "cannot be loaded"),
    "empty": ("enhance_model.ckpt", b"", "cannot be loaded"),
}


@pytest.mark.parametrize("name, content, wrong", BROKEN.values(), ids=BROKEN)
def test_a_broken_model_is_named_without_a_traceback(
    galdse, exported, tmp_path, name, content, wrong
):
    folder = broken(exported, tmp_path, name, content)
    path = write(tmp_path / "a.wav")
    done = galdse("enhance", "--model", folder, path, "-o", tmp_path / "out")
    assert done.code == 1
    assert f"galdse: {folder} cannot be loaded" in done.err
    assert wrong in done.err


@pytest.mark.parametrize("name", ["hyperparams.yaml", "enhance_model.ckpt"])
def test_an_incomplete_model_is_named(galdse, exported, tmp_path, name):
    folder = broken(exported, tmp_path, name, b"")
    (folder / name).unlink()
    path = write(tmp_path / "a.wav")
    done = galdse("enhance", "--model", folder, path, "-o", tmp_path / "out")
    stem, _, _ = name.partition(".")
    assert done.code == 1 and f"{folder} has no {stem}." in done.err


def test_a_missing_model_is_said_after_missing_inputs(galdse, tmp_path):
    path = write(tmp_path / "a.wav")
    words = ["enhance", "--model", "no-model", "-o", tmp_path / "out"]
    assert "no-model is no folder" in galdse(*words, path).err
    assert "nothing.wav is no file" in galdse(*words, "nothing.wav").err


def test_info_prints_what_is_known_of_a_model(galdse, exported, tmp_path):
    done = galdse("info", exported)
    assert done.code == 0 and done.err == ""
    about = json.loads(done.out)
    assert about["speechbrain_interface"] == "GALDSEEnhancement"
    for folder, wrong in ((tmp_path, "no config"), ("no-model", "no folder")):
        done = galdse("info", folder)
        assert done.code == 1 and wrong in done.err and done.out == b""


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04text"])
def test_a_checkpoint_that_is_none_cannot_be_converted(
    galdse, tmp_path, content
):
    (tmp_path / "bad.ckpt").write_bytes(content)
    noisy = write(tmp_path / "a.wav")
    words = ["convert", tmp_path / "bad.ckpt", tmp_path / "out"]
    done = galdse(*words, "--example", noisy)
    assert done.code == 1 and done.err.startswith("galdse: ")
    assert names(tmp_path) == ["a.wav", "bad.ckpt"]


@pytest.mark.parametrize("yaml", [None, "a: 1\n"])
def test_a_folder_that_is_no_run_cannot_be_exported(galdse, tmp_path, yaml):
    if yaml:
        (tmp_path / "hyperparams.yaml").write_text(yaml)
    done = galdse("export", tmp_path, tmp_path / "out")
    assert done.code == 1 and "hyperparams.yaml" in done.err
    assert not (tmp_path / "out").exists()


def test_the_installed_command_prints_audio_alone(exported, tmp_path):
    command = Path(sysconfig.get_path("scripts")) / "galdse"
    if not command.is_file():
        pytest.skip("galdse is not installed")
    path = write(tmp_path / "a.wav", 400)
    words = ["enhance", "--model", exported, "--steps", "1", "-", "-o", "-"]
    done = subprocess.run(
        [command, *words],
        input=wav_of_unknown_length(samples(path)),
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.startswith(b"RIFF")
    assert soundfile.info(io.BytesIO(done.stdout)).frames == 400
    assert b"Traceback" not in done.stderr
