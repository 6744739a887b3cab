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
    context : int
        Samples before and after a piece that the networks hear with it, at
        most half a piece; what becomes of them is dropped.
    at_once : int
        Pieces in one batch: more are faster on a GPU, not on a CPU.
    """

    num_samples: int = 32640  # 2 s, 256 frames: a crop of galdse.yaml
    overlap: int = 2688  # 0.17 s, a twelfth
    context: int = 0
    at_once: int = 1

    @property
    def longest(self):
        """Samples of the longest piece; no longer recording is cut."""
        return self.num_samples * 3 // 2

    def checked(self):
        """Self; ValueError if the numbers make no cut."""
        for name in ("overlap", "context"):
            value = getattr(self, name)
            if not 0 <= 2 * value <= self.num_samples:
                raise ValueError(
                    f"{name} must be 0 to half of the {self.num_samples} "
                    f"samples of a piece, got {value}"
                )
        if self.num_samples < 1 or self.at_once < 1:
            raise ValueError(
                "num_samples and at_once must be positive, got "
                f"{self.num_samples} and {self.at_once}"
            )
        return self

    def scaled(self, num_samples, hop_length, frame_multiple):
        """Pieces of another length whose neighbours share as large a part.

        From one piece to the next it is a multiple of ``frame_multiple`` hops,
        so that strided networks see the same frames together; the context
        stays where it is no more than half a piece.
        """
        step = hop_length * frame_multiple
        share = 1 - self.overlap / self.num_samples
        steps = min(round(share * num_samples / step), num_samples // step)
        return self._replace(
            num_samples=num_samples,
            overlap=num_samples - max(steps, 1) * step,
            context=min(self.context, num_samples // 2 // step * step),
        )

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
        inside : slice
            Where the piece is in what is heard.
        heard : torch.Tensor
            The piece with its context, shape (C, n).

        Example
        -------
        >>> blocks = torch.arange(14.0).view(1, -1).split(4, dim=1)
        >>> for start, inside, heard in Pieces(6, 2, 1).cut(blocks):
        ...     print(start, heard[0, inside].int().tolist(), heard.shape[1])
        0 [0, 1, 2, 3, 4, 5] 7
        4 [4, 5, 6, 7, 8, 9] 8
        8 [8, 9, 10, 11, 12, 13] 7
        """
        hop = self.num_samples - self.overlap
        start, before, ahead = 0, 0, None
        for block in blocks:
            ahead = block if ahead is None else torch.cat([ahead, block], -1)
            while ahead.shape[-1] - before > self.longest:
                stop = before + self.num_samples
                heard = ahead[..., : stop + self.context]
                yield start, slice(before, stop), heard
                start += hop
                dropped = before + hop - min(self.context, start)
                ahead, before = ahead[..., dropped:], before + hop - dropped
        if ahead is not None:
            yield start, slice(before, None), ahead

    def stream(self, blocks, process):
        """Cut, process in batches, and join.

        Arguments
        ---------
        blocks : iterable of torch.Tensor
            Consecutive parts of the recording, each (C, n).
        process : callable
            (what is heard (P, C, n), list of P first samples of it, whether
            the recording ends there) -> processed, in which sample i still
            belongs to sample i.

        Yields
        ------
        block : torch.Tensor
            Consecutive parts of the processed recording, each (C, n).
        """
        return join(self._processed(self.cut(blocks), process))

    def _processed(self, pieces, process):
        def kind(piece):
            _, inside, heard = piece
            return heard.shape, inside.stop is None

        for (_, last), alike in groupby(pieces, kind):
            while batch := list(islice(alike, self.at_once)):
                starts, insides, heard = zip(*batch)
                firsts = [
                    s - inside.start for s, inside in zip(starts, insides)
                ]
                done = process(torch.stack(heard), firsts, last)
                for start, inside, wave in zip(starts, insides, done):
                    yield start, wave[..., inside]


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
