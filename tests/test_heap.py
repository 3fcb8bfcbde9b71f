import platform
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, gc, resource
import numpy as np
from streams import heap

def faults() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        block = np.ones(512 << 10, dtype=np.uint8)
        del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

ctypes.CDLL("libc.so.6").mallopt(-3, 128 << 10)  # where glibc begins
at_first = faults()
heap.keep_blocks()
faults()
print(at_first, faults())
heap.leave_alone()
print(gc.get_freeze_count())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's settings")
def test_blocks_of_a_step_are_used_again_and_what_was_there_is_left_alone():
    """In a process of its own: what it sets stays set."""
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    at_first, then, frozen = (int(word) for word in run.stdout.split())
    assert at_first > 200 * 100  # every page of every block
    assert then < 200
    assert frozen > 1000
