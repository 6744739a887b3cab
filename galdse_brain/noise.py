"""Noise that can be repeated: it belongs to a place in a recording.

Authors
 * The galdse developers
"""

from itertools import count

import numpy as np
import torch

BLOCK = 64  # Frames that are drawn together.


def placed_randn_like(seed, first_frames):
    """A ``randn_like`` whose noise depends on seed, call and frame alone.

    An item therefore has the same noise in every batch, and two overlapping
    pieces of one recording have the same noise where they overlap. The global
    random state is neither read nor changed.

    Arguments
    ---------
    seed : int
        Not negative.
    first_frames : list of int
        For each item of the batch, the frame of its recording at which it
        starts.

    Returns
    -------
    randn_like : callable
        (B, C, F, T) to standard normal noise of the same shape and device.

    Example
    -------
    >>> start, later = placed_randn_like(7, [0, 10])(torch.zeros(2, 2, 3, 30))
    >>> torch.equal(start[..., 10:], later[..., :20])
    True
    """
    calls = count()

    def randn_like(x):
        call = next(calls)
        *shape, num_frames = x.shape[1:]
        placed = {
            first: _frames((seed, call), shape, first, first + num_frames)
            for first in set(first_frames)
        }
        return torch.stack([placed[first] for first in first_frames]).to(x)

    return randn_like


def _frames(key, shape, start, stop):
    """Noise (*shape, stop - start) of these frames."""
    first = start // BLOCK
    blocks = [_block((*key, i), shape) for i in range(first, -(-stop // BLOCK))]
    origin = first * BLOCK
    return torch.cat(blocks, dim=-1)[..., start - origin : stop - origin]


def _block(key, shape):
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    generator = torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))
    return torch.randn(*shape, BLOCK, generator=generator)
