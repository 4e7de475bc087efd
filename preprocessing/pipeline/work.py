"""What every preprocessing step shares: the videos to do, who does them, records, summaries and lists of failures."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from deepfake.cli.commandline import EXIT_SOME_FAILED
from deepfake.datasets.data_root import DataRoot, failures_file, is_there
from deepfake.datasets.records import Dataset, VideoRecord
from deepfake.datasets.run_records import FAILED, Header, Record, Run, find_change, last_entries, new_header, read_runs
from deepfake.datasets.stages import Stage
from deepfake.parallel import cluster
from deepfake.parallel.workers import (
    UNMEASURED,
    Cost,
    Failure,
    Outcome,
    Summary,
    Task,
    outcomes,
    output_bytes,
    write_failures,
)
from deepfake.storage.locks import writing_folder
from deepfake.storage.names import one_line

Item = TypeVar("Item")

Output = tuple[str, str]
"""A step's name, and the key of a video."""

_SHOWN_FAILURES = 5


@dataclass(frozen=True)
class OutputResult:
    """What came of one output: made, or failed for a reason."""

    output: Output
    reason: str | None
    cost: Cost = UNMEASURED

    @property
    def step(self) -> str:
        return self.output[0]

    @property
    def video(self) -> str:
        return self.output[1]


@dataclass(frozen=True)
class Work(Generic[Item]):
    """What a step does for each of many videos.

    Attributes:
        step: the step's name.
        root: where the lists of failures and the records of runs go.
        items: all videos that it is to do, done already or not, in the order of work.
        task: the work on one; its `output` tells whether it is done.
        key: names an item.
        folder: of the outputs, below the root if it is there.
        settings: all that decides the outputs.
        all_at_once: does many videos here in place of the task, where that is quicker.
        on_gpu: the task asks for a GPU where a cluster's workers offer it.
        failures: found before the work, beside what will fail.
        note: what the summary says beside the counts.
        is_guarded: settings are compared with those of the outputs that are there.
    """

    step: str
    root: Path
    items: Sequence[Item]
    task: Task[Item]
    key: Callable[[Item], str]
    folder: str
    settings: Mapping[str, Any]
    all_at_once: Callable[[Sequence[Item]], Iterable[Outcome[Item]]] | None = None
    on_gpu: bool = False
    failures: Sequence[Failure] = ()
    note: str = ""
    is_guarded: bool = True


def stage_work(
    stage: Stage,
    layout: DataRoot,
    dataset: Dataset,
    function: Callable[[VideoRecord], object],
    settings: Mapping[str, Any],
    source: Work[VideoRecord] | None = None,
    **more: Any,
) -> Work[VideoRecord]:
    """Return the work of a step over a data root.

    Args:
        dataset: the videos of the data root.
        function: writes one video's output.
        settings: of the step itself; those of its source are added.
        source: the work that makes what this one reads, if it is done in the same run; else the records have its
            settings.
        more: `prepare` of the task, and other fields of `Work`.
    """
    task = Task(function, partial(_stage_output, stage=stage, layout=layout), more.pop("prepare", None))
    made_with = stage.source_settings(layout) if source is None else {source.step: dict(source.settings)}
    wanted = {
        "items": longest_first(stage.videos(dataset)),
        "failures": excluded(dataset, stage.works_on_fakes),
        "settings": {**settings, **made_with},
    }
    return Work(
        step=stage.name,
        root=layout.root,
        task=task,
        key=attrgetter("video_id"),
        folder=stage.folder(layout),
        **{**wanted, **more},
    )


def _stage_output(video: VideoRecord, stage: Stage, layout: DataRoot) -> Path:
    return stage.output_of(layout, video.video_id)


