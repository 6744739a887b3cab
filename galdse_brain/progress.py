"""How far a training is: what it has spent and what it has lost.

Authors
 * The galdse developers
"""

import torch
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)


@register_checkpoint_hooks
class Progress:
    """The budget of a training and the losses of its epoch, recoverable.

    Numbers that come from a device stay there until somebody asks.

    Arguments
    ---------
    num_steps : int, optional
        Of the optimiser; None is no limit.
    minutes : float, optional
        Of training and validating, interruptions not counted.

    Example
    -------
    >>> progress = Progress(num_steps=100, minutes=2)
    >>> progress.tick(1000.0), progress.tick(1030.0)
    (0.0, 30.0)
    >>> progress.share(10), progress.share(60), progress.share(101)
    (0.25, 0.6, 1.0)
    """

    def __init__(self, num_steps=None, minutes=None):
        self.num_steps, self.minutes = num_steps, minutes
        self.seconds, self.clock = 0.0, None
        self.in_row = torch.tensor(0)
        self.start_epoch()

    def start_epoch(self):
        """Forget the losses of the last epoch."""
        self.batches, self.sums = 0, {}
        self.skipped = self.longest_row = torch.tensor(0)

    def tick(self, now):
        """Seconds of training up to ``now`` on the one clock of all ranks."""
        if self.clock is not None:
            self.seconds += now - self.clock
        self.clock = now
        return self.seconds

    def share(self, step):
        """The share of the budget that is spent, 0 to 1."""
        spent = [0.0]
        if self.num_steps is not None:
            spent.append(step / self.num_steps)
        if self.minutes is not None:
            spent.append(self.seconds / 60 / self.minutes)
        return min(1.0, max(spent))

    def add_losses(self, losses):
        """Add the named scalars of a batch; what is not finite counts as 0."""
        self.batches += 1
        for name, loss in losses.items():
            loss = loss.detach().nan_to_num(0, 0, 0)
            self.sums[name] = self.sums.get(name, 0) + loss

    def add_step(self, finite):
        """Count a step that was made, or left out for its gradients."""
        self.skipped = self.skipped + ~finite
        self.in_row = (self.in_row + 1) * ~finite
        self.longest_row = torch.maximum(self.longest_row, self.in_row)

    def check(self, patience):
        """FloatingPointError if too many steps in a row were left out."""
        if self.longest_row >= patience:
            raise FloatingPointError(
                f"{int(self.longest_row)} steps in a row had gradients that "
                f"are not finite (nonfinite_patience: {patience}): lower lr "
                "or look for the loss that fails in the log"
            )

    def means(self):
        """Mean of each loss over the epoch, and the steps left out if any."""
        means = {k: float(v) / self.batches for k, v in self.sums.items()}
        skipped = int(self.skipped)
        return means | ({"skipped steps": skipped} if skipped else {})

    @mark_as_saver
    def save(self, path):
        """Write the seconds and the epoch so far."""
        kept = ("seconds", "batches", "sums", "skipped", "in_row")
        torch.save({name: getattr(self, name) for name in kept}, path)

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """Go on from there."""
        for name, value in torch.load(path, map_location="cpu").items():
            setattr(self, name, value)
