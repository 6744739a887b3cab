"""One rank of a training: runs train.py and writes down what it drew."""

import sys
from itertools import count
from types import SimpleNamespace

import torch
from recipe_runs import train
from speechbrain.utils import distributed

from galdse_brain import gallery, trainer
from galdse_brain.paths.residual_shift import ResidualShift
from galdse_brain.results import Results


def recording(function, calls):
    """The function, which appends what it returns to ``calls``."""

    def spy(*args, **kwargs):
        calls.append(function(*args, **kwargs))
        return calls[-1]

    return spy


if __name__ == "__main__":
    output, corpus, run = sys.argv[1:]
    drawn, wavs, tables = [], [], []
    ResidualShift.sample_time = recording(ResidualShift.sample_time, drawn)
    Results.write_csv = recording(Results.write_csv, tables)
    # Imported anew, audio_io would be SpeechBrain's lazy stand-in.
    gallery.audio_io.save = recording(gallery.audio_io.save, wavs)
    # Debug runs look into a folder of their own on every rank.
    backend = {"distributed_backend": "gloo", "batch_size": 1}
    train(corpus, f"{run}_debug", "--debug", **backend)
    distributed.ddp_init_group = lambda run_opts: None  # Done already.
    for calls in (drawn, wavs, tables):
        calls.clear()
    rank = distributed.get_rank()
    # Every machine has its own clock.
    ticks = count()
    clock = SimpleNamespace(monotonic=lambda: 10.0 ** (4 * rank) * next(ticks))
    trainer.time = clock
    options = {"number_of_epochs": 2, "max_minutes": 10}
    brain = train(corpus, run, **backend, **options)["brain"]
    torch.save(
        {
            "times": drawn,
            "wavs": len(wavs),
            "tables": len(tables),
            "seconds": brain.progress.seconds,
            "parameters": list(brain.system.parameters()),
        },
        f"{output}/rank{rank}.pt",
    )
