"""What users hand in, checked.

Authors
 * The galdse developers
"""

import re
from pathlib import Path

import numpy as np
import torch

from galdse_brain.audio import check_finite, floats


def is_folder(source, *names):
    """Whether a model is in a folder; otherwise it may be on the hub.

    FileNotFoundError if it is in neither, before the hub is asked, or if the
    folder has not a file for each of these patterns.
    """
    if not Path(source).is_dir():
        if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source):
            raise FileNotFoundError(f"{source} is no folder")
        return False
    for name in names:
        if not any(Path(source).glob(name)):
            raise FileNotFoundError(
                f"{source} has no {name}; a training is made into a model by "
                "`galdse export RUN_FOLDER OUT`"
            )
    return True


def check_options(seed, mix):
    """ValueError for what no enhancement can take."""
    if seed is not None and seed < 0:
        raise ValueError(f"seed must be None or at least 0, got {seed}")
    if not 0 <= mix <= 1:
        raise ValueError(f"mix must lie in [0, 1], got {mix}")


def tensor(values):
    """A tensor of any array, also of a reversed or foreign-endian one."""
    if torch.is_tensor(values):
        return values
    values = np.array(values, order="C")
    return torch.from_numpy(values.astype(values.dtype.newbyteorder("=")))


def batch(noisy, lengths):
    """A batch of waveforms (B, N), zero beyond its relative lengths (B,).

    ValueError says what is wrong with them.
    """
    noisy = floats(noisy)
    if noisy.ndim != 2 or 0 in noisy.shape:
        raise ValueError(
            "a batch has shape (B, N), B and N at least 1, got "
            f"{tuple(noisy.shape)}"
        )
    if lengths is None:
        lengths = torch.ones(len(noisy))
    lengths = tensor(lengths).to(noisy.device)
    if lengths.shape != noisy.shape[:1]:
        raise ValueError(
            f"{len(noisy)} items need as many lengths, got shape "
            f"{tuple(lengths.shape)}"
        )
    samples = (lengths * noisy.shape[1]).round()[:, None]
    if not ((1 <= samples) & (lengths <= 1)[:, None]).all():
        raise ValueError(
            f"lengths must lie in (0, 1] and give each item one of the "
            f"{noisy.shape[1]} samples, got {lengths.tolist()}"
        )
    inside = torch.arange(noisy.shape[1], device=noisy.device) < samples
    noisy = noisy.where(inside, 0)
    for i, wav in enumerate(noisy):
        check_finite(f"item {i} of the batch", wav[None])
    return noisy, lengths


def by_channel(wav):
    """A tensor (N,), (C, N) or (N, C) as floats (C, N).

    And whether time came first: the longer axis is time.
    """
    wav = floats(wav)
    if wav.ndim not in (1, 2):
        raise ValueError(
            "a waveform has shape (N,), (C, N) or (N, C), got "
            f"{tuple(wav.shape)}"
        )
    channels = wav if wav.ndim > 1 else wav[None]
    time_first = channels.shape[0] > channels.shape[1] and wav.ndim > 1
    return channels.t() if time_first else channels, time_first
