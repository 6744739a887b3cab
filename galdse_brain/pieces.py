"""Long recordings in overlapping pieces, as a stream.

Authors
 * The galdse developers
"""

import math
from itertools import groupby, islice
from typing import NamedTuple

import torch


class Pieces(NamedTuple):
    """How a recording is cut.

    The last piece takes what is left, half as much to one and a half times as
    much as the others: nothing is heard twice but what neighbours share.

    Arguments
    ---------
    num_samples : int
        Length of a piece but the last.
    overlap : int
        Samples that neighbours share, at most half a piece.
    at_once : int
        Pieces in one batch: more are faster on a GPU, not on a CPU.
    """

    num_samples: int = 32640  # 2 s, 256 frames: a crop of galdse.yaml
    overlap: int = 2688  # 0.17 s, a twelfth
    at_once: int = 1

    @property
    def longest(self):
        """Samples of the longest piece; no longer recording is cut."""
        return self.num_samples * 3 // 2

    def checked(self):
        """Self; ValueError if the numbers make no cut."""
        if not 0 <= 2 * self.overlap <= self.num_samples:
            raise ValueError(
                f"overlap must be 0 to half of the {self.num_samples} samples "
                f"of a piece, got {self.overlap}"
            )
        if self.num_samples < 1 or self.at_once < 1:
            raise ValueError(
                "num_samples and at_once must be positive, got "
                f"{self.num_samples} and {self.at_once}"
            )
        return self

    def cut(self, blocks):
        """Overlapping pieces of a recording that comes in blocks.

        Arguments
        ---------
        blocks : iterable of torch.Tensor
            Consecutive parts of the recording, each (C, n).

        Yields
        ------
        start : int
            First sample of the piece.
        piece : torch.Tensor
            Shape (C, n).

        Example
        -------
        >>> blocks = torch.arange(14.0).view(1, -1).split(4, dim=1)
        >>> for start, piece in Pieces(6, 2).cut(blocks):
        ...     print(start, piece.int().tolist())
        0 [[0, 1, 2, 3, 4, 5]]
        4 [[4, 5, 6, 7, 8, 9]]
        8 [[8, 9, 10, 11, 12, 13]]
        """
        hop = self.num_samples - self.overlap
        start, ahead = 0, None
        for block in blocks:
            ahead = block if ahead is None else torch.cat([ahead, block], -1)
            while ahead.shape[-1] > self.longest:
                yield start, ahead[..., : self.num_samples]
                ahead = ahead[..., hop:]
                start += hop
        if ahead is not None:
            yield start, ahead

    def stream(self, blocks, process):
        """Cut, process in batches, and join.

        Arguments
        ---------
        blocks : iterable of torch.Tensor
            Consecutive parts of the recording, each (C, n).
        process : callable
            (pieces (P, C, n), list of P starts) -> processed pieces, in which
            sample i still belongs to sample i.

        Yields
        ------
        block : torch.Tensor
            Consecutive parts of the processed recording, each (C, n).
        """
        return join(self._processed(self.cut(blocks), process))

    def _processed(self, pieces, process):
        for _, alike in groupby(pieces, lambda piece: piece[1].shape):
            while batch := list(islice(alike, self.at_once)):
                starts, waves = zip(*batch)
                yield from zip(starts, process(torch.stack(waves), starts))


def join(pieces):
    """Blocks (C, n) of the recording whose overlapping pieces come in.

    Arguments
    ---------
    pieces : iterable of (int, torch.Tensor)
        First sample and samples (C, n) of each, in order. Where two overlap,
        one fades into the other; the weights sum to 1.

    Yields
    ------
    block : torch.Tensor
        Consecutive parts of the recording, each (C, n).
    """
    done, tail = 0, None
    for start, piece in pieces:
        if tail is not None:
            yield tail[..., : start - done]
            tail = tail[..., start - done :]
            shared = tail.shape[-1]
            weight = fade_in(shared).to(piece)
            mixed = (1 - weight) * tail + weight * piece[..., :shared]
            piece = torch.cat([mixed, piece[..., shared:]], -1)
        done, tail = start, piece
    if tail is not None:
        yield tail


def fade_in(num_samples):
    """Weights that rise from 0 to 1; with their mirror image they sum to 1."""
    middle = (torch.arange(num_samples) + 0.5) / num_samples
    return (0.5 * math.pi * middle).sin() ** 2
