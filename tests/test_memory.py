"""Memory that is kept is there at once, until it is given back."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries are as is"
)


def printed(script):
    """Numbers of a process of its own: what it sets holds until its end."""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return map(int, done.stdout.split())


FAULTS = """
import resource
from galdse_brain.memory import keep_freed_memory, release_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(64 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
keep_freed_memory()
faults()
print(faults())
release_freed_memory()
print(faults())
"""


def test_what_was_freed_is_used_again_without_page_faults_until_released():
    by_default, kept, released = printed(FAULTS)
    assert kept < by_default / 10
    assert kept < released / 10


FORKED = """
import multiprocessing
from pathlib import Path
from galdse_brain.memory import keep_freed_memory

def resident():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])

keep_freed_memory()
bytearray(64 * 2**20)
print(resident())
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.apply(resident))
"""


def test_forked_processes_start_without_what_was_kept():
    kept, forked = printed(FORKED)
    assert kept - forked > 48 * 1024
