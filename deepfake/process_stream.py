"""Runs one function over many videos in processes and hands back what it yields, as it comes.

A process that dies (a crash in a decoder, out of memory) costs the video it was working on; another one takes its
place. Nothing piles up: a process whose result nobody has taken yet waits.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

import cv2

from deepfake.video import VideoError
from deepfake.workers import DIED, describe, process_context, start_worker

Item = TypeVar("Item")

ASSIGNED_PER_WORKER = 2
"""Videos handed to a process ahead: it goes on with the second while the first one's result is being used."""

WORKER_THREADS = 1
"""Threads of the numeric libraries in a worker. More of them would not survive a fork."""


WORKER_NICENESS = 5
"""Workers give way to the process that uses their results: its threads wait for each other, and one that has lost its
core holds up all."""


class WorkerDied(Exception):
    """The process that worked on a video died."""


@dataclass(frozen=True)
class Part(Generic[Item]):
    """Something that the function yielded for an item; or, with `last`, that it has ended, and by which error."""

    item: Item
    value: Any = None
    last: bool = False
    error: Exception | None = None


@dataclass
class _Worker(Generic[Item]):
    process: multiprocessing.process.BaseProcess
    connection: Connection
    assigned: deque[Item] = field(default_factory=deque)


def stream(items: Sequence[Item], function: Callable[[Item], Iterable[Any]], workers: int) -> Iterator[Part[Item]]:
    """Yields the parts of all items, in the order in which they come; each item ends with a `last` part.

    Args:
        items: picklable, one a video.
        function: yields picklable values. Forked on Linux, where it may be a closure; elsewhere it must be picklable.
        workers: processes.

    The error of a last part is the VideoError that the function raised, WorkerDied, or a RuntimeError that describes
    anything else.
    """
    todo = deque(items)
    # OpenCV's threads do not survive a fork, and a child that waits for them hangs: end them first.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    team: list[_Worker[Item]] = []
    try:
        team.extend(_start(function) for _ in range(min(workers, len(items))))
        while todo or any(worker.assigned for worker in team):
            _assign(team, todo)
            for ready in wait([worker.connection for worker in team if worker.assigned]):
                at = next(i for i, worker in enumerate(team) if worker.connection is ready)
                part = _receive(team[at])
                if isinstance(part.error, WorkerDied):
                    todo.extendleft(reversed(team[at].assigned))
                    _stop(team[at])
                    team[at] = _start(function)
                yield part
    finally:
        for worker in team:
            _stop(worker)
        cv2.setNumThreads(threads)


def _start(function: Callable[[Item], Iterable[Any]]) -> _Worker[Item]:
    context = process_context()
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, function, os.getpid()), daemon=True)  # type: ignore[attr-defined]
    process.start()
    # Held open here, it would hide the death of its process.
    theirs.close()
    return _Worker(process, ours)


def _assign(team: list[_Worker[Item]], todo: deque[Item]) -> None:
    for depth in range(1, ASSIGNED_PER_WORKER + 1):
        for worker in team:
            if todo and len(worker.assigned) < depth:
                worker.assigned.append(todo.popleft())
                with contextlib.suppress(OSError):  # it died; receiving from it tells
                    worker.connection.send(worker.assigned[-1])


def _receive(worker: _Worker[Item]) -> Part[Item]:
    try:
        value, last, error = worker.connection.recv()
    except (EOFError, OSError):
        return Part(worker.assigned.popleft(), last=True, error=WorkerDied(DIED))
    return Part(worker.assigned.popleft() if last else worker.assigned[0], value, last, error)


def _stop(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.connection.close()


def _serve(connection: Connection, function: Callable[[Any], Iterable[Any]], parent: int) -> None:
    """A worker process: items in, parts out, until the parent ends it."""
    # Collecting what the parent left would free its CUDA memory from the wrong process.
    gc.freeze()
    start_worker(parent, WORKER_THREADS, None, ())
    if hasattr(os, "nice"):
        os.nice(WORKER_NICENESS)
    while True:
        item = connection.recv()
        error: Exception | None = None
        try:
            for value in function(item):
                connection.send((value, False, None))
        except VideoError as raised:
            error = raised
        except Exception as raised:  # handed on to the caller, who knows what a failed video means
            error = RuntimeError(describe(raised))
        connection.send((None, True, error))
