"""One rank of a training: runs train.py and writes down what it drew."""

import sys

import torch
from recipe_runs import train
from speechbrain.utils.distributed import get_rank

from galdse_brain.paths.residual_shift import ResidualShift

if __name__ == "__main__":
    output, corpus, run = sys.argv[1:]
    drawn = []
    sample_time = ResidualShift.sample_time

    def spy(self, y):
        """Remember the times."""
        drawn.append(sample_time(self, y))
        return drawn[-1]

    ResidualShift.sample_time = spy
    variables = train(
        corpus, run, distributed_backend="gloo", number_of_epochs=2
    )
    system = variables["brain"].system
    torch.save(
        {"times": drawn, "parameters": list(system.parameters())},
        f"{output}/rank{get_rank()}.pt",
    )
