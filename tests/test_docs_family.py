"""The example of docs/family.md is built, checked and trained as it stands."""

import importlib
import re
import shutil
import sys
from functools import partial

import pytest
import recipe_runs
import test_identities
import test_linear_sde
import torch
from conftest import PATHS, ROOT, SDES

from galdse_brain.samplers import deterministic, markov, renoise

PAGE = (ROOT / "docs" / "family.md").read_text(encoding="utf-8")


@pytest.fixture
def files():
    """Name of a file -> its text, from the blocks that begin with a name."""
    blocks = re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
    return dict(blocks)


@pytest.fixture
def member(files, tmp_path, monkeypatch):
    """The new member in a copy of the folders that it belongs to."""
    for folder in ("hparams", "recipes"):
        shutil.copytree(
            ROOT / folder,
            tmp_path / folder,
            ignore=shutil.ignore_patterns("results", "__pycache__"),
        )
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "brownian", raising=False)
    path = partial(importlib.import_module("brownian").Brownian, 0.5)
    monkeypatch.setitem(SDES, "brownian", path)
    monkeypatch.setitem(PATHS, "brownian", path)
    here = tmp_path / "recipes" / "VoicebankDEMAND" / "galdse"
    monkeypatch.setattr(recipe_runs, "RECIPE", here)
    return "brownian"


def test_the_example_has_thirty_lines(files):
    lines = [line for text in files.values() for line in text.splitlines()]
    assert len(files) == 3
    assert len([line for line in lines if line]) <= 30


def test_the_example_obeys_the_identities(member):
    test_linear_sde.test_closed_forms_solve_the_equations_of_the_sde(member)
    for keep in (markov, deterministic, renoise):
        test_identities.test_a_step_from_the_marginal_has_the_earlier_marginal(
            member, keep
        )
        test_identities.test_an_oracle_is_returned_exactly_after_that_many_calls(
            member, keep, 3
        )


def test_the_example_trains(member, tmp_path):
    variables = recipe_runs.train(
        recipe_runs.write_corpus(tmp_path / "corpus"),
        tmp_path / "run",
        "--debug",
        recipe=member,
        enhancer="{bridge: {channels: 8}}",
    )
    system = variables["brain"].system
    assert type(system.path).__name__ == "Brownian"
    assert system.enhance(torch.randn(1, 2, 256, 8)).isfinite().all()


def test_every_enhancer_stands_in_the_table():
    for path in (ROOT / "hparams").glob("*.yaml"):
        assert f"`{path.stem}`" in PAGE
