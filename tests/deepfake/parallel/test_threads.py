"""Threads that compute side by side."""

import subprocess
import sys
import threading
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepfake.parallel.threads import MAX_THREADS, ThreadTeam, share, shared_threads

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def one_again():
    yield
    torch.set_num_threads(1)


def test_items_keep_their_order_whoever_is_done_first():
    def late(value):
        time.sleep(0.02 * (value % 3 == 0))
        return -value

    assert ThreadTeam(3, 1).map(late, range(20)) == [-value for value in range(20)]


def test_each_thread_has_its_own_number_of_torch_threads_and_nobody_else():
    torch.set_num_threads(4)
    both = threading.Barrier(2)

    def seen(_):
        both.wait(30)
        return threading.current_thread().name, torch.get_num_threads()

    assert sorted(ThreadTeam(2, 2).map(seen, [0, 1])) == [("compute_0", 2), ("compute_1", 2)]
    assert torch.get_num_threads() == 4
    of_a_new_thread = []
    thread = threading.Thread(target=lambda: of_a_new_thread.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert of_a_new_thread == [4]


def test_after_an_error_nothing_more_is_begun():
    begun = []

    def fail(value):
        begun.append(value)
        time.sleep(0.005)
        raise ValueError(f"item {value}")

    threads = ThreadTeam(1, 1)
    with pytest.raises(ValueError, match="item 0"):
        threads.map(fail, range(1000))
    assert len(begun) < 1000
    assert threads.map(str, [1]) == ["1"]


def test_a_forked_process_has_threads_of_its_own():
    program = """
import os, torch
from deepfake.parallel.threads import shared_threads
torch.set_num_threads(2)
assert shared_threads().count == 2 and shared_threads() is shared_threads()
assert shared_threads().map(abs, [-1]) == [1]
child = os.fork()
if child == 0:
    os._exit(0 if shared_threads().map(abs, [-2, -3]) == [2, 3] else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=60).returncode == 0


@given(st.integers(1, 300))
def test_no_core_is_used_twice_and_few_are_left_over(cores):
    count, each = share(cores)
    assert 1 <= count <= MAX_THREADS and each >= 1
    assert 0.85 * cores <= count * each <= cores
    if cores <= MAX_THREADS:
        assert (count, each) == (cores, 1)


def test_shared_lanes_follow_torchs_number():
    assert shared_threads().count == 1
    torch.set_num_threads(3)
    assert shared_threads().count == 3
