"""Threads that compute side by side: each works on another item, with its own share of the cores.

Two batches on one core each finish sooner than two batches one after the other on two cores: no core waits for the
other at the end of every layer, least of all where a process that reads ahead takes it for a while.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_THREADS = 8
"""Each needs the memory of a batch, and Python's lock lets only one at a time call its next layer."""


class ThreadTeam:
    """A fixed number of threads.

    Args:
        count: number of threads.
        torch_threads: what torch.get_num_threads() is in each of them.
    """

    def __init__(self, count: int, torch_threads: int) -> None:
        self.count = count
        whole = torch.get_num_threads()
        started = threading.Barrier(count + 1)

        def begin() -> None:
            torch.get_num_threads()  # the first call in a thread resets its number to the one last set anywhere
            torch.set_num_threads(torch_threads)
            started.wait()

        self._pool = ThreadPoolExecutor(count, thread_name_prefix="compute", initializer=begin)
        for _ in range(count):
            self._pool.submit(int)
        started.wait()
        torch.set_num_threads(whole)  # for threads that start later

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return `function` of each item, in their order. After an error or Ctrl-C no further item is begun."""
        futures = [self._pool.submit(function, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def share(cores: int) -> tuple[int, int]:
    """Return how many threads share the cores, and torch's threads in each: as many as may be, then few idle cores."""
    counts = range(MAX_THREADS // 2, MAX_THREADS + 1) if cores > MAX_THREADS else [cores]
    count = max(counts, key=lambda threads: (cores // threads * threads, threads))
    return count, cores // count


def shared_threads() -> ThreadTeam:
    """Return this process' threads, for as many cores as torch uses here."""
    return _team(os.getpid(), *share(torch.get_num_threads()))


@cache
def _team(process: int, count: int, torch_threads: int) -> ThreadTeam:
    """Return one team for each process: a forked one inherits no threads."""
    return ThreadTeam(count, torch_threads)
