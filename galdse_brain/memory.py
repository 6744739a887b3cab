"""Memory of a process: how much, and what it keeps for its next tensors.

Authors
 * The galdse developers
"""

import ctypes
import os
import platform
import re
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # As in glibc's malloc.h.
PER_RUSAGE = {"Darwin": 1}.get(platform.system(), 1024)  # bytes


def resident():
    """Bytes that the process holds now, where not said those held so far."""
    return _status("VmRSS")


def largest_resident():
    """Most bytes that the process held so far."""
    return _status("VmHWM")


def _status(name):
    status = Path("/proc/self/status")
    if status.exists():  # What is below counts the parent's at the start, too.
        found = re.search(rf"{name}:\s*(\d+) kB", status.read_text())
        return int(found[1]) * 1024
    import resource  # Not everywhere.

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used * PER_RUSAGE


def keep_freed_memory():
    """Keeps the memory of freed tensors for the next ones of this process.

    By default glibc hands large blocks back to the kernel when they are freed,
    and the kernel zeroes every page of the next ones (``benchmarks/network.py
    --kept`` says what that costs). Kept, memory stays at its peak or somewhat
    above it until ``release_freed_memory``; forked processes start without it.
    In threads other than the main one, blocks above 64 MiB go back all the
    same. With other C libraries nothing is changed. The command, its Ray
    workers and ``train.py`` call it; in your own process it is your choice.

    Example
    -------
    >>> keep_freed_memory()
    """
    KEEP.get(platform.libc_ver()[0], lambda: None)()


def release_freed_memory():
    """Gives back what is free now: tensors of many sizes leave gaps.

    Example
    -------
    >>> release_freed_memory()
    """
    RELEASE.get(platform.libc_ver()[0], lambda: None)()


def _keep_with_glibc():
    libc = ctypes.CDLL(None)
    libc.mallopt(M_TRIM_THRESHOLD, -1)
    libc.mallopt(M_MMAP_MAX, 0)
    # Else each worker of a data loader would hold the pages, too.
    os.register_at_fork(before=_release_with_glibc)


def _release_with_glibc():
    ctypes.CDLL(None).malloc_trim(0)


# By the C library.
KEEP = {"glibc": _keep_with_glibc}
RELEASE = {"glibc": _release_with_glibc}
