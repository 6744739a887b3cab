"""A Brain that keeps to a budget and can be killed at any moment.

Authors
 * The galdse developers
"""

import math
import time
from zlib import crc32

import speechbrain as sb
import torch
from speechbrain.utils.distributed import get_rank, if_main_process
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from galdse_brain.ranks import of_main
from galdse_brain.runs import fingerprint

LOOK_EVERY = 10  # Batches between two looks at numbers of the device.


class Trainer(sb.Brain):
    """How anything is trained here; what is trained, a subclass knows.

    Random numbers and learning rate follow from the place in the training
    alone, so that one that was killed and started again ends as if nothing
    had happened. No step waits for the device.

    What it takes from the YAML: ``modules`` with ``system``, which holds the
    weights, and ``ema``, their AveragedModel; ``seed``; ``progress``, the
    budget; ``epoch_counter``; ``lr`` and ``lr_schedule``.
    """

    def __init__(self, modules, opt_class, hparams, run_opts, checkpointer):
        super().__init__(modules, opt_class, hparams, run_opts, checkpointer)
        self.system = hparams["modules"]["system"]
        if self.max_grad_norm < 0:
            # SpeechBrain promises "no clipping" but would turn gradients round.
            self.max_grad_norm = math.inf
        self.next_scale = None
        if not self.scaler.is_enabled():
            # One of scale 1 leaves out steps that are not finite, and no more.
            self.next_scale = 1.0
            self.scaler = torch.GradScaler(self.device_type, self.next_scale)
        self.progress = hparams["progress"]
        self.saved_at = 0.0
        # Never in training mode: its BatchNorm would learn from the test.
        self.ema = hparams["ema"].to(self.device).eval()
        # Counts on the CPU: torch asks it for its value in every step.
        self.ema.n_averaged = self.ema.n_averaged.cpu()

    def fit_batch(self, batch):
        """One batch, as SpeechBrain does, but the device is never awaited."""
        should_step = self.step % self.grad_accumulation_factor == 0
        self.on_fit_batch_start(batch, should_step)
        statistics = [b.clone() for b in self.system.buffers()]
        with self.no_sync(not should_step):
            with self.training_ctx:
                outputs = self.compute_forward(batch, sb.Stage.TRAIN)
                loss = self.compute_objectives(outputs, batch, sb.Stage.TRAIN)
            scaled = loss / self.grad_accumulation_factor
            self.scaler.scale(scaled).backward()
        # What is not finite in them would stay, though the step is left out.
        for now, before in zip(self.system.buffers(), statistics):
            now.copy_(torch.where(now.isfinite(), now, before))
        if should_step:
            self.optimizers_step()
        self.on_fit_batch_end(batch, outputs, loss, should_step)
        return loss.detach()

    def optimizers_step(self):
        """A step, which is left out if a gradient is not finite."""
        self.scaler.unscale_(self.optimizer)
        norm = clip_grad_norm_(self.modules.parameters(), self.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update(self.next_scale)
        self.optimizer.zero_grad(set_to_none=True)
        self.optimizer_step += 1
        self.progress.add_step(norm.isfinite())

    def update_average(self, loss, avg_loss):
        """The mean loss for the progress bar, now and then."""
        if not self.modules.training:
            return super().update_average(loss, avg_loss)
        if self.step % LOOK_EVERY:
            return avg_loss
        self.progress.check(self.nonfinite_patience)
        return self.progress.means()["loss"]

    @property
    def _optimizer_step_limit_exceeded(self):
        spent = self.progress.share(self.optimizer_step) >= 1
        return spent or super()._optimizer_step_limit_exceeded

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time, steps_since_ckpt):
        """Between steps of the optimiser, on the one clock of all ranks."""
        if self.checkpointer is None or self.step % (
            self.grad_accumulation_factor
        ):
            return False
        minutes = (self.progress.seconds - self.saved_at) / 60
        save = (0 < self.ckpt_interval_minutes < minutes) or (
            0 < self.ckpt_interval_steps <= steps_since_ckpt
        )
        if save:
            self.saved_at = self.progress.seconds
        return save

    def on_fit_start(self):
        """Resume; a run that has spent its budget trains no further."""
        if self.checkpointer is not None:
            self.note_checkpoint(self.checkpointer.find_checkpoint())
        super().on_fit_start()
        self.tick()
        # In the middle of an epoch, that epoch is still to be validated.
        if self._optimizer_step_limit_exceeded and not self.step:
            counter = self.hparams.epoch_counter
            counter.limit = counter.current

    def note_checkpoint(self, checkpoint):
        """What a subclass must know of a checkpoint before it is loaded."""

    def tick(self):
        """Note the time of the main process."""
        self.progress.tick(of_main(time.monotonic()))

    def on_fit_batch_start(self, batch, should_step):
        """Set random state and learning rate, from the place alone."""
        epoch = self.hparams.epoch_counter.current
        key = (self.hparams.seed, get_rank() or 0, epoch, self.step)
        torch.manual_seed(crc32(repr(key).encode()))
        share = self.progress.share(self.optimizer_step)
        factor = self.hparams.lr_schedule(self.optimizer_step, share)
        for group in self.optimizer.param_groups:
            group["lr"] = self.hparams.lr * factor

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Average the weights after every step of the optimiser."""
        if should_step:
            self.ema.update_parameters(self.system)
            self.tick()

    def on_evaluate_start(self, max_key=None, min_key=None):
        """Load the best checkpoint; that there is none is an error."""
        self.tested = "none"
        if self.checkpointer is not None:
            found = self.checkpointer.find_checkpoint(
                max_key=max_key, min_key=min_key
            )
            # In a DDP debug run the others look into empty folders.
            if found is None and if_main_process():
                raise FileNotFoundError(
                    f"no checkpoint with {max_key or min_key!r} in "
                    f"{self.checkpointer.checkpoints_dir}; train first"
                )
            self.tested = found and fingerprint(found)
            self.note_checkpoint(found)
        super().on_evaluate_start(max_key=max_key, min_key=min_key)

    def _wrap_distributed(self):
        """As SpeechBrain does, but its SyncBatchNorm knows no CPU."""
        on_cpu = not next(self.system.parameters()).is_cuda
        if not (self.distributed_launch and on_cpu):
            super()._wrap_distributed()
            return
        self.modules["system"] = DistributedDataParallel(
            self.modules["system"],
            find_unused_parameters=self.find_unused_parameters,
        )
