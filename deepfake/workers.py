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
from typing import TypeVar

from tqdm import tqdm

from deepfake import atomic
from deepfake.processes import OutOfSpace, WorkerDied, stream

Item = TypeVar("Item")

FAILURE_COLUMNS = ["video", "reason"]


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
    """Calls `function(item)` for every item whose output is not there yet, in `workers` processes.

    Args:
        items: picklable, one a video; the order of work, not of completion.
        function: see `processes.stream`; writes its output atomically; a raised exception is that video's failure.
        is_done: tells whether an item's output is there. Ignored with `overwrite`.
        key: names an item in the list of failures.

    Raises:
        OutOfSpace: the disk is full. Whoever was writing has finished, or failed and cleaned up.
        KeyboardInterrupt: Ctrl-C; the workers are stopped first.
    """

    def all_outcomes(todo: Sequence[Item]) -> Iterator[tuple[Item, str | None]]:
        return outcomes(todo, function, workers)

    return run_stream(items, all_outcomes, is_done=is_done, key=key, overwrite=overwrite, description=description)


def run_stream(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Iterable[tuple[Item, str | None]]],
    *,
    is_done: Callable[[Item], bool],
    key: Callable[[Item], str] = str,
    overwrite: bool = False,
    description: str = "",
) -> Summary:
    """`run_over` for work that is not one call a video: it yields items with None or their failure's reason."""
    start = time.monotonic()
    todo = [item for item in items if overwrite or not is_done(item)]
    summary = Summary(skipped=len(items) - len(todo))
    # smoothing=0: the rate and the time left follow from the whole run, not from the last few videos.
    counts = {"total": len(items), "initial": summary.skipped, "unit": "video", "smoothing": 0, "mininterval": 0.5}
    with tqdm(desc=description, **counts) as bar:
        for item, reason in work(todo):
            if reason is None:
                summary.done += 1
            else:
                summary.failures.append(Failure(key(item), reason))
            bar.set_postfix(failed=len(summary.failures), refresh=False)
            bar.update()
    summary.failures.sort(key=lambda failure: failure.key)
    summary.seconds = time.monotonic() - start
    return summary


def read_failures(path: Path) -> list[Failure]:
    """What `write_failures` listed; none if there is no list.

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
        return [Failure(video, reason) for video, reason in rows]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: not a list of failures ({','.join(FAILURE_COLUMNS)}); run the step again") from error


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Lists failures as CSV (`video,reason`); without any, removes the list of an earlier run."""
    failures = list(failures)
    if not failures:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FAILURE_COLUMNS)
    writer.writerows((failure.key, failure.reason) for failure in failures)
    atomic.write_text(path, text.getvalue())


def outcomes(
    todo: Sequence[Item], function: Callable[[Item], object], workers: int
) -> Iterator[tuple[Item, str | None]]:
    """`function(item)` for every item: (item, None or the reason of its failure), in the order of completion.

    Raises OutOfSpace as `run_over` does.
    """

    def call(item: Item) -> Iterator[None]:
        function(item)
        return iter(())

    full: OutOfSpace | None = None
    suspects: list[Item] = []
    for part in stream(todo, call, workers):
        if isinstance(part.error, OutOfSpace):
            full = part.error
        elif isinstance(part.error, WorkerDied):
            suspects.append(part.item)
        else:
            yield part.item, None if part.error is None else str(part.error)
    if full is not None:
        raise full
    for item in suspects:  # what was too much beside another large video may do alone
        for part in stream([item], call, 1):
            yield part.item, None if part.error is None else str(part.error)
