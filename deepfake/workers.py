"""Runs one function over many videos in processes: progress, failures counted, resume.

A video whose function raises, or whose process dies (a crash in a decoder, out of memory), is a failure with a
reason; the others go on. The function writes its own output atomically and `is_done` tells whether that output is
there, so a run that was killed at any moment is continued by running it again.
"""

from __future__ import annotations

import csv
import errno
import io
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import cv2
from tqdm import tqdm

from deepfake import atomic

Item = TypeVar("Item")

DIED = "the worker process died (out of memory, or a crash in the decoder)"

IN_FLIGHT_PER_WORKER = 4
"""Queued work a worker: enough to keep it busy, little enough to hand over no more than is needed."""

_PARENT_CHECK_SECONDS = 1.0

_initializer_error: Exception | None = None
"""In a worker: why it cannot work. Raised with its first video, as the pool itself would only say that it broke."""


@dataclass(frozen=True)
class Failure:
    """A video that could not be processed, and why."""

    key: str
    reason: str


@dataclass
class Summary:
    """What came of a run over many videos."""

    done: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        rate = self.done / self.seconds if self.seconds else 0.0
        return (
            f"{self.done} done, {self.skipped} skipped (already there), {len(self.failures)} failed "
            f"in {self.seconds:.1f} s ({rate:.2f} videos/s)"
        )


class OutOfSpace(OSError):
    """The disk is full: no video that follows can be written either."""


def default_workers() -> int:
    """One worker a core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_over(
    items: Sequence[Item],
    function: Callable[[Item], object],
    *,
    is_done: Callable[[Item], bool],
    workers: int,
    key: Callable[[Item], str] = str,
    overwrite: bool = False,
    description: str = "",
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
) -> Summary:
    """Calls `function(item)` for every item whose output is not there yet, in `workers` processes.

    Args:
        items: picklable, one a video; the order of work, not of completion.
        function: picklable; writes its output atomically; a raised exception is that video's failure.
        is_done: tells whether an item's output is there. Ignored with `overwrite`.
        key: names an item in the list of failures.
        initializer: called once in each worker.

    Raises:
        OutOfSpace: the disk is full.
        KeyboardInterrupt: Ctrl-C; the workers are stopped first.
        Exception: what `initializer` raised.
    """

    def stream(todo: Sequence[Item]) -> Iterator[tuple[Item, str | None]]:
        return _outcomes(todo, function, workers, initializer, initargs)

    return run_stream(items, stream, is_done=is_done, key=key, overwrite=overwrite, description=description)


def run_stream(
    items: Sequence[Item],
    stream: Callable[[Sequence[Item]], Iterable[tuple[Item, str | None]]],
    *,
    is_done: Callable[[Item], bool],
    key: Callable[[Item], str] = str,
    overwrite: bool = False,
    description: str = "",
) -> Summary:
    """`run_over` for work that is not one call a video: `stream` yields each item with None or its failure's reason."""
    start = time.monotonic()
    todo = [item for item in items if overwrite or not is_done(item)]
    summary = Summary(skipped=len(items) - len(todo))
    with _progress(len(items), summary.skipped, description) as bar:
        for item, reason in stream(todo):
            if reason is None:
                summary.done += 1
            else:
                summary.failures.append(Failure(key(item), reason))
            bar.set_postfix(failed=len(summary.failures), refresh=False)
            bar.update()
    summary.failures.sort(key=lambda failure: failure.key)
    summary.seconds = time.monotonic() - start
    return summary


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Lists failures as CSV (`video,reason`); without any, removes the list of an earlier run."""
    failures = list(failures)
    if not failures:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "reason"])
    writer.writerows((failure.key, failure.reason) for failure in failures)
    atomic.write_text(path, text.getvalue())


def cap_threads(threads: int) -> None:
    """Caps the threads of the libraries that this process has loaded, so that workers do not fight over cores."""
    cv2.setNumThreads(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def describe(error: BaseException) -> str:
    """An exception as one line for a list of failures; unexpected kinds are named."""
    text = " ".join(str(error).split())
    return text if isinstance(error, (ValueError, OSError)) and text else f"{type(error).__name__}: {text}"


def _progress(total: int, skipped: int, description: str) -> tqdm:
    # smoothing=0: the rate and the time left follow from the whole run, not from the last few videos.
    return tqdm(total=total, initial=skipped, desc=description, unit="video", smoothing=0, mininterval=0.5)


def _outcomes(
    todo: Sequence[Item],
    function: Callable[[Item], object],
    workers: int,
    initializer: Callable[..., None] | None,
    initargs: tuple[Any, ...],
) -> Iterator[tuple[Item, str | None]]:
    """(item, None or the reason of its failure), in the order of completion."""
    threads = max(1, default_workers() // workers)
    pool = (threads, initializer, initargs)
    waiting = list(reversed(todo))
    while waiting:
        suspects: list[Item] = []
        for item, reason in _pool_outcomes(waiting, function, min(workers, len(waiting)), pool):
            if reason is DIED:
                suspects.append(item)
            else:
                yield item, reason
        # A dying process takes the whole pool along: find out who it was, one at a time.
        for item in suspects:
            yield from _pool_outcomes([item], function, 1, pool)


def _pool_outcomes(
    waiting: list[Item], function: Callable[[Item], object], workers: int, pool: tuple
) -> Iterator[tuple[Item, str | None]]:
    """Works through `waiting` from its end. After a process died, reports the items then in flight and returns."""
    threads, initializer, initargs = pool
    # OpenCV's threads do not survive a fork, and a child that waits for them hangs: end them first.
    parent_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    executor = ProcessPoolExecutor(
        workers,
        mp_context=process_context(),
        initializer=start_worker,
        initargs=(os.getpid(), threads, initializer, initargs),
    )
    flying: dict[Future, Item] = {}
    try:
        while waiting or flying:
            try:
                while waiting and len(flying) < workers * IN_FLIGHT_PER_WORKER:
                    future = executor.submit(_guarded, function, waiting[-1])
                    flying[future] = waiting.pop()
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    reason = future.result()
                    yield flying.pop(future), reason
            except BrokenProcessPool:
                yield from ((item, DIED) for item in flying.values())
                return
        executor.shutdown()
    except OutOfSpace:
        # Whoever is writing may finish, or fail and clean up.
        executor.shutdown(cancel_futures=True)
        raise
    finally:
        _stop(executor)
        cv2.setNumThreads(parent_threads)


def _guarded(function: Callable[[Item], object], item: Item) -> str | None:
    """Runs in a worker: the reason of a failure, or None. A full disk is not one video's failure."""
    if _initializer_error is not None:
        raise _initializer_error
    try:
        function(item)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace(f"the disk is full ({error.strerror})") from error
        return describe(error)
    except Exception as error:
        return describe(error)
    return None


def start_worker(
    parent: int, threads: int, initializer: Callable[..., None] | None, initargs: tuple[Any, ...]
) -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    cap_threads(threads)
    if initializer is not None:
        try:
            initializer(*initargs)
        except Exception as error:
            global _initializer_error
            _initializer_error = error


def _die_with(parent: int) -> None:
    """Ends this worker when its parent was killed: nobody would stop it otherwise."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)


def process_context() -> multiprocessing.context.BaseContext:
    # fork shares what the parent has imported (torch takes seconds); elsewhere than on Linux it is unsafe.
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


def _stop(executor: ProcessPoolExecutor) -> None:
    """Ends the workers at once; does nothing after an orderly shutdown."""
    processes = list((executor._processes or {}).values())
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()
