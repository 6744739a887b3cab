"""Two processes on the CPU train one model."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from recipe_runs import log_lines, write_corpus

HERE = Path(__file__).parent


def test_two_ranks_draw_for_themselves_and_agree_in_the_end(tmp_path):
    corpus, run = write_corpus(tmp_path / "corpus"), tmp_path / "run"
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc_per_node=2", str(HERE / "ddp_worker.py")),
            *(str(tmp_path), str(corpus), str(run)),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"rank{r}.pt") for r in (0, 1))
    assert len(first["times"]) == len(second["times"]) == 2
    assert not torch.equal(
        torch.stack(first["times"]), torch.stack(second["times"])
    )
    for ours, theirs in zip(first["parameters"], second["parameters"]):
        assert torch.equal(ours, theirs)

    assert (first["written"], second["written"]) == (2 + 1, 0)
    assert len(log_lines(run)) == 3
    assert len(list((run / "enhanced").iterdir())) == 2
    assert len((run / "results.csv").read_text().splitlines()) == 1 + 2 * 3
    assert len(list((run / "save").glob("CKPT*"))) <= 2
