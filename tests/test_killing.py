"""A training may be killed at any moment."""

import subprocess
import sys

import pytest
import torch
from recipe_runs import ENVIRONMENT, HERE, log_lines, write_corpus
from speechbrain.utils.checkpoints import Checkpointer
from torch import nn

from galdse_brain.checkpoints import WholeCheckpointer


def latest(run):
    """All that the last checkpoint of a run holds."""
    checkpoint = Checkpointer(run / "save").find_checkpoint()
    return {
        name: torch.load(checkpoint.paramfiles[name], weights_only=True)
        for name in ("system", "ema", "optimizer")
    }


def test_a_training_that_is_killed_ten_times_ends_as_if_it_was_not(tmp_path):
    corpus = write_corpus(tmp_path / "corpus")
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    finished = subprocess.run(
        [
            *(sys.executable, str(HERE / "kill_worker.py"), str(corpus)),
            *(str(straight), str(killed)),
        ],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    codes = [int(code) for code in finished.stdout.splitlines()[-1].split()]
    assert codes[0] == codes[-1] == 0, finished.stderr[-3000:]
    assert set(codes) == {0, -9, -15}, (codes, finished.stderr[-3000:])
    assert codes[1] and len(codes) - codes.count(0) == 10
    assert "steps: 8" in log_lines(straight)[-2]
    # A life that ended by itself has said so twice.
    said = list(dict.fromkeys(log_lines(killed)))
    assert said[-2:] == log_lines(straight)[-2:]
    torch.testing.assert_close(latest(killed), latest(straight), atol=0, rtol=0)


@pytest.mark.parametrize("files", [0, 1, 2])
def test_a_checkpoint_that_is_not_whole_is_none(tmp_path, files):
    parts = {name: nn.Linear(1, 1) for name in "abc"}
    checkpointer = WholeCheckpointer(tmp_path, parts)
    first = checkpointer.save_checkpoint(meta={"pesq": 1.0})
    weights = {k: v.clone() for k, v in parts["c"].state_dict().items()}

    def killed(part, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    checkpointer.custom_save_hooks["abc"[files]] = killed
    for part in parts.values():
        nn.init.zeros_(part.weight)
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save_and_keep_only(meta={"pesq": 9.0}, max_keys=["pesq"])
    checkpointer.custom_save_hooks.clear()
    assert checkpointer.list_checkpoints() == [first]
    assert checkpointer.recover_if_possible(max_key="pesq") == first
    torch.testing.assert_close(parts["c"].state_dict(), weights)
    checkpointer.save_and_keep_only(meta={"pesq": 2.0}, max_keys=["pesq"])
    assert len(list(tmp_path.iterdir())) == 1


def test_checkpoints_of_the_same_second_have_names_of_their_own(tmp_path):
    checkpointer = WholeCheckpointer(tmp_path, {"a": nn.Linear(1, 1)})
    saved = [checkpointer.save_checkpoint() for _ in range(3)]
    assert len({checkpoint.path for checkpoint in saved}) == 3
    for checkpoint in saved:
        assert checkpoint in checkpointer.list_checkpoints()
