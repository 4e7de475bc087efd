"""Runs one function over many videos in processes: progress, failures counted, resume.

A video whose function raises, or whose process dies, is a failure with a reason; the others go on. The function
writes its own output atomically and `is_done` tells whether that output is there, so a run that was killed at any
moment is continued by running it again.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from deepfake.parallel.pool import WorkerDied, stream
from deepfake.storage import atomic
from deepfake.storage.disk_full import OutOfSpace
from deepfake.storage.names import from_cell, to_cell

Item = TypeVar("Item")

FAILURE_COLUMNS = ["video", "reason"]


@dataclass(frozen=True)
class Failure:
    """A video that could not be processed, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Cost:
    """What one video took: seconds of work and bytes of output; None where nobody measured.

    `result` is what the function has returned, for who asks.
    """

    seconds: float | None = None
    bytes: int | None = None
    result: Any = None


UNMEASURED = Cost()


@dataclass(frozen=True)
class Outcome(Generic[Item]):
    """What came of one video: done, or failed for a reason."""

    item: Item
    reason: str | None = None
    cost: Cost = UNMEASURED


@dataclass(frozen=True)
class Task(Generic[Item]):
    """The work on one video. Picklable if its parts are.

    Attributes:
        function: writes the item's output atomically; a raised exception is that video's failure. Picklable result.
        output: the file or folder that it writes, if that is to be measured.
        prepare: loads what the function takes long to load; called once in a process, before the first item.
    """

    function: Callable[[Item], object]
    output: Callable[[Item], Path] | None = None
    prepare: Callable[[], object] | None = None

    def __call__(self, item: Item) -> Iterator[Cost]:
        """Do the work, yield what it took, then raise what it raised."""
        start = time.monotonic()
        try:
            result = self.function(item)
        except Exception:
            yield Cost(time.monotonic() - start)
            raise
        seconds = time.monotonic() - start
        yield Cost(seconds, None if self.output is None else output_bytes(self.output(item)), result)


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


def run_over(
    items: Sequence[Item],
    function: Callable[[Item], object],
    *,
    is_done: Callable[[Item], bool],
    workers: int,
    key: Callable[[Item], str] = str,
    overwrite: bool = False,
    description: str = "",
) -> Summary:
    """Call `function(item)` for every item whose output is not there yet, in `workers` processes.

    Args:
        items: picklable, one a video; the order of work, not of completion.
        function: see `pool.stream` and `Task.function`.
        is_done: tells whether an item's output is there. Ignored with `overwrite`.
        key: names an item in the list of failures.

    Raises:
        OutOfSpace: the disk is full. Whoever was writing has finished, or failed and cleaned up.
        KeyboardInterrupt: Ctrl-C; the workers are stopped first.
    """

    def all_outcomes(todo: Sequence[Item]) -> Iterator[Outcome[Item]]:
        return outcomes(todo, Task(function), workers)

    return run_stream(items, all_outcomes, is_done=is_done, key=key, overwrite=overwrite, description=description)


def run_stream(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Iterable[Outcome[Item]]],
    *,
    is_done: Callable[[Item], bool],
    key: Callable[[Item], str] = str,
    overwrite: bool = False,
    description: str = "",
) -> Summary:
    """Do `run_over` for work that is not one call a video in processes here: it yields what came of each."""
    start = time.monotonic()
    todo = [item for item in items if overwrite or not is_done(item)]
    summary = Summary(skipped=len(items) - len(todo))
    # smoothing=0: the rate and the time left follow from the whole run, not from the last few videos.
    counts = {"total": len(items), "initial": summary.skipped, "unit": "video", "smoothing": 0, "mininterval": 0.5}
    with tqdm(desc=description, **counts) as bar:
        for outcome in work(todo):
            if outcome.reason is None:
                summary.done += 1
            else:
                summary.failures.append(Failure(key(outcome.item), outcome.reason))
            bar.set_postfix(failed=len(summary.failures), refresh=False)
            bar.update()
    summary.failures.sort(key=lambda failure: failure.key)
    summary.seconds = time.monotonic() - start
    return summary


def read_failures(path: Path) -> list[Failure]:
    """Return what `write_failures` listed; nothing if there is no list.

    Raises:
        ValueError: the file is no such list.
    """
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file, strict=True)
        if header != FAILURE_COLUMNS:
            raise ValueError(f"columns {header}")
        return [Failure(from_cell(video), from_cell(reason)) for video, reason in rows]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: not a list of failures ({','.join(FAILURE_COLUMNS)}); run the step again") from error


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """List failures as CSV (`video,reason`); without any, remove the list of an earlier run."""
    failures = list(failures)
    if not failures:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FAILURE_COLUMNS)
    writer.writerows((to_cell(failure.key), to_cell(failure.reason)) for failure in failures)
    atomic.write_text(path, text.getvalue())


def output_bytes(output: Path) -> int:
    """Return the size of a file, or of all files directly in a folder."""
    files = output.iterdir() if output.is_dir() else (output,)
    return sum(file.stat().st_size for file in files)


def outcomes(todo: Sequence[Item], task: Task[Item], workers: int) -> Iterator[Outcome[Item]]:
    """Yield what comes of every item in processes here, in the order of completion.

    Raises OutOfSpace as `run_over` does, and what `task.prepare` raises.
    """
    if task.prepare is not None and todo:
        task.prepare()
    full: OutOfSpace | None = None
    suspects: list[Item] = []
    for item, cost, error in _ends(todo, task, workers):
        if isinstance(error, OutOfSpace):
            full = error
        elif isinstance(error, WorkerDied):
            suspects.append(item)
        else:
            yield Outcome(item, None if error is None else str(error), cost)
    if full is not None:
        raise full
    for suspect in suspects:  # what was too much beside another large video may do alone
        for item, cost, error in _ends([suspect], task, 1):
            yield Outcome(item, None if error is None else str(error), cost)


def _ends(todo: Sequence[Item], task: Task[Item], workers: int) -> Iterator[tuple[Item, Cost, Exception | None]]:
    """Yield how the work on each item has ended."""
    costs: dict[int, Cost] = {}
    for part in stream(todo, task, workers):
        if part.last:
            yield part.item, costs.pop(id(part.item), UNMEASURED), part.error
        else:
            costs[id(part.item)] = part.value
