"""The Brain: trains, validates and tests any system of the family.

Authors
 * The galdse developers
"""

import logging
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import speechbrain as sb
import torch
from speechbrain.utils.distributed import if_main_process
from torch.nn.functional import mse_loss

from galdse_brain.enhancer import Enhancer
from galdse_brain.evaluate import read, write_report
from galdse_brain.ranks import gathered, place, shard
from galdse_brain.report import Report, trained_on
from galdse_brain.results import CONTROL, REFERENCE, SYSTEM, Results
from galdse_brain.runs import losses_of, pairs
from galdse_brain.schedules import rise
from galdse_brain.scoring import Scorer
from galdse_brain.trainer import Trainer

logger = logging.getLogger(__name__)


class EnhancementBrain(Trainer):
    """Trains any system and evaluates its averaged weights.

    What it takes from the YAML beside what ``Trainer`` does: in ``modules``
    the ``objective`` and ``spec``; ``loss_weights`` with the names of the
    losses, and ``loss_rise_steps`` for those that come in slowly; ``augment``;
    ``metrics`` (name to function), scored in ``score_jobs`` processes, and
    ``selection_metric``, the one that chooses the checkpoint; for the test
    ``test_metrics``, ``controls`` to score beside the system, ``gallery``,
    ``cost``, and ``output_folder``, where the report goes.
    The logged loss of validation and test is the error of the spectrogram.
    """

    def __init__(self, modules, opt_class, hparams, run_opts, checkpointer):
        super().__init__(modules, opt_class, hparams, run_opts, checkpointer)
        if hparams["selection_metric"] not in hparams["metrics"]:
            raise KeyError(
                f"selection_metric {hparams['selection_metric']!r} is none of "
                f"the metrics {list(hparams['metrics'])}"
            )
        # Of the weights, also of the stages before this one.
        self.losses = {k for k, w in hparams["loss_weights"].items() if w}
        if hparams["start_from"] is not None:
            self.losses.update(losses_of(hparams["start_from"]))
        self.scorer = Scorer(hparams["metrics"], hparams["score_jobs"])
        self.enhancers = {
            **{
                name: self._enhancer(partial(enhance, self.ema.module))
                for name, enhance in hparams["controls"].items()
            },
            SYSTEM: self._enhancer(self.ema.module.enhance),
        }

    def _enhancer(self, enhance):
        pieces = self.hparams.enhancer["pieces"]
        system = SimpleNamespace(enhance=enhance)
        return Enhancer(system, self.modules["spec"], pieces)

    def make_dataloader(
        self, dataset, stage, ckpt_prefix="dataloader-", **loader_kwargs
    ):
        """As SpeechBrain does; every process evaluates its share alone."""
        if stage != sb.Stage.TRAIN:
            loader_kwargs["sampler"] = shard(len(dataset))
        return super().make_dataloader(
            dataset, stage, ckpt_prefix, **loader_kwargs
        )

    def compute_forward(self, batch, stage):
        """Losses of a training batch; enhanced waveforms else."""
        batch = batch.to(self.device, non_blocking=True)
        clean, lengths = batch.clean_sig
        noisy = batch.noisy_sig.data
        if stage != sb.Stage.TRAIN:
            return self.enhance(SYSTEM, noisy, lengths)
        clean, noisy = self.hparams.augment(clean, noisy)
        spec = self.modules["spec"]
        noisy, clean = spec.normalize(noisy, clean)
        return self.modules["system"](
            spec(clean), spec(noisy), self.modules["objective"]
        )

    def enhance(self, name, noisy, lengths=None):
        """Enhance under a fixed seed, so that scores can be repeated."""
        wavs, _ = self.enhancers[name](noisy, lengths, self.hparams.seed)
        return wavs

    def compute_objectives(self, predictions, batch, stage):
        """Weighted loss in training; spectrogram error and scores else."""
        if stage == sb.Stage.TRAIN:
            return self.weighted(predictions)
        batch, spec = batch.to(self.device), self.modules["spec"]
        for i, (clean, noisy) in enumerate(zip(*self.unpadded(batch))):
            enhanced = predictions[i, : len(clean)]
            wavs = (wav[None] for wav in (noisy, enhanced, clean))
            _, *pair = spec.normalize(*wavs)
            self.errors.append(mse_loss(*(spec(wav) for wav in pair)))
            at, name = place(len(self.errors) - 1), batch.id[i]
            if stage == sb.Stage.TEST:
                self.test_utterance(at, name, noisy, clean, enhanced)
            else:
                self.scorer.add(at, name, {SYSTEM: enhanced}, clean)
        return torch.stack(self.errors[-len(predictions) :]).mean()

    def weighted(self, losses):
        """Sum of the losses under ``loss_weights``; keeps each for the log."""
        weights = self.hparams.loss_weights
        rises = self.hparams.loss_rise_steps
        if set(losses) != set(weights) or not set(rises) <= set(weights):
            raise ValueError(
                f"the system has the losses {sorted(losses)}, but "
                f"loss_weights names {sorted(weights)} and loss_rise_steps "
                f"{sorted(rises)}"
            )
        total = sum(
            weights[name] * rise(self.optimizer_step, rises.get(name, 1)) * loss
            for name, loss in losses.items()
        )
        self.progress.add_losses({"loss": total, **losses})
        return total

    def unpadded(self, batch):
        """Clean and noisy waveforms of a batch without their padding."""
        clean, lengths = batch.clean_sig
        samples = (lengths * clean.shape[1]).round().long()
        return [
            [wav[:n] for wav, n in zip(wavs, samples)]
            for wavs in (clean, batch.noisy_sig.data)
        ]

    def test_utterance(self, position, name, noisy, clean, enhanced):
        """Score it beside what to compare with; keep what is to be heard."""
        controls = {
            control: self.enhance(control, noisy[None])[0]
            for control in self.hparams.controls
        }
        signals = {REFERENCE: noisy, **controls, SYSTEM: enhanced}
        signals[CONTROL] = clean
        self.scorer.add(position, name, signals, clean, noisy)
        self.hparams.gallery.show(position, name, noisy, clean, enhanced)

    def on_stage_start(self, stage, epoch=None):
        """Forget the losses of the last epoch, or the last scores."""
        if stage == sb.Stage.TEST:
            self.scorer.metrics = self.hparams.test_metrics()
            self.note_facts()
        if stage != sb.Stage.TRAIN:
            self.errors = []
        elif not self.step:  # Else an interrupted epoch goes on.
            self.progress.start_epoch()

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Log; keep the best and the latest checkpoint; report the test."""
        if stage == sb.Stage.TRAIN:
            if not self.progress.batches:
                raise ValueError(
                    "the training set holds no whole batch: it has fewer "
                    "pairs than batch_size times the number of processes"
                )
            self.progress.check(self.nonfinite_patience)
            self.train_stats = self.progress.means()
            return
        results, stats = self.gather()
        if stage == sb.Stage.VALID:
            self.log_and_save(results, stats, epoch)
        else:
            self.report(results, stats)

    def note_checkpoint(self, checkpoint):
        """Its losses are those of the weights, though others are set now."""
        if checkpoint is not None:
            self.losses.update(checkpoint.meta.get("losses", []))

    def gather(self):
        """Scores and mean error of all processes, in the set's order."""
        parts = gathered((self.scorer.rows(), [float(e) for e in self.errors]))
        rows = sorted(sum((p[0] for p in parts), []), key=lambda row: row[0])
        errors = sum((part[1] for part in parts), [])
        results = Results(scores for _, scores in rows)
        loss = sum(errors) / len(errors)
        return results, {"loss": loss, **results.mean(SYSTEM)}

    def log_and_save(self, results, stats, epoch):
        """One line of the log, one checkpoint."""
        self.tick()
        for line in results.failures():
            logger.warning(line)
        self.hparams.train_logger.log_stats(
            stats_meta={
                "epoch": epoch,
                "steps": self.optimizer_step,
                "lr": self.optimizer.param_groups[0]["lr"],
            },
            train_stats=self.train_stats,
            valid_stats=stats,
        )
        if self.checkpointer is None:
            return
        meta = {name: results.floor_mean(name) for name in self.hparams.metrics}
        self.checkpointer.save_and_keep_only(
            meta={"epoch": epoch, "losses": sorted(self.losses), **meta},
            max_keys=[self.hparams.selection_metric],
            importance_keys=[],
        )
        self.saved_at = self.progress.seconds

    def note_facts(self):
        """What judges and repeats the test; before it, lest it be lost."""
        pieces = self.hparams.enhancer["pieces"]
        enhancer = Enhancer(self.ema.module, self.modules["spec"], pieces)
        self.facts = {"seed": self.hparams.seed, "checkpoint": self.tested}
        if if_main_process():
            self.facts |= self.hparams.cost(enhancer, self.device)

    def report(self, results, stats):
        """What the test found, on paper and on the screen."""
        self.hparams.train_logger.log_stats(
            stats_meta={"epoch loaded": self.hparams.epoch_counter.current},
            test_stats=stats,
        )
        if not if_main_process():
            return
        folder, gallery = self.hparams.output_folder, self.hparams.gallery
        report = Report(results, self.facts, trained_on(self.losses))
        page = write_report(folder, report, self.heard)
        logger.info("Results\n%s", report.table("Scores"))
        for warning in report.warnings():
            logger.warning(warning)
        logger.info("report: %s", page)
        logger.info("enhanced wavs: %s", gallery.wav_folder)
        logger.info("pictures: %s", gallery.picture_folder)

    def heard(self, name):
        """Title to waveform (N,) of a test utterance."""
        pair = pairs(self.hparams.output_folder, "test")[name]
        enhanced = Path(self.hparams.gallery.wav_folder) / f"{name}.wav"
        return read(
            {
                REFERENCE: pair["noisy_wav"],
                SYSTEM: enhanced,
                CONTROL: pair["clean_wav"],
            }
        )
