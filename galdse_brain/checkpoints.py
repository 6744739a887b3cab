"""Checkpoints that are whole, whenever a training is killed.

Authors
 * The galdse developers
"""

import os
import shutil

from speechbrain.utils.checkpoints import Checkpointer


class WholeCheckpointer(Checkpointer):
    """A Checkpointer whose checkpoints appear when they are complete.

    SpeechBrain's takes a half-written folder for a checkpoint. Here it is
    written to the folder ``unfinished`` and moved from there.
    """

    def _new_checkpoint_dirpath(self):
        name = super()._new_checkpoint_dirpath().name
        return self.checkpoints_dir / "unfinished" / name

    def save_checkpoint(self, *args, **kwargs):
        """Save; arguments and value are those of ``Checkpointer``."""
        checkpoint = super().save_checkpoint(*args, **kwargs)
        if checkpoint is None:
            return None
        whole = self.checkpoints_dir / checkpoint.path.name
        os.replace(checkpoint.path, whole)
        # What earlier, interrupted runs have left, too.
        shutil.rmtree(self.checkpoints_dir / "unfinished", ignore_errors=True)
        files = {
            name: whole / path.name
            for name, path in checkpoint.paramfiles.items()
        }
        return checkpoint._replace(path=whole, paramfiles=files)
