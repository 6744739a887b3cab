"""Runs of the examples, in this process, on a corpus of seconds."""

import json
import runpy
import sys
from unittest import mock

from conftest import ROOT
from recipe_runs import write_corpus

EXAMPLES = ROOT / "examples"


def run(script, *arguments):
    """Run a script in this process; gives its variables."""
    argv = [str(script), *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "excepthook", sys.excepthook),
    ):
        return runpy.run_path(str(script), run_name="__main__")


def filled(example, exported):
    """Text of an example's YAML with the path of the exported folder."""
    text = (EXAMPLES / example).read_text()
    return text.replace("/path/to/exported", str(exported))


def write_spoken_corpus(folder):
    """One-second pairs and their words; three, two batches, to train on."""
    folder = write_corpus(folder)
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
