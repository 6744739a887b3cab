"""One rank of a training: runs train.py and writes down what it drew."""

import sys

import torch
from recipe_runs import train
from speechbrain.utils import distributed

from galdse_brain import brain
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
    drawn, written = [], []
    ResidualShift.sample_time = recording(ResidualShift.sample_time, drawn)
    Results.write_csv = recording(Results.write_csv, written)
    # Imported anew, audio_io would be SpeechBrain's lazy stand-in.
    brain.audio_io.save = recording(brain.audio_io.save, written)
    # Debug runs look into a folder of their own on every rank.
    train(corpus, f"{run}_debug", "--debug", distributed_backend="gloo")
    distributed.ddp_init_group = lambda run_opts: None  # Done already.
    drawn.clear()
    written.clear()
    variables = train(
        corpus, run, distributed_backend="gloo", number_of_epochs=2
    )
    system = variables["brain"].system
    torch.save(
        {
            "times": drawn,
            "written": len(written),
            "parameters": list(system.parameters()),
        },
        f"{output}/rank{distributed.get_rank()}.pt",
    )
