"""Threads that compute side by side: each works on another item, with its own share of the cores.

Two batches on one core each are done sooner than one batch on two cores and then the other: nobody waits at the end of
every layer for the other core, least of all where a process that reads ahead holds it for a while.
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

MAX_LANES = 8
"""Each takes the memory of a batch, and Python's lock lets one at a time call its next layer."""


class Lanes:
    """A fixed number of threads.

    Args:
        count: how many.
        threads: of torch, in each of them.
    """

    def __init__(self, count: int, threads: int) -> None:
        self.count = count
        whole = torch.get_num_threads()
        started = threading.Barrier(count + 1)

        def begin() -> None:
            torch.get_num_threads()  # a thread's first question sets its number to the last one set anywhere
            torch.set_num_threads(threads)
            started.wait()

        self._pool = ThreadPoolExecutor(count, thread_name_prefix="lane", initializer=begin)
        for _ in range(count):
            self._pool.submit(int)
        started.wait()
        torch.set_num_threads(whole)  # for threads to come

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """`function` of each item, in their order. Whatever ends it (an error, Ctrl-C), no further item is begun."""
        futures = [self._pool.submit(function, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def share(threads: int) -> tuple[int, int]:
    """Threads of torch -> how many lanes, and threads of each: as many lanes as may be, then as few idle threads."""
    counts = range(MAX_LANES // 2, MAX_LANES + 1) if threads > MAX_LANES else [threads]
    count = max(counts, key=lambda lanes: (threads // lanes * lanes, lanes))
    return count, threads // count


def shared_lanes() -> Lanes:
    """This process' lanes for as many threads as torch has here."""
    return _lanes(os.getpid(), *share(torch.get_num_threads()))


@cache
def _lanes(process: int, count: int, threads: int) -> Lanes:
    """By process: a forked one inherits no threads."""
    return Lanes(count, threads)
