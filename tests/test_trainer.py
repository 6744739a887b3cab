"""Budget, steps that are left out, and a device that is never awaited."""

import math
import os
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import count
from unittest import mock

import pytest
import torch
from recipe_runs import ENVIRONMENT, TINY, log_lines, train, write_corpus
from torch.optim.swa_utils import AveragedModel
from torch.utils._python_dispatch import TorchDispatchMode

from galdse_brain import trainer
from galdse_brain.averaging import warmed_up_average
from galdse_brain.metrics import si_sdr
from galdse_brain.progress import Progress
from galdse_brain.schedules import cosine, linear
from galdse_brain.scoring import Scorer
from galdse_brain.systems.galdse import GALDSE


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus of seconds."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def failing(first, last):
    """A forward that gets NaN as noisy speech in the calls first to last."""
    forward, calls = GALDSE.forward, count(1)

    def spy(system, x_0, y, *args):
        if first <= next(calls) <= last:
            y = y * math.nan
        return forward(system, x_0, y, *args)

    return mock.patch.object(GALDSE, "forward", spy)


def weights(brain):
    """Copies of all parameters."""
    return [p.detach().clone() for p in brain.system.parameters()]


def test_a_step_that_is_not_finite_is_left_out_and_counted(corpus, tmp_path):
    with failing(2, 2):
        brain = train(corpus, tmp_path, number_of_epochs=2)["brain"]
    first, second, _ = log_lines(tmp_path)
    assert "train skipped steps: 1" in first
    assert "skipped" not in second
    assert "steps: 2" in first and "steps: 4" in second
    latest = brain.checkpointer.find_checkpoint().paramfiles["optimizer"]
    state = torch.load(latest, weights_only=True)["state"]
    assert {int(part["step"]) for part in state.values()} == {3}
    assert all(part["exp_avg"].isfinite().all() for part in state.values())
    for module in (brain.system, brain.ema):
        assert all(v.isfinite().all() for v in module.state_dict().values())


def test_steps_that_are_left_out_change_no_weight(corpus, tmp_path):
    seen = []

    def note(brain, batch, outputs, loss, should_step):
        seen.append(weights(brain))

    hook = mock.patch.object(trainer.Trainer, "on_fit_batch_end", note)
    with failing(1, 99), hook:
        train(corpus, tmp_path, number_of_epochs=2)
    assert len(seen) == 4
    for later in seen[1:]:
        assert all(map(torch.equal, later, seen[0]))


def test_ten_steps_in_a_row_that_are_not_finite_are_an_error(corpus, tmp_path):
    with failing(4, 99), pytest.raises(FloatingPointError, match="in a row"):
        train(corpus, tmp_path, number_of_epochs=20)
    assert len(log_lines(tmp_path)) == 6  # Two steps an epoch, from the fourth


def test_nine_in_a_row_are_forgiven_across_epochs():
    progress = Progress()
    for finite in [False] * 9 + [True] + [False] * 9:
        progress.start_epoch()
        progress.add_step(torch.tensor(finite))
        progress.check(10)
    progress.add_step(torch.tensor(False))
    with pytest.raises(FloatingPointError, match="10 steps in a row"):
        progress.check(10)


class NoAnswer(TorchDispatchMode):
    """Fails where a number is asked for that may still be computed."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation."""
        assert func is not torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "recipe, enhancer",
    [
        ("galdse", TINY["enhancer"]),
        ("galdse_mini", TINY["enhancer"]),
        (
            "storm_mini",
            "{sgmse: {channels: 8, num_steps: 2}, prediction: {channels: 8}}",
        ),
        ("bridge_guided_mini", "{hidden_size: 4, bridge: {channels: 8}}"),
    ],
)
def test_no_step_waits_for_the_device(corpus, tmp_path, recipe, enhancer):
    fit_batch, steps = trainer.Trainer.fit_batch, []
    # torch reads the number of averages, which Trainer keeps on the CPU.
    average = mock.patch.object(AveragedModel, "update_parameters")

    def spy(brain, batch):
        # Moving the batch and what runs on the CPU alone come before.
        batch = batch.to(brain.device)
        clock = mock.patch.object(trainer.Trainer, "tick")
        with NoAnswer(), clock, average:
            steps.append(fit_batch(brain, batch))
        return steps[-1]

    with mock.patch.object(trainer.Trainer, "fit_batch", spy):
        train(
            corpus,
            tmp_path,
            recipe=recipe,
            segment_samples=8064,
            enhancer=enhancer,
        )
    assert len(steps) == 2
    with NoAnswer():
        warmed_up_average([torch.ones(2)], [torch.zeros(2)], steps[0], 0.9)


def slow_clock(seconds):
    """A clock that moves on whenever somebody looks."""
    ticks = count(0, seconds)
    clock = mock.Mock(monotonic=lambda: float(next(ticks)))
    return mock.patch.object(trainer, "time", clock)


