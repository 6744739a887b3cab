#!/usr/bin/env python3
"""Draws docs/family.svg: one bin on the way from noisy to clean speech.

> python tools/draw_family.py [docs/family.svg]

Authors
 * The galdse developers
"""

import sys

import matplotlib
import torch
from matplotlib.figure import Figure

from galdse_brain.paths.bbed import BBED
from galdse_brain.paths.bridge_ve import BridgeVE
from galdse_brain.paths.ouve import OUVE
from galdse_brain.paths.residual_shift import ResidualShift
from galdse_brain.samplers import deterministic, markov, walk

PATHS = {
    "ResidualShift (GALD-SE)": ResidualShift(0.5, 0.39, 0.005),
    "BridgeVE": BridgeVE(k=2.6, c=0.4, num_steps=30),
    "OUVE (SGMSE+)": OUVE(1.5, 0.05, 0.5),
    "BBED": BBED(2.6, 0.52),
}
CLEAN, NOISY, DRAWS = 0.0, 1.0, 3


def states(path, keep):
    """Times and states (steps + 1, DRAWS) of walks to the clean end."""
    y = torch.full((DRAWS, 1, 1, 1), NOISY)
    seen = []

    def oracle(x_t, t):
        seen.append(x_t)
        return torch.full_like(x_t, CLEAN)

    seen.append(walk(path, oracle, y, keep))
    return path.times(), torch.stack(seen).flatten(1)


def draw(axis, title, path):
    """Mean and spread of the path, and walks by two rules."""
    grid = path.times()
    x_0, y = torch.tensor(CLEAN), torch.tensor(NOISY)
    mean, std = (c.flatten() for c in path.marginal(x_0, y, grid))
    end = grid[0]
    axis.fill_between(
        grid / end, mean - std, mean + std, color="0.9", label="mean ± s"
    )
    axis.plot(grid / end, mean, color="0.6")
    for keep, colour in ((markov, "C0"), (deterministic, "C3")):
        times, walks = states(path, keep)
        lines = axis.plot(times / end, walks, color=colour, linewidth=0.9)
        lines[0].set_label(keep.__name__)
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("t / start")
    axis.set_xlim(1, 0)
    axis.set_xticks([1, 0.5, 0], ["1", "0.5", "0"])
    axis.set_ylim(-0.9, 2.1)
    axis.set_yticks([CLEAN, NOISY], ["clean", "noisy"])
    axis.spines[["top", "right"]].set_visible(False)


def main():
    """Draw all paths side by side."""
    matplotlib.rcParams["svg.hashsalt"] = "family"
    torch.manual_seed(4)
    figure = Figure(figsize=(10, 2.6), layout="constrained")
    axes = figure.subplots(1, len(PATHS), sharey=True)
    for axis, (title, path) in zip(axes, PATHS.items()):
        draw(axis, title, path)
    axes[-1].legend(frameon=False, fontsize=8, loc="upper right")
    target = sys.argv[1] if len(sys.argv) > 1 else "docs/family.svg"
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main()
