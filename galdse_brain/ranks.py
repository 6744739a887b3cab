"""What the processes of one training tell each other.

All of it goes through gloo, from memory to memory: no device waits for it.

Authors
 * The galdse developers
"""

import os
from contextlib import contextmanager
from datetime import timedelta
from functools import cache

from torch import distributed

PATIENCE = timedelta(days=30)  # Shares of a large corpus end hours apart.


@cache
def _group():
    return distributed.new_group(backend="gloo", timeout=PATIENCE)


@contextmanager
def joined():
    """Be one of the processes that torchrun has started, if it has."""
    if not distributed.is_torchelastic_launched():
        yield
        return
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
        distributed.barrier()
    finally:
        distributed.destroy_process_group()
        _group.cache_clear()


def own_device(device):
    """``cuda`` with the number of this process on its machine."""
    gpus = {"cuda": f"cuda:{os.environ.get('LOCAL_RANK', 0)}"}
    return gpus.get(device, device)


def is_main():
    """Whether this is the main process, or the only one."""
    return place(0) == 0


def gathered(value):
    """The values of all processes, in the order of their ranks."""
    if not distributed.is_initialized():
        return [value]
    values = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value, _group())
    return values


def of_main(value):
    """The value of the main process, in all of them."""
    if not distributed.is_initialized():
        return value
    values = [value]
    distributed.broadcast_object_list(values, 0, _group())
    return values[0]


def shard(length):
    """This process's share of ``length`` indices, a range.

    Example
    -------
    >>> shard(3)
    range(0, 3)
    """
    if not distributed.is_initialized():
        return range(length)
    return range(distributed.get_rank(), length, distributed.get_world_size())


def place(index):
    """Where the item at ``index`` of this process's share stands in all."""
    if not distributed.is_initialized():
        return index
    return distributed.get_rank() + index * distributed.get_world_size()
