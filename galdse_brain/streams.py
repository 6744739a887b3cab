"""Streams of blocks (C, n): resampled, mixed, cut to length.

Authors
 * The galdse developers
"""

import math

import soxr
import torch


def resampled(blocks, rate, new_rate, num_samples):
    """Blocks at another rate, without delay.

    Arguments
    ---------
    blocks : iterable of torch.Tensor
        Consecutive blocks (C, n) at ``rate``.
    rate, new_rate : int
        In Hz.
    num_samples : int
        Samples at ``rate`` in all.

    Yields
    ------
    block : torch.Tensor
        Consecutive blocks at ``new_rate``, ``resampled_length`` samples in
        all.
    """
    if rate == new_rate:
        yield from blocks
        return
    stream = None
    missing = resampled_length(num_samples, rate, new_rate)
    for block in blocks:
        if stream is None:
            stream = soxr.ResampleStream(rate, new_rate, len(block))
            empty = block[:, :0]
        block = _through(stream, block)[:, :missing]
        missing -= block.shape[-1]
        yield block
    rest = _through(stream, empty, last=True)[:, :missing]
    missing -= rest.shape[-1]
    yield torch.nn.functional.pad(rest, (0, missing))


def _through(stream, block, last=False):
    samples = stream.resample_chunk(block.T.contiguous().numpy(), last)
    return torch.from_numpy(samples.reshape(-1, len(block)).T.copy())


def resampled_length(num_samples, rate, new_rate):
    """Samples that cover the same time at another rate, rounded up."""
    return math.ceil(num_samples * new_rate / rate)


def mixed(enhanced, noisy, mix):
    """Blocks of ``(1 - mix) enhanced + mix noisy``, both streams (C, n)."""
    ahead = next(noisy)
    for block in enhanced:
        while ahead.shape[-1] < block.shape[-1]:
            ahead = torch.cat([ahead, next(noisy)], dim=-1)
        now, ahead = ahead.tensor_split([block.shape[-1]], dim=-1)
        yield block.lerp(now, mix)


def first(blocks, num_samples):
    """The first ``num_samples`` samples of a stream."""
    for block in blocks:
        yield block[:, :num_samples]
        num_samples -= min(num_samples, block.shape[-1])
