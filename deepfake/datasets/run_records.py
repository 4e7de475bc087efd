"""What each run of a step did, ROOT/runs/START_STEP_ID.jsonl: read later to tell how far the data set is.

JSON lines. The first tells which run this is: step, settings, code, when. Each other one tells what came of a video;
the last one, of a run that was not stopped, counts them. A line is written as soon as its video has ended, so a run
that was killed leaves all but the line it was writing.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from deepfake.parallel.workers import UNMEASURED, Cost, Summary
from deepfake.storage import atomic
from deepfake.storage.disk_full import out_of_space
from deepfake.storage.journal import append_line, whole_lines
from deepfake.storage.json_files import parse_json
from deepfake.storage.own_folders import RUNS_DIR
from deepfake.storage.schema import from_plain
from deepfake.version import code_version

FORMAT = 1
DONE, FAILED = "done", "failed"

_END = "end"


@dataclass(frozen=True)
class Header:
    """Which run this is.

    Attributes:
        step: the name of the step's file, without suffix.
        folder: of the outputs, below the root if it is there.
        settings: all that decides the outputs; plain JSON values.
        videos: how many there are to do or done already.
        skipped: how many were done already.
        workers: processes, where they are here.
        scheduler: the cluster's address, None without one.
        arguments: of the command line.
        started: date and time, UTC, ISO 8601.
        code: the fields of `version.CodeVersion`.
        number: of the run among those of its step below the root, from 1: clocks are set back. 0 in older records.
    """

    step: str
    folder: str
    settings: dict[str, Any]
    videos: int
    skipped: int
    workers: int
    scheduler: str | None
    arguments: list[str]
    started: str
    code: dict[str, str | None]
    number: int = 0


@dataclass(frozen=True)
class Entry:
    """What came of one video; `at` is when, in seconds from the run's start."""

    video: str
    status: str
    seconds: float | None
    bytes: int | None
    error: str | None
    at: float


@dataclass(frozen=True)
class Run:
    """A run that was read; `end` counts its videos and seconds, None if it was stopped or goes on."""

    path: Path
    header: Header
    entries: list[Entry]
    end: dict[str, Any] | None = None

    @property
    def rate(self) -> float | None:
        """Videos done a second; None if none was."""
        done = [entry.at for entry in self.entries if entry.status == DONE]
        return len(done) / max(done) if done and max(done) > 0 else None


def new_header(step: str, folder: str, settings: Mapping[str, Any], **more: Any) -> Header:
    """The header of a run that starts now, of this code. `more` are the other fields."""
    started = datetime.now(timezone.utc).isoformat(timespec="microseconds")
    return Header(step, folder, plain(settings), started=started, code=asdict(code_version()), **more)


class Record:
    """The file of a run that goes on. Use it as a context manager around `add` and `end`.

    Raises OutOfSpace where the disk is full.
    """

    def __init__(self, root: Path, header: Header) -> None:
        stamp = datetime.fromisoformat(header.started).strftime("%Y%m%dT%H%M%S")
        self.path = root / RUNS_DIR / f"{stamp}_{header.step}_{secrets.token_hex(3)}.jsonl"
        self._header = header

    def __enter__(self) -> Record:
        numbers = _numbers(self.path.parent, self._header.step)
        self._header = replace(self._header, number=1 + max(numbers, default=0))
        # A run that is killed as it begins leaves a name that no later run takes again.
        atomic.remove_leftovers(self.path.parent, f"*_{self._header.step}_*.jsonl")
        with out_of_space(self.path):
            atomic.write_text(self.path, json.dumps({"format": FORMAT, **asdict(self._header)}) + "\n")
            self._file = self.path.open("a", encoding="utf-8")
        self._start = time.monotonic()
        self._empty = True
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with contextlib.suppress(OSError):  # what could not be written before cannot be flushed now
            self._file.close()
        if self._empty:  # stopped before the first video: nothing was made with these settings
            self.path.unlink()

    def add(self, video: str, error: str | None, cost: Cost = UNMEASURED) -> None:
        """What came of a video: done, or failed by an error."""
        seconds = None if cost.seconds is None else round(cost.seconds, 3)
        at = round(time.monotonic() - self._start, 3)
        entry = Entry(video, DONE if error is None else FAILED, seconds, cost.bytes, error, at)
        self._append(asdict(entry))

    def end(self, summary: Summary) -> None:
        """The run is complete."""
        counts = {"done": summary.done, "skipped": summary.skipped, "failed": len(summary.failures)}
        self._append({_END: {**counts, "seconds": round(summary.seconds, 3)}})

    def _append(self, content: dict[str, Any]) -> None:
        self._empty = False
        append_line(self._file, self.path, json.dumps(content))