def test_minutes_end_training_and_more_minutes_go_on(corpus, tmp_path):
    options = {
        "number_of_epochs": 99,
        "number_of_steps": "null",
        "lr_schedule": "{warmup_steps: 1}",
    }
    with slow_clock(10):  # A step or a validation takes ten seconds.
        train(corpus, tmp_path, max_minutes=1, **options)
        first, last, _ = log_lines(tmp_path)
        # Twice two steps and a validation; the last step starts after 40 s.
        assert "steps: 2" in first and "steps: 4" in last
        assert f"lr: {1e-3 * linear(3, 40 / 60, 1):.2e}" in last
        train(corpus, tmp_path, max_minutes=1, **options)
        assert len(log_lines(tmp_path)) == 3 + 1  # Only tested again
        train(corpus, tmp_path, max_minutes=2, **options)
        assert "steps: 8" in log_lines(tmp_path)[-2]


def test_the_learning_rate_is_zero_when_the_budget_is_spent():
    progress = Progress(num_steps=50, minutes=3)
    progress.tick(0.0)
    progress.tick(170.0)
    assert progress.share(10) == pytest.approx(170 / 180)
    progress.tick(180.0)
    for schedule in (linear, cosine):
        assert schedule(10, progress.share(10), 5) == pytest.approx(0)
        assert schedule(50, Progress(50).share(50), 5) == pytest.approx(0)
    assert Progress().share(10**9) == 0


def test_a_rising_loss_comes_in_step_by_step(corpus, tmp_path):
    brain = train(corpus, tmp_path, "--debug")["brain"]
    brain.hparams.loss_rise_steps = {"guidance": 4}
    losses = {"guidance": torch.tensor(1.0), "spec_mse": torch.tensor(1.0)}
    for step, total in ((0, 1.25), (1, 1.5), (3, 2.0), (9, 2.0)):
        brain.optimizer_step = step
        assert brain.weighted(losses) == total
    brain.hparams.loss_rise_steps = {"guidanse": 4}
    with pytest.raises(ValueError, match="loss_rise_steps.*guidanse"):
        brain.weighted(losses)


def test_accumulated_gradients_are_the_mean_over_their_batches(
    corpus, tmp_path
):
    taken = []
    step = trainer.Trainer.optimizers_step

    def spy(brain):
        taken.append([p.grad.clone() for p in brain.system.parameters()])
        step(brain)

    # A learning rate of zero: the weights are those of the first batch.
    still = {"lr": 0.0, "batch_size": 1, "max_grad_norm": -1}
    with mock.patch.object(trainer.Trainer, "optimizers_step", spy):
        train(corpus, tmp_path / "one", **still)
        alone, taken[:] = list(taken), []
        train(corpus, tmp_path / "two", grad_accumulation_factor=4, **still)
    assert (len(alone), len(taken)) == (4, 1)
    for mean, *parts in zip(taken[0], *alone):
        torch.testing.assert_close(mean, sum(parts) / 4)


def test_compiled_training_is_training(corpus, tmp_path):
    compiled = partial(torch.compile, backend="aot_eager")
    with mock.patch.object(torch, "compile", compiled):
        brain = train(corpus, tmp_path, "--compile")["brain"]
    assert brain.modules["system"] is not brain.system
    assert brain.optimizer_step == 2
    state = torch.load(
        next((tmp_path / "save").glob("CKPT*/system.ckpt")), weights_only=True
    )
    assert state.keys() == brain.system.state_dict().keys()
    assert "steps: 2" in log_lines(tmp_path)[0]


SCORING = """
import os, signal, torch
from galdse_brain.metrics import si_sdr
from galdse_brain.scoring import Scorer

if __name__ == "__main__":
    torch.manual_seed(0)
    scorer = Scorer({"si_sdr": si_sdr}, num_jobs=1)
    for i in range(3):
        noisy, clean = torch.randn(2, 100)
        scorer.add(i, str(i), {"noisy": noisy}, clean)
    print([row["si_sdr"] for _, row in scorer.rows()])
    print(*scorer.pool._processes, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_other_processes_score_alike_and_end_with_a_killed_training(tmp_path):
    script = tmp_path / "scoring.py"
    script.write_text(SCORING)
    finished = subprocess.run(
        [sys.executable, str(script)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert finished.returncode == -signal.SIGKILL
    scores, worker = finished.stdout.splitlines()
    here = Scorer({"si_sdr": si_sdr}, num_jobs=0)
    for i in range(3):
        noisy, clean = torch.randn(2, 100)
        here.add(i, str(i), {"noisy": noisy}, clean)
    assert scores == str([row["si_sdr"] for _, row in here.rows()])
    for _ in range(100):
        try:
            os.kill(int(worker), 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"process {worker} is still there")