@dataclass(frozen=True, eq=False)
class Plan(Generic[Item]):
    """What a run has to do of a step's work.

    Attributes:
        items: those that it is about.
        kept: keys of those, of all of the work, that are done and stay as they are.
        redo_all: those that it does may have outputs of an earlier run.
    """

    work: Work[Item]
    items: Sequence[Item]
    kept: Collection[str]
    redo_all: bool

    @property
    def todo(self) -> list[str]:
        """The keys of those that are to be done."""
        return [key for item in self.items if (key := self.work.key(item)) not in self.kept]

    def header(self, args: argparse.Namespace, arguments: Sequence[str] | None = None) -> Header:
        """Return the header of the run's record.

        Args:
            arguments: the step's own, where another command does its work; else this command's.
        """
        work = self.work
        facts = {"videos": len(work.items), "skipped": len(self.items) - len(self.todo)}
        machines = {"workers": args.workers, "scheduler": args.scheduler}
        given = sys.argv[1:] if arguments is None else list(arguments)
        return new_header(work.step, work.folder, work.settings, arguments=given, **facts, **machines)


def plan_work(work: Work[Item], args: argparse.Namespace) -> Plan[Item]:
    """Return what is to be done, as the command line says.

    Raises:
        ValueError: other settings than those of the outputs that are there.
    """
    runs = read_runs(work.root, work.step, work.folder)
    items = _failed_items(work, runs) if args.retry_failed else work.items
    redo_all = args.overwrite or args.retry_failed
    redone = {work.key(item) for item in items} if redo_all else set()
    kept = {key for item in work.items if (key := work.key(item)) not in redone and is_there(_output(work, item))}
    if work.is_guarded and not args.mix_settings:
        _check_settings(work, runs, kept)
    return Plan(work, items, kept, redo_all)


def run_work(work: Work[Item], args: argparse.Namespace, arguments: Sequence[str] | None = None) -> int:
    """Do the work as the command line says, one video at a time; print and record the results; return the exit code.

    Args:
        arguments: see `Plan.header`.

    Raises:
        ValueError: other settings than those of the outputs that are there; no cluster that can be worked on; or
            another process writes below the work's root.
    """
    with writing_folder(work.root):
        plan = plan_work(work, args)
        todo = [item for item in plan.items if work.key(item) not in plan.kept]
        with open_team(work.task, args, work.all_at_once, work.on_gpu) as team:

            def results(marker: Path) -> Iterator[list[OutputResult]]:
                for outcome in team(todo, marker=marker):
                    cost = outcome.cost
                    if outcome.reason is None and cost.bytes is None:
                        cost = replace(cost, bytes=output_bytes(_output(work, outcome.item)))
                    yield [OutputResult((work.step, work.key(outcome.item)), outcome.reason, cost)]

            return record_results({plan: plan.header(args, arguments)}, results, work.step)


def record_results(
    headers: Mapping[Plan[Any], Header],
    results: Callable[[Path], Iterable[Sequence[OutputResult]]],
    description: str,
) -> int:
    """Record what comes of the outputs of several steps, print the steps' summaries, and return the exit code.

    Args:
        headers: each step's plan, and the header of its record.
        results: does the work, and yields the results as they come. Its argument is a file that exists now: every
            worker must be able to see it.
        description: of the progress bar.
    """
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        reports = {plan.work.step: stack.enter_context(_Report(plan, header)) for plan, header in headers.items()}
        marker = next(iter(reports.values())).record.path
        videos = {plan.work.key(item) for plan in headers for item in plan.items}
        left = {video for plan in headers for video in plan.todo}
        # smoothing=0: the rate and the time left follow from the whole run, not from the last few videos.
        counts = {"total": len(videos), "initial": len(videos - left), "unit": "video", "smoothing": 0}
        with tqdm(desc=description, mininterval=0.5, **counts) as bar:
            for some in results(marker):
                for result in some:
                    reports[result.step].add(result)
                bar.set_postfix(failed=sum(report.failed for report in reports.values()), refresh=False)
                bar.update(len({result.video for result in some}))
        seconds = time.monotonic() - start
        return max(report.end(seconds) for report in reports.values())


