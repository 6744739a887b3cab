"""Memory that is kept is there at once."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
from galdse_brain.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(64 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
keep_freed_memory()
faults()
print(faults())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries are as is"
)
def test_what_was_freed_is_used_again_without_page_faults():
    done = subprocess.run(
        [sys.executable, "-c", FAULTS],
        capture_output=True,
        text=True,
        check=True,
    )
    by_default, kept = map(int, done.stdout.split())
    assert kept < by_default / 10
