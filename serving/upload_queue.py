"""A bounded queue with one worker: a client that finds it full is refused at once.

A slot in the queue is taken before an upload is read (`serving.admission`), and given back when the work on it has
really ended, so that work which nobody waits for any more is never done beside other work.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Generic, TypeVar

from deepfake.parallel.pool import IsCancelled
from serving.admission import Admission, Slot

Item = TypeVar("Item")
Result = TypeVar("Result")

Work = Callable[[Item, IsCancelled], Result]
"""Returns the result of an item; checks now and then whether it was cancelled, and raises Cancelled if so."""


class WorkQueue(Generic[Item, Result]):
    """Works in a thread of its own on one item after the other, in the order in which they are submitted.

    Args:
        work: what is done with an item.
        waiting: how many may wait beside the one that is worked on.
        most_each: how many one address may have in the queue; None for no such limit.
    """

    def __init__(self, work: Work[Item, Result], waiting: int, most_each: int | None = None) -> None:
        self.admission = Admission(waiting + 1, most_each or waiting + 1)
        self._work = work
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="scoring")
        self._tickets: set[Ticket[Item, Result]] = set()

    def __len__(self) -> int:
        """How many slots are taken: uploads that are read, wait, or are worked on."""
        return len(self.admission)

    def enter(self, address: str = "") -> Ticket[Item, Result]:
        """Take a slot for an address. Raises `serving.admission.Full`."""
        return self.hold(self.admission.enter(address))

    def hold(self, slot: Slot) -> Ticket[Item, Result]:
        """Return a ticket for a slot that has been taken."""
        ticket = Ticket(self, slot)
        self._tickets.add(ticket)
        return ticket

    def close(self) -> None:
        """Drop what waits, cancel what is worked on, and wait for its end."""
        for ticket in list(self._tickets):
            ticket.leave()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _submit(self, item: Item, is_cancelled: IsCancelled) -> Future[Result]:
        return self._executor.submit(self._work, item, is_cancelled)

    def _forget(self, ticket: Ticket[Item, Result]) -> None:
        self._tickets.discard(ticket)


class Ticket(Generic[Item, Result]):
    """A slot in a queue, for one item.

    Attributes:
        slot: taken until the work on the item has ended.
        cleanup: closed when the slot is given back; for what the item lies in.
    """

    def __init__(self, queue: WorkQueue[Item, Result], slot: Slot) -> None:
        self.slot = slot
        self.cleanup = contextlib.ExitStack()
        self._queue = queue
        self._left = Event()
        self._future: Future[Result] | None = None

    def submit(self, item: Item) -> Future[Result]:
        """Queue the item and return its future result; once a ticket."""
        assert self._future is None
        self._future = self._queue._submit(item, self._left.is_set)
        self._future.add_done_callback(lambda _: self._end())
        return self._future

    def leave(self) -> None:
        """Drop the work if it waits, cancel it if it has begun; the result is not wanted any more."""
        self._left.set()
        if self._future is None:
            self._end()
        else:
            self._future.cancel()

    def _end(self) -> None:
        try:
            self.cleanup.close()
        finally:
            self.slot.leave()
            self._queue._forget(self)
