"""Freed memory stays with the process until it is given back."""

import errno
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytest

from deepfake.media.containers import ReadLimits, VideoError
from deepfake.parallel.allocator import is_out_of_memory
from deepfake.prediction.bounded_memory import bounded_memory

PROGRAM = """
import resource, sys
import numpy as np
from deepfake.parallel.allocator import keep_freed_memory

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
from deepfake.parallel.allocator import keep_freed_memory
from deepfake.parallel.pool import run_in_subprocess

keep_freed_memory()
np.ones(40_000_000)  # 320 MB, freed at once
before = psutil.Process().memory_info().rss
run_in_subprocess(abs, -1)
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


@GNU
def test_a_process_that_is_held_to_a_limit_ends_in_an_error_that_names_the_video():
    # A new process: a forked one could use again what this one has freed.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(_take, 50 << 20, 100 << 20).result() == 50 << 20
        with pytest.raises(VideoError, match=r"a\.mp4: reading it takes more than 100 MB of memory"):
            pool.submit(_take, 300 << 20, 100 << 20).result()


def _take(size, limit):
    with bounded_memory(Path("a.mp4"), ReadLimits(memory=limit)):
        return len(np.ones(size, np.uint8))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "x"),
        RuntimeError("can't allocate memory"),
        cv2.error("Insufficient memory"),
    ],
)
def test_what_says_that_memory_ran_out(error):
    wrapped = ValueError("a frame")
    assert not is_out_of_memory(wrapped)
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)
