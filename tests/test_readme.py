"""The README does what it says: every block of code is run."""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path
from unittest import mock

import pytest
import soundfile
import torch
from conftest import ROOT
from recipe_runs import RECIPE, TINY, train, write_corpus

from galdse_brain.cli import main

BLOCKS = re.findall(
    r"```(bash|python)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
)
DATA = "/path/to/VoiceBank-DEMAND"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with everything that the README takes for granted."""
    from weights import official_checkpoint

    place = tmp_path_factory.mktemp("readme")
    corpus = place / "corpus"
    corpus.mkdir()
    write_corpus(corpus)
    train(corpus, place / "RUN")
    shutil.copytree(place / "RUN" / "exported", place / "MODEL")
    noisy = corpus / "noisy_testset_wav" / "p232_001.wav"
    (place / "recordings").mkdir()
    (place / "more").mkdir()
    for path in ("noisy.wav", "recordings/a.wav", "more/b.flac"):
        soundfile.write(place / path, *soundfile.read(noisy))
    for kind in ("clean", "noisy"):
        shutil.copytree(corpus / f"{kind}_testset_wav", place / "test" / kind)
    torch.save(official_checkpoint(), place / "epoch=700.ckpt")
    (place / "recipes").symlink_to(ROOT / "recipes")
    return place


class Shell:
    """The few commands of the README, in this process where that works."""

    def __init__(self, place, monkeypatch):
        self.place, self.monkeypatch = place, monkeypatch

    def run(self, line):
        """Run one line."""
        command, *words = shlex.split(line, comments=True)
        getattr(self, command)(words, line)

    def cd(self, words, line):
        """Change the folder."""
        self.monkeypatch.chdir(self.place / words[0])

    def make(self, words, line):
        """Whether there are such targets; the tests are run by one of them."""
        subprocess.run(["make", "-n", *words], check=True, cwd=ROOT)

    def pip(self, words, line):
        """Whether there are such extras."""
        extras = re.fullmatch(r"\.\[(.*)\]", words[-1])[1].split(",")
        assert set(extras) <= set(metadata("galdse").get_all("Provides-Extra"))

    def galdse(self, words, line):
        """The command; through a shell where it is redirected."""
        if "<" in words:
            python = shlex.quote(sys.executable)
            line = line.replace("galdse", f"{python} -m galdse_brain.cli", 1)
            subprocess.run(["bash", "-ec", line], check=True)
            return
        with pytest.raises(SystemExit) as done:
            main(words)
        assert not done.value.code

    def python(self, words, line):
        """A training, made tiny."""
        script, *options = words
        places = {DATA: "corpus", "RUN": "RUN"}
        options = [
            str(self.place / places[word]) if word in places else word
            for word in options
        ]
        tiny = {**TINY, "segment_samples": 8064}
        if {"--enhancer", "light"} & {*options}:  # One of full size
            del tiny["enhancer"]
        tiny["output_folder"] = self.place / Path(options[0]).stem
        options += [f"--{key}={value}" for key, value in tiny.items()]
        options.append("--debug")
        with (
            mock.patch.object(sys, "argv", [script, *options]),
            mock.patch.object(sys, "path", [str(RECIPE), *sys.path]),
            mock.patch.object(sys, "excepthook", sys.excepthook),
        ):
            runpy.run_path(script, run_name="__main__")


def test_every_block_of_the_readme_runs(place, monkeypatch):
    uploads = []
    monkeypatch.setattr(
        "huggingface_hub.create_repo", lambda name, **_: uploads.append(name)
    )
    monkeypatch.setattr(
        "huggingface_hub.upload_folder",
        lambda repo_id, folder_path, allow_patterns: uploads.append(
            Path(folder_path).name
        ),
    )
    names = {}
    for language, block in BLOCKS:
        monkeypatch.chdir(place)
        if language == "python":
            exec(block, names)
            continue
        shell = Shell(place, monkeypatch)
        for line in block.replace("\\\n", "").splitlines():
            shell.run(line)
    assert uploads == ["user/galdse", "MODEL_2"]
    for made in ("enhanced.wav", "enhanced/a.wav", "enhanced/b.flac"):
        assert (place / made).is_file()
    assert (place / "scores" / "report.html").is_file()
    assert names["stereo"].shape == (2, 44100)
    assert len(BLOCKS) > 8


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("*/*.md")), ids=str
)
def test_links_of_the_docs_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target