def read_runs(root: Path, step: str, folder: str | None = None) -> list[Run]:
    """The runs of a step, the earliest first; with `folder`, only those that write there.

    Raises:
        ValueError: a file is damaged, or of another version.
    """
    runs = [_read_run(path) for path in atomic.whole_files(root / RUNS_DIR, f"*_{step}_*.jsonl")]
    wanted = [run for run in runs if run.header.step == step and folder in (None, run.header.folder)]
    return sorted(wanted, key=lambda run: (run.header.number, run.header.started))


def last_entries(runs: Iterable[Run]) -> dict[str, Entry]:
    """What came of each video at last."""
    return {entry.video: entry for run in runs for entry in run.entries}


@dataclass
class _Making:
    """How the videos that are there were made."""

    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    latest: dict[str, Any] | None = None

    def of(self, video: str) -> dict[str, Any] | None:
        """None if nobody knows. Done just before a kill, a video is in no list: then the latest run made it."""
        return self.settings.get(video, self.latest)


def find_change(runs: Sequence[Run], kept: Collection[str], settings: Mapping[str, Any]) -> str | None:
    """How settings differ from those that the videos were made with which are there and kept, in words.

    None if they do not. What an earlier run did not know of (a setting of later code) is no difference.
    """
    making = _Making()
    for run in runs:
        making.settings.update((entry.video, run.header.settings) for entry in run.entries if entry.status == DONE)
        making.latest = run.header.settings
    new = _flat(plain(settings))
    differences: Counter[str] = Counter()
    example: dict[str, str] = {}
    known: dict[int, str] = {}  # videos of one run share their settings: compared once
    for video in kept:
        made = making.of(video)
        if made is None:
            continue
        if id(made) not in known:
            known[id(made)] = _difference(_flat(made), new)
        if difference := known[id(made)]:
            differences[difference] += 1
            example.setdefault(difference, video)
    if not differences:
        return None
    difference, count = differences.most_common(1)[0]
    return f"{count} of the videos there (such as {example[difference]}) were made with {difference}"


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON gives them back."""
    return json.loads(json.dumps(settings))


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {old[key]}, not {new[key]}" for key in old if key in new and old[key] != new[key])


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one mapping from dotted names."""

    def walk() -> Iterator[tuple[str, Any]]:
        for key, value in settings.items():
            if isinstance(value, dict):
                yield from _flat(value, f"{prefix}{key}.").items()
            else:
                yield f"{prefix}{key}", value

    return dict(walk())


def _numbers(folder: Path, step: str) -> Iterator[int]:
    """The numbers of a step's runs."""
    for path in atomic.whole_files(folder, f"*_{step}_*.jsonl"):
        with path.open(encoding="utf-8") as file:
            yield json.loads(file.readline()).get("number", 0)


def _read_run(path: Path) -> Run:
    try:
        first, *lines = map(parse_json, whole_lines(path))
        header = from_plain(Header, first, file_format=FORMAT)
        end = lines.pop()[_END] if lines and _END in lines[-1] else None
        return Run(path, header, from_plain(list[Entry], lines), end)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: not the record of a run ({error}); remove it to forget that run") from error
