"""What the processes of one training tell each other.

All of it goes through gloo, from memory to memory: no device waits for it.

Authors
 * The galdse developers
"""

from functools import cache

from torch import distributed


@cache
def _group():
    return distributed.new_group(backend="gloo")


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
