"""Freed memory stays with the process until it is given back."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from deepfake.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
np.ones(40_000_000)
before = resource.getrusage(resource.RUSAGE_SELF)
for _ in range(10):
    np.ones(40_000_000)  # 320 MB, freed at once
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before.ru_minflt)
"""


RETURNED = """
import psutil
import numpy as np
from deepfake.memory import keep_freed_memory
from deepfake.processes import apart

keep_freed_memory()
np.ones(40_000_000)  # 320 MB, freed at once
before = psutil.Process().memory_info().rss
apart(abs, -1)
print((before - psutil.Process().memory_info().rss) // 1_000_000)
"""


def page_faults(mode):
    done = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True)
    return int(done.stdout)


GNU = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of the GNU C library")


@GNU
def test_freed_blocks_are_used_again_without_page_faults():
    assert page_faults("keep") < 0.1 * page_faults("as it is")


@GNU
def test_freed_blocks_are_given_back_before_processes_are_forked():
    """They would be copied page by page as soon as they are used again."""
    done = subprocess.run([sys.executable, "-c", RETURNED], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 250
