"""One worker, and a line before it that has an end: who finds it full is sent away at once.

A place in the line is taken before an upload is read, so that uploads cannot fill the disk, and is given back when the
work on it has really ended, so that work which nobody waits for any more is never done beside other work.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Lock
from typing import Generic, TypeVar

from deepfake.processes import Unwanted

Item = TypeVar("Item")
Result = TypeVar("Result")

Work = Callable[[Item, Unwanted], Result]
"""Makes the result of an item; asks now and then whether it is still wanted, and raises GivenUp if it is not."""


class QueueFull(Exception):
    """All places are taken."""


class WorkQueue(Generic[Item, Result]):
    """Works in a thread of its own on one item after the other, in the order in which they are submitted.

    Args:
        work: what is done with an item.
        waiting: how many may wait beside the one that is worked on.
    """

    def __init__(self, work: Work[Item, Result], waiting: int) -> None:
        self.most = waiting + 1
        self._work = work
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="scoring")
        self._places: set[Place[Item, Result]] = set()
        self._lock = Lock()

    def __len__(self) -> int:
        """How many places are taken: uploads that are read, wait, or are worked on."""
        return len(self._places)

    def enter(self) -> Place[Item, Result]:
        """Takes a place. Raises QueueFull."""
        with self._lock:
            if len(self._places) >= self.most:
                raise QueueFull(f"{self.most} uploads are being worked on or wait; try again later")
            place = Place(self)
            self._places.add(place)
            return place

    def close(self) -> None:
        """Drops what waits, gives up what is worked on, and waits for its end."""
        with self._lock:
            places = list(self._places)
        for place in places:
            place.leave()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _submit(self, item: Item, unwanted: Unwanted) -> Future[Result]:
        return self._executor.submit(self._work, item, unwanted)

    def _give_back(self, place: Place[Item, Result]) -> None:
        with self._lock:
            self._places.discard(place)


class Place(Generic[Item, Result]):
    """A place in a queue, for one item.

    Attributes:
        cleanup: closed when the place is given back; for what the item lies in.
    """

    def __init__(self, queue: WorkQueue[Item, Result]) -> None:
        self.cleanup = contextlib.ExitStack()
        self._queue = queue
        self._left = Event()
        self._future: Future[Result] | None = None

    def submit(self, item: Item) -> Future[Result]:
        """Lines the item up; once a place."""
        assert self._future is None
        self._future = self._queue._submit(item, self._left.is_set)
        self._future.add_done_callback(lambda _: self._end())
        return self._future

    def leave(self) -> None:
        """The result is not wanted (any more): work that waits is dropped, work that is going on is given up."""
        self._left.set()
        if self._future is None:
            self._end()
        else:
            self._future.cancel()

    def _end(self) -> None:
        try:
            self.cleanup.close()
        finally:
            self._queue._give_back(self)
