"""Two and three processes on the CPU train one model and share its test."""

import csv
import shutil
import subprocess
import sys

import pytest
import torch
from recipe_runs import ENVIRONMENT, HERE, log_lines, train, write_corpus

TESTED = [f"p232_{i:03d}" for i in range(1, 5)] + ["p257_001"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Four pairs for training, two for validation, five for the test."""
    folder = write_corpus(tmp_path_factory.mktemp("corpus"))
    for kind in ("clean", "noisy"):
        for name, source in zip(TESTED[1:4], ("p257", "p232", "p257")):
            wavs = folder / f"{kind}_testset_wav"
            shutil.copy(wavs / f"{source}_001.wav", wavs / f"{name}.wav")
    return folder


def torchrun(num_ranks, *args):
    """What the ranks of ddp_worker.py have written down."""
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *(f"--nproc_per_node={num_ranks}", str(HERE / "ddp_worker.py")),
            *map(str, args),
        ],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return [torch.load(args[0] / f"rank{r}.pt") for r in range(num_ranks)]


def scores(run):
    """Rows of ``results.csv``: (id, signal) and numbers."""
    with open(run / "results.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return [
        (name, signal, *map(float, numbers)) for name, signal, *numbers in rows
    ]


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_ranks_draw_for_themselves_agree_and_share_the_test(
    corpus, tmp_path, num_ranks
):
    run = tmp_path / "run"
    ranks = torchrun(num_ranks, tmp_path, corpus, run)
    first, *others = ranks
    times = [torch.stack(rank["times"]) for rank in ranks]
    assert len({len(t) for t in times}) == 1
    drawn = torch.stack(times).squeeze(-1)
    assert (drawn != drawn[0]).any() and len(drawn[0]) == 2 * (4 // num_ranks)
    for rank in others:
        assert all(map(torch.equal, rank["parameters"], first["parameters"]))
        assert rank["seconds"] == first["seconds"] > 0

    shards = [len(TESTED[r::num_ranks]) for r in range(num_ranks)]
    assert [rank["wavs"] for rank in ranks] == shards
    assert [rank["tables"] for rank in ranks] == [1] + [0] * len(others)
    assert len(log_lines(run)) == 3
    assert len(list((run / "enhanced").iterdir())) == len(TESTED)
    assert len(list((run / "save").glob("CKPT*"))) <= 2

    shared = scores(run)
    assert [row[0] for row in shared[::5]] == TESTED
    last = log_lines(run)[-1]
    train(corpus, run, "--test_only")
    for ours, alone in zip(shared, scores(run), strict=True):
        assert ours[:2] == alone[:2]
        assert ours[2:] == pytest.approx(alone[2:], abs=1e-6)
    assert log_lines(run)[-1] == last
