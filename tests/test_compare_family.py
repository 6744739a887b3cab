"""The command that trains and compares the small members, without training."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from conftest import ROOT
from recipe_runs import RECIPE, write_corpus

SCORES = {"pesq": {"mean": 2.0, "std": 0.5}, "si_sdr": {"mean": 9, "std": 1}}
ABOUT = {
    "scores": {"noisy": SCORES, "enhanced": SCORES},
    "parameters": 1234,
    "network_calls": {"guidance": 1, "net": 6},
}


class Machine:
    """Stands for train.py; leaves what it leaves, or fails where it is told."""

    def __init__(self, fails=()):
        self.fails = fails
        self.trained = []

    def __call__(self, command, **_):
        """One call of train.py."""
        options = dict(o[2:].partition("=")[::2] for o in command[3:])
        run = Path(options["output_folder"])
        self.trained.append(run.name)
        if run.name in self.fails:
            raise subprocess.CalledProcessError(1, command)
        assert (RECIPE / command[2]).is_file()
        if "start_from" in options:
            assert (Path(options["start_from"]) / "exported").is_dir()
        (run / "exported").mkdir(parents=True)
        (run / "exported" / "config.json").write_text(json.dumps(ABOUT))
        settings = {"enhancer": 0, "selection_metric": 0, "annotations": 0}
        settings |= {"data_folder": 0, "number_of_steps": 5}
        (run / "hyperparams.yaml").write_text(json.dumps(settings))


@pytest.fixture
def compare(tmp_path):
    """Runs the command with a machine; its exit status and its table."""
    corpus = write_corpus(tmp_path / "corpus")

    def run(machine, *arguments):
        argv = ["family.py", f"--data_folder={corpus}", "--steps=5"]
        argv += [f"--output_folder={tmp_path / 'out'}", *arguments]
        with (
            mock.patch.object(sys, "argv", argv),
            mock.patch.object(sys, "path", sys.path[:]),
            mock.patch.dict(os.environ),
            mock.patch.object(subprocess, "run", machine),
        ):
            script = runpy.run_path(str(ROOT / "benchmarks" / "family.py"))
            script["main"].__globals__["costs"] = lambda run: {
                "GMAC per second of audio": "7.11",
                "real-time factor": "0.321 (4 s of audio)",
            }
            status = script["main"]()
        return status, (tmp_path / "out" / "table.md").read_text()

    return run


def test_each_is_trained_once_and_after_the_one_it_starts_from(compare):
    machine = Machine()
    status, text = compare(machine, "--only", "crp_mini", "bbed_mini")
    assert status == 0
    assert machine.trained == ["bbed_mini", "crp_mini"]
    numbers = "2.00 ± 0.50 | 9.00 ± 1.00"
    costs = "1,234 | 1 guidance + 6 net | 7.11 | 0.321"
    assert text.splitlines()[3:] == [
        f"| crp_mini after bbed_mini | {numbers} | {costs} | 5 + 5 |",
        f"| bbed_mini | {numbers} | {costs} | 5 |",
    ]
    compare(machine, "--only", "bbed_mini", "predictive_mini")
    assert machine.trained[2:] == ["predictive_mini"]


def test_one_that_fails_is_left_out_and_goes_on_the_next_time(compare):
    members = "--only", "sgmse_mini", "predictive_mini"
    status, text = compare(Machine(fails=["sgmse_mini"]), *members)
    assert status == 1
    assert "sgmse_mini" not in text and "| predictive_mini |" in text
    machine = Machine()
    status, text = compare(machine, *members)
    assert machine.trained == ["sgmse_mini"] and status == 0
    assert "| sgmse_mini |" in text


def test_all_are_tested_on_the_same_few_pairs(compare, tmp_path):
    compare(Machine(), "--test_pairs=1", "--only", "predictive_mini")
    folder = tmp_path / "out" / "corpus"
    for split, count in {"train": 4, "valid": 2, "test": 1}.items():
        for kind in ("clean", "noisy"):
            files = list((folder / split / kind).iterdir())
            assert len(files) == count and all(f.is_file() for f in files)
    with pytest.raises(ValueError, match="corpus holds other pairs.*test_pair"):
        compare(Machine(), "--test_pairs=2", "--only", "predictive_mini")
