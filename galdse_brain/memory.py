"""Memory that a process keeps for its next tensors.

Authors
 * The galdse developers
"""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # As in glibc's malloc.h.


def keep_freed_memory():
    """Keeps the memory of freed tensors, for all that this process computes.

    glibc hands large blocks back to the kernel when they are freed, and the
    kernel zeroes every page of the next ones: a third of the time of an
    enhancement, half of a training step, on two CPU cores. Kept, memory stays
    about at its peak until the process ends. With other C libraries nothing
    is changed. The command line and ``train.py`` call it; in your own process
    it is your choice.

    Example
    -------
    >>> keep_freed_memory()
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, -1)
        mallopt(M_MMAP_MAX, 0)