class _Report:
    """The record and the summary of one step's run. A context manager around `add` and `end`."""

    def __init__(self, plan: Plan[Any], header: Header) -> None:
        self._work = plan.work
        self._summary = Summary(skipped=len(plan.items) - len(plan.todo))
        self.record = Record(plan.work.root, header)

    def __enter__(self) -> _Report:
        self.record.__enter__()
        for failure in self._work.failures:
            self.record.add(failure.key, failure.reason)
        return self

    def __exit__(self, *raised: Any) -> None:
        self.record.__exit__(*raised)

    @property
    def failed(self) -> int:
        return len(self._summary.failures)

    def add(self, result: OutputResult) -> None:
        self.record.add(result.video, result.reason, result.cost)
        if result.reason is None:
            self._summary.done += 1
        else:
            self._summary.failures.append(Failure(result.video, result.reason))

    def end(self, seconds: float) -> int:
        """Print the step's summary at the end of the run, and return its exit code."""
        self._summary.seconds = seconds
        work = self._work
        code = finish(work.step, self._summary, work.root, work.failures, work.note)
        self.record.end(self._summary)
        return code


def _output(work: Work[Item], item: Item) -> Path:
    assert work.task.output is not None
    return work.task.output(item)


def _failed_items(work: Work[Item], runs: Sequence[Run]) -> list[Item]:
    failed = {video for video, entry in last_entries(runs).items() if entry.status == FAILED}
    return [item for item in work.items if work.key(item) in failed]


def _check_settings(work: Work[Any], runs: Sequence[Run], kept: Collection[str]) -> None:
    if change := find_change(runs, kept, work.settings):
        raise ValueError(
            f"{work.root / work.folder}: {change}; give the old value, or --overwrite to do all videos again, "
            "or --mix-settings to keep those that are there as they are"
        )


@contextlib.contextmanager
def open_team(
    task: Task[Item],
    args: argparse.Namespace,
    all_at_once: Callable[[Sequence[Item]], Iterable[Outcome[Item]]] | None = None,
    on_gpu: bool = False,
) -> Iterator[Callable[..., Iterable[Outcome[Item]]]]:
    """Yield `execute(items, marker)`; every worker must be able to see the file `marker`.

    Args:
        all_at_once, on_gpu: see `Work`.

    Raises:
        ValueError: no cluster that can be worked on.
    """
    if args.scheduler is None:
        do_all = partial(outcomes, task=task, workers=args.workers) if all_at_once is None else all_at_once
        yield lambda todo, marker: do_all(todo)
        return
    with cluster.connected(args.scheduler, args.workers) as client:
        yield partial(cluster.outcomes, task=task, client=client, on_gpu=on_gpu)


def video_size(video: VideoRecord) -> int:
    """Return the bytes of its file, 0 if there is none."""
    return file_size(video.path)


def longest_first(items: Sequence[Item], size: Callable[[Any], int] = video_size) -> list[Item]:
    """Return videos by file size: no worker is left alone with the longest one at the end. Missing files come last."""
    return sorted(items, key=size, reverse=True)


def file_size(path: Path) -> int:
    """0 if there is no such file."""
    return path.stat().st_size if is_there(path) and path.is_file() else 0


def excluded(dataset: Dataset, works_on_fakes: bool = False) -> list[Failure]:
    """Return the videos that a step cannot work on: those with unusable names, and fakes whose original is missing.

    Args:
        works_on_fakes: see `Stage`; others do not need the originals.
    """
    found = [Failure(name, reason) for name, reason in dataset.rejected.items()]
    missing = dataset.orphans if works_on_fakes else ()
    return found + [
        Failure(fake.video_id, f"its original {fake.original!r} is not in the data set") for fake in missing
    ]


def finish(step: str, summary: Summary, root: Path, failures: Sequence[Failure] = (), note: str = "") -> int:
    """Print a step's summary, list its failures in a file below `root`, and return the exit code.

    Args:
        failures: those found before the run, beside the summary's own.
        note: a line behind the summary.
    """
    summary.failures = sorted([*summary.failures, *failures], key=lambda failure: failure.key)
    print(f"{step}: {summary}")
    if note:
        print(f"{step}: {note}")
    file = failures_file(root, step)
    write_failures(file, summary.failures)
    if not summary.failures:
        return 0
    for failure in summary.failures[:_SHOWN_FAILURES]:
        print(f"  {one_line(f'failed: {failure.key}: {failure.reason}')}", file=sys.stderr)
    print(f"  all {len(summary.failures)} failures: {file}", file=sys.stderr)
    return EXIT_SOME_FAILED
