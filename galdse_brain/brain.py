"""The Brain: trains, validates and tests any system of the family.

Authors
 * The galdse developers
"""

import logging
import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import speechbrain as sb
import torch
from speechbrain.dataio import audio_io
from speechbrain.utils.distributed import get_rank, if_main_process
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel

from galdse_brain.enhancer import Enhancer, normalize
from galdse_brain.results import Results

logger = logging.getLogger(__name__)


class EnhancementBrain(sb.Brain):
    """Trains any system and evaluates its averaged weights.

    What it takes from the YAML: ``modules`` with ``system``, ``objective`` and
    ``spec``; ``ema``, an AveragedModel of the same system; ``loss_weights``
    with the names of the losses; ``augment``; ``lr_scheduler``, called before
    every step; ``metrics`` (name to function) and ``selection_metric``, the
    one that chooses the checkpoint; ``controls``, scored beside the system;
    ``draw`` and ``panels`` for the pictures; and the folders to write to.
    The logged loss of validation and test is the error of the spectrogram.
    """

    def __init__(self, modules, opt_class, hparams, run_opts, checkpointer):
        super().__init__(modules, opt_class, hparams, run_opts, checkpointer)
        if hparams["selection_metric"] not in hparams["metrics"]:
            raise KeyError(
                f"selection_metric {hparams['selection_metric']!r} is none of "
                f"the metrics {list(hparams['metrics'])}"
            )
        if self.max_grad_norm < 0:
            # SpeechBrain promises "no clipping" but would turn gradients round.
            self.max_grad_norm = math.inf
        self.system = hparams["modules"]["system"]
        # Never in training mode: its BatchNorm would learn from the test.
        self.ema = hparams["ema"].to(self.device).eval()
        self.enhancers = {
            **{
                name: self._enhancer(partial(enhance, self.ema.module))
                for name, enhance in hparams["controls"].items()
            },
            "enhanced": self._enhancer(self.ema.module.enhance),
        }

    def _enhancer(self, enhance):
        return Enhancer(SimpleNamespace(enhance=enhance), self.modules["spec"])

    def compute_forward(self, batch, stage):
        """Losses of a training batch; enhanced waveforms else."""
        batch = batch.to(self.device)
        clean, lengths = batch.clean_sig
        noisy = batch.noisy_sig.data
        if stage != sb.Stage.TRAIN:
            return self.enhance("enhanced", noisy, lengths)
        clean, noisy = self.hparams.augment(clean, noisy)
        noisy, clean = normalize(noisy, clean)
        spec = self.modules["spec"]
        return self.modules["system"](
            spec(clean), spec(noisy), self.modules["objective"]
        )

    def enhance(self, name, noisy, lengths):
        """Enhance under a fixed seed, so that scores can be repeated."""
        wavs, _ = self.enhancers[name](noisy, lengths, self.hparams.seed)
        return wavs

    def compute_objectives(self, predictions, batch, stage):
        """Weighted loss in training; spectrogram error and scores else."""
        if stage == sb.Stage.TRAIN:
            return self.weighted(predictions)
        batch = batch.to(self.device)
        spec, error = self.modules["spec"], 0.0
        for i, (clean, noisy) in enumerate(zip(*self.unpadded(batch))):
            enhanced = predictions[i, : len(clean)]
            _, *pair = normalize(*(w[None] for w in (noisy, enhanced, clean)))
            error += mse_loss(*(spec(wav) for wav in pair))
            if stage == sb.Stage.TEST:
                self.test_utterance(batch.id[i], noisy, clean, enhanced)
            self.results.add(batch.id[i], "enhanced", enhanced, clean)
        return error / len(predictions)

    def weighted(self, losses):
        """Sum of the losses under ``loss_weights``; keeps each for the log."""
        weights = self.hparams.loss_weights
        if set(losses) != set(weights):
            raise ValueError(
                f"the system has the losses {sorted(losses)}, but "
                f"loss_weights names {sorted(weights)}"
            )
        self.batches += 1
        for name, loss in losses.items():
            self.loss_sums[name] = self.loss_sums.get(name, 0) + loss.detach()
        return sum(weights[name] * loss for name, loss in losses.items())

    def unpadded(self, batch):
        """Clean and noisy waveforms of a batch without their padding."""
        clean, lengths = batch.clean_sig
        samples = (lengths * clean.shape[1]).round().long()
        return [
            [wav[:n] for wav, n in zip(wavs, samples)]
            for wavs in (clean, batch.noisy_sig.data)
        ]

    def test_utterance(self, name, noisy, clean, enhanced):
        """Score what to compare with, write the wav, sometimes a picture."""
        self.results.add(name, "noisy", noisy, clean)
        for control in self.hparams.controls:
            wavs = self.enhance(control, noisy[None], None)
            self.results.add(name, control, wavs[0], clean)
        if not if_main_process():
            return
        path = Path(self.hparams.enhanced_folder) / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio_io.save(path, enhanced.cpu(), self.hparams.sample_rate)
        if self.tested % self.hparams.picture_every == 0:
            self.draw_utterance(name, noisy, clean, enhanced)
        self.tested += 1

    def draw_utterance(self, name, noisy, clean, enhanced):
        """Spectrograms beside what the system shows of itself."""
        spec = self.modules["spec"]
        y = spec(*normalize(noisy[None]))
        frames = len(noisy) // spec.hop_length + 1
        path = Path(self.hparams.picture_folder) / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.hparams.draw(
            path,
            {"noisy": noisy, "enhanced": enhanced, "clean": clean},
            {
                title: panel(self.ema.module, y)[0, 0, :, :frames]
                for title, panel in self.hparams.panels.items()
            },
            self.hparams.sample_rate,
        )

    def on_fit_start(self):
        """Resume; a run that has spent its steps trains no further."""
        super().on_fit_start()
        if self._optimizer_step_limit_exceeded:
            counter = self.hparams.epoch_counter
            counter.limit = counter.current

    def on_fit_batch_start(self, batch, should_step):
        """Set the learning rate of the step."""
        if should_step:
            # The step is the checkpoint's, the rest of the schedule the YAML's.
            self.hparams.lr_scheduler.current_step = self.optimizer_step
            self.hparams.lr_scheduler(self.optimizer)

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Average the weights after every step of the optimiser."""
        if should_step:
            self.ema.update_parameters(self.system)

    def on_stage_start(self, stage, epoch=None):
        """New random numbers for training, else new results."""
        if stage != sb.Stage.TRAIN:
            self.results, self.tested = Results(self.hparams.metrics), 0
            return
        self.loss_sums, self.batches = {}, 0
        # Of every rank its own; after an epoch's checkpoint as without a stop.
        rank = get_rank() or 0
        torch.manual_seed(self.hparams.seed + 7919 * self.optimizer_step + rank)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Log; keep the best and the latest checkpoint; report the test."""
        if stage == sb.Stage.TRAIN:
            if not self.batches:
                raise ValueError(
                    "the training set holds no whole batch: it has fewer "
                    "pairs than batch_size times the number of processes"
                )
            self.train_stats = {"loss": stage_loss} | {
                name: float(total) / self.batches
                for name, total in self.loss_sums.items()
            }
        elif stage == sb.Stage.VALID:
            self.log_and_save(stage_loss, epoch)
        else:
            self.report(stage_loss)

    def log_and_save(self, stage_loss, epoch):
        """One line of the log, one checkpoint."""
        scores = self.results.mean("enhanced")
        for line in self.results.failures():
            logger.warning(line)
        self.hparams.train_logger.log_stats(
            stats_meta={
                "epoch": epoch,
                "steps": self.optimizer_step,
                "lr": self.optimizer.param_groups[0]["lr"],
            },
            train_stats=self.train_stats,
            valid_stats={"loss": stage_loss, **scores},
        )
        if self.checkpointer is None:
            return
        # If all utterances failed there is no score, and nothing is worse.
        meta = {k: -math.inf if math.isnan(v) else v for k, v in scores.items()}
        self.checkpointer.save_and_keep_only(
            meta={"epoch": epoch, **meta},
            max_keys=[self.hparams.selection_metric],
            importance_keys=[],
        )

    def report(self, stage_loss):
        """The table of the test, on paper and on the screen."""
        self.hparams.train_logger.log_stats(
            stats_meta={"epoch loaded": self.hparams.epoch_counter.current},
            test_stats={"loss": stage_loss, **self.results.mean("enhanced")},
        )
        if not if_main_process():
            return
        self.results.write_csv(self.hparams.results_file)
        logger.info("Results\n%s", self.results.table())
        logger.info("per utterance: %s", self.hparams.results_file)
        logger.info("enhanced wavs: %s", self.hparams.enhanced_folder)
        logger.info("pictures: %s", self.hparams.picture_folder)

    def on_evaluate_start(self, max_key=None, min_key=None):
        """Load the best checkpoint; that there is none is an error."""
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
