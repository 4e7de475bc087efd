"""A team of processes: items go in, what a function yields for them comes out.

A process that dies (a crash in a decoder, out of memory) costs the item it was working on; another one takes its
place. Nothing piles up: a process whose result nobody has taken yet waits. The team ends with its parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

import cv2

from deepfake.parallel.allocator import keep_freed_memory, return_freed_memory
from deepfake.storage.disk_full import OutOfSpace, is_disk_full
from deepfake.storage.file_errors import FileError

Item = TypeVar("Item")

DIED = "the worker process died (out of memory, or a crash in the decoder)"

ASSIGNED_PER_WORKER = 2
"""Items handed to a process ahead: it goes on with the second while the first one's result is being used."""

_THREADS = 1
"""Threads of the numeric libraries in a worker: workers share the cores, and more would not survive a fork."""

_NICENESS = 5
"""Workers run at lower priority than the process that uses their results: if one of its threads is descheduled, all of
them stall."""

_PARENT_CHECK_SECONDS = 1.0

_PR_SET_PDEATHSIG = 1
"""Of prctl(2)."""

_CANCEL_CHECK_SECONDS = 0.2

IsCancelled = Callable[[], bool]
"""Returns whether the work was cancelled: its time is over, or the client that asked for it has left."""


class WorkerDied(Exception):
    """The process that worked on an item died."""


class Cancelled(Exception):
    """The work was ended because it was cancelled."""


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


def default_workers() -> int:
    """Return one worker for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(error: BaseException) -> str:
    """Return an exception as one line for a list of failures; unexpected kinds are named."""
    text = " ".join(str(error).split())
    return text if isinstance(error, (ValueError, OSError)) and text else f"{type(error).__name__}: {text}"


def stream(
    items: Sequence[Item],
    function: Callable[[Item], Iterable[Any]],
    workers: int,
    is_cancelled: IsCancelled | None = None,
) -> Generator[Part[Item], None, None]:
    """Yield the parts of all items, in the order in which they come; each item ends with a `last` part.

    Args:
        items: picklable.
        function: yields picklable values. Forked on Linux, where it may be a closure over what the parent has built
            (nothing on CUDA); elsewhere it must be picklable.
        workers: processes.
        is_cancelled: called several times a second.

    Raises:
        ValueError: no workers.
        Cancelled: the work was cancelled; its processes are killed.

    The error of a last part is what the function raised, if it is a FileError or a full disk (OutOfSpace);
    WorkerDied; or a RuntimeError that describes anything else. After OutOfSpace no more items are begun.
    """
    if workers < 1:
        raise ValueError(f"{workers} worker processes: expected 1 or more")
    todo = deque(items)
    # OpenCV's threads do not survive a fork, and a child that waits for them hangs: end them first.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    return_freed_memory()
    team: list[_Worker[Item]] = []
    try:
        team.extend(_start(function) for _ in range(min(workers, len(items))))
        while todo or any(worker.assigned for worker in team):
            _assign(team, todo)
            for ready in _wait([worker.connection for worker in team if worker.assigned], is_cancelled):
                at = next(i for i, worker in enumerate(team) if worker.connection is ready)
                part = _receive(team[at])
                if isinstance(part.error, WorkerDied):
                    todo.extendleft(reversed(team[at].assigned))
                    _stop(team[at])
                    team[at] = _start(function)
                if isinstance(part.error, OutOfSpace):
                    todo.clear()
                yield part
    finally:
        for worker in team:
            _stop(worker)
        cv2.setNumThreads(threads)


def raise_if_cancelled(is_cancelled: IsCancelled | None) -> None:
    """Raise Cancelled if the work was cancelled."""
    if is_cancelled is not None and is_cancelled():
        raise Cancelled("the work was cancelled")


def run_in_subprocess(function: Callable[[Item], Any], item: Item, is_cancelled: IsCancelled | None = None) -> Any:
    """Return `function(item)`, computed in a process of its own: a decoder that crashes there ends nothing else.

    Raises:
        What `stream` raises, and the error of the item's last part.
    """
    value = None
    with contextlib.closing(stream([item], _Single(function), 1, is_cancelled)) as parts:
        for part in parts:
            if part.error is not None:
                raise part.error
            value = value if part.last else part.value
    return value


@dataclass(frozen=True)
class _Single(Generic[Item]):
    """A function of one value as one that yields it; picklable if the function is."""

    function: Callable[[Item], Any]

    def __call__(self, item: Item) -> Iterator[Any]:
        yield self.function(item)


def _start(function: Callable[[Item], Iterable[Any]]) -> _Worker[Item]:
    # fork shares what the parent has imported (torch takes seconds); elsewhere than on Linux it is unsafe.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    ours, theirs = context.Pipe()
    from_main_thread = threading.current_thread() is threading.main_thread()
    arguments = (theirs, function, os.getpid(), from_main_thread)
    process = context.Process(target=_serve, args=arguments, daemon=True)  # type: ignore[attr-defined]
    with _later_interrupt():
        process.start()
    # Held open here, it would hide the death of its process.
    theirs.close()
    return _Worker(process, ours)


@contextlib.contextmanager
def _later_interrupt() -> Iterator[None]:
    """Hold back Ctrl-C until the end: Python's code around a fork would print it and go on, here and in the child."""
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():  # neither ours nor raised here
        yield
        return
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)


