"""Two processes of torchrun share the files of one command."""

import json
import subprocess
import sys

import soundfile
import torch
from recipe_runs import ENVIRONMENT

from galdse_brain.cli import main


def torchrun(*words):
    """Run ``galdse`` in two processes."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc_per_node=2", "-m", "galdse_brain.cli"),
            *map(str, words),
        ],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_a_manifest_is_shared_and_written_whole(exported, tmp_path):
    entries = {"broken": {"noisy_wav": str(tmp_path / "nothing.wav")}}
    for i in range(5):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, 0.1 * torch.randn(600 + i).numpy(), 16000)
        entries[f"id{i}"] = {"noisy_wav": str(path), "words": "A"}
    manifest = tmp_path / "train.json"
    manifest.write_text(json.dumps(entries))
    words = [f"--model={exported}", "--steps=1", f"--manifest={manifest}"]

    ended = torchrun("enhance", *words, f"-o{tmp_path / 'two'}")
    assert ended.returncode != 0, ended.stderr
    assert ended.stderr.count("5 enhanced, 0 there already, 1 failed") == 1
    try:
        main(["enhance", *words, f"-o{tmp_path / 'one'}"])
    except SystemExit as alone:
        assert alone.code == 1
    two, one = (
        json.loads((tmp_path / name / "train.json").read_text())
        for name in ("two", "one")
    )
    assert list(two) == list(one) == [f"id{i}" for i in range(5)]
    for name, entry in two.items():
        ours, theirs = (
            soundfile.read(found["enh_wav"])[0] for found in (entry, one[name])
        )
        assert (ours == theirs).all()

    del entries["broken"]
    manifest.write_text(json.dumps(entries))
    again = torchrun("enhance", *words, f"-o{tmp_path / 'two'}")
    assert again.returncode == 0, again.stderr
    assert "0 enhanced, 5 there already, 0 failed" in again.stderr
