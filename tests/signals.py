"""Signals that several tests score, the same on every machine."""

import numpy as np
import torch


def noisy_pair():
    """Clean and noisy, two seconds (N,) in float64."""
    t = np.arange(32000) / 16000
    voice = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 25))
    rhythm = np.clip(np.sin(2 * np.pi * 3 * t) + 0.3, 0, None)
    noise = np.random.RandomState(0).standard_normal((3, 32000))
    clean = 0.2 * voice * rhythm + 0.001 * noise[0]
    return torch.tensor(clean), torch.tensor(clean + 0.05 * noise[1])