def _assign(team: list[_Worker[Item]], todo: deque[Item]) -> None:
    for depth in range(1, ASSIGNED_PER_WORKER + 1):
        for worker in team:
            if todo and len(worker.assigned) < depth:
                worker.assigned.append(todo.popleft())
                with contextlib.suppress(OSError):  # it died; receiving from it tells
                    worker.connection.send(worker.assigned[-1])


def _wait(connections: Sequence[Connection], is_cancelled: IsCancelled | None) -> list[Any]:
    """Return the connections with something to receive, as soon as there is one."""
    while True:
        raise_if_cancelled(is_cancelled)
        if ready := wait(connections, None if is_cancelled is None else _CANCEL_CHECK_SECONDS):
            return ready


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


def _serve(
    connection: Connection, function: Callable[[Any], Iterable[Any]], parent: int, from_main_thread: bool
) -> None:
    """Serve as a worker process: items in, parts out, until the parent ends it."""
    # Ctrl-C reaches the whole process group; the parent alone decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    exit_with_parent(parent)
    if from_main_thread:
        _die_with_parent(parent)
    # Collecting what the parent left would free its CUDA memory from the wrong process.
    gc.freeze()
    cap_threads(_THREADS)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    while True:
        item = connection.recv()
        error: Exception | None = None
        try:
            for value in function(item):
                connection.send((value, False, None))
        except Exception as raised:  # handed on to the caller, who knows what a failed item means
            error = portable(raised)
        connection.send((None, True, error))


def portable(error: Exception) -> Exception:
    """Return an error that survives the way to the parent, whatever it holds."""
    if isinstance(error, FileError):
        return type(error)(str(error))
    if isinstance(error, OSError) and is_disk_full(error):
        return OutOfSpace(f"the disk is full ({error.strerror})")
    return RuntimeError(describe(error))


def cap_threads(threads: int) -> None:
    """Cap the threads of the libraries that this process has loaded."""
    cv2.setNumThreads(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def exit_with_parent(parent: int) -> None:
    """End this process, from a thread, once its parent has ended: after a kill nobody else would stop it.

    Args:
        parent: the parent's id, asked for where it was still there.
    """
    threading.Thread(target=_wait_for_end, args=(parent,), daemon=True).start()


def _die_with_parent(parent: int) -> None:
    """Let Linux's kernel kill this process as soon as its parent has ended: it writes nothing any more.

    Only where the parent forked it from its main thread: the kernel waits for the end of the thread that forked.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel knew
        os._exit(1)


def _wait_for_end(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)
