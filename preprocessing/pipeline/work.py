"""What the command line of every preprocessing step shares: arguments, summary, list of failures, exit codes."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

from deepfake.cli.commandline import EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE, positive_int, run_guarded
from deepfake.datasets.layout import FAILURES_DIR, DataRoot, failures_file, is_there
from deepfake.datasets.metadata import Dataset, VideoRecord, read_dataset
from deepfake.datasets.run_records import FAILED, Header, Record, Run, find_change, last_entries, new_header, read_runs
from deepfake.datasets.stages import Stage
from deepfake.parallel import cluster
from deepfake.parallel.pool import default_workers
from deepfake.parallel.workers import (
    Failure,
    Outcome,
    Summary,
    Task,
    outcomes,
    output_bytes,
    run_stream,
    write_failures,
)
from deepfake.storage.locks import writing_folder
from deepfake.storage.names import one_line
from deepfake.storage.own_folders import RUNS_DIR

Item = TypeVar("Item")

_SHOWN_FAILURES = 5


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
    function: Callable[[VideoRecord], object],
    settings: Mapping[str, Any],
    source: Work[VideoRecord] | None = None,
    **more: Any,
) -> Work[VideoRecord]:
    """The work of a step over a data root.

    Args:
        function: writes one video's output.
        settings: of the step itself; those of what it works on are added.
        source: the work that makes what it works on, if that is done in the same run: the records tell otherwise.
        more: `prepare` of the task, and other fields of `Work`.
    """
    dataset = read_dataset(layout.root)
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


@dataclass(frozen=True)
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
        """Keys of those that are to be done."""
        return [key for item in self.items if (key := self.work.key(item)) not in self.kept]

    def header(self, args: argparse.Namespace, arguments: Sequence[str] | None = None) -> Header:
        """The header of the run's record. `arguments` are those that the step is called with, unless this is it."""
        work = self.work
        facts = {"videos": len(work.items), "skipped": len(self.items) - len(self.todo)}
        hands = {"workers": args.workers, "scheduler": args.scheduler}
        given = sys.argv[1:] if arguments is None else list(arguments)
        return new_header(work.step, work.folder, work.settings, arguments=given, **facts, **hands)


def plan_work(work: Work[Item], args: argparse.Namespace) -> Plan[Item]:
    """What is to be done, as the command line says.

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
    """Does the work as the command line says, prints and records what came of it, and returns the exit code.

    Args:
        arguments: see `Plan.header`.

    Raises:
        ValueError: other settings than those of the outputs that are there; no cluster that can be worked on; or
            another process writes below the work's root.
    """
    with writing_folder(work.root):
        return _run_planned(plan_work(work, args), args, arguments)


def _run_planned(plan: Plan[Item], args: argparse.Namespace, arguments: Sequence[str] | None) -> int:
    work = plan.work
    header = plan.header(args, arguments)
    with open_team(work.task, args, work.all_at_once, work.on_gpu) as team, Record(work.root, header) as record:

        def write_down(outcome: Outcome[Item]) -> None:
            cost = outcome.cost
            if outcome.reason is None and cost.bytes is None:
                cost = replace(cost, bytes=output_bytes(_output(work, outcome.item)))
            record.add(work.key(outcome.item), outcome.reason, cost)

        for failure in work.failures:
            record.add(failure.key, failure.reason)
        summary = run_stream(
            plan.items,
            partial(team, marker=record.path),
            is_done=lambda item: work.key(item) in plan.kept,
            key=work.key,
            description=work.step,
            record=write_down,
        )
        code = finish(work.step, summary, work.root, work.failures, work.note)
        record.end(summary)
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
    """Who does the work, as a function of the items to do and of a file that all who do it must see (`marker`).

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


def make_parser(description: str, example: str) -> argparse.ArgumentParser:
    """A parser with the arguments of every step that does one thing for each video of a data root."""
    parser = make_root_parser(description, example)
    add_cluster_options(parser)
    add_mix_settings(parser)
    return parser


def make_root_parser(description: str, example: str) -> argparse.ArgumentParser:
    """A parser with the arguments of every step over a data root: --root-dir, --workers, --overwrite."""
    parser = make_bare_parser(description, example, "DATA_ROOT")
    parser.add_argument("--root-dir", type=Path, required=True, metavar="DATA_ROOT", help="data set in DFDC layout")
    add_run_options(parser)
    return parser


def make_bare_parser(description: str, example: str, root: str) -> argparse.ArgumentParser:
    """A parser whose help tells the exit codes and an example; `root` is what the help calls the output folder."""
    codes = f"""exit codes:
  0    every video is done
  {EXIT_USAGE}    the command or the data set cannot be used; nothing was done
  {EXIT_SOME_FAILED}    the run is complete, but some videos failed; they are listed in {root}/{FAILURES_DIR}
  {EXIT_INTERRUPTED}  interrupted; the same command continues
"""
    return argparse.ArgumentParser(
        description=description,
        epilog=f"{codes}\nexample:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """--workers and --overwrite."""
    parser.add_argument(
        "--workers",
        type=positive_int,
        default=default_workers(),
        metavar="N",
        help="videos worked on at a time, one process each (default: one a core, %(default)s here)",
    )
    parser.add_argument("--overwrite", action="store_true", help="do videos again that are done already")


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """--scheduler and --retry-failed."""
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="do the work on a Dask cluster: its scheduler's address (tcp://HOST:8786), or 'local' to start one here "
        "with --workers processes. All machines must see the data at the same path (a shared file system), and have "
        "this version of the code installed; needs the extra 'cluster'",
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help=f"do only the videos that failed when they were last tried (the records in {RUNS_DIR} tell)",
    )


def add_mix_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mix-settings",
        action="store_true",
        help="keep videos that were done with other settings, which is refused otherwise",
    )


def add_crops_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--crops-dir",
        default="crops",
        metavar="NAME",
        help="folder of the crops below DATA_ROOT (default: %(default)s)",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to detect (default: cuda if there)"
    )


def choose_device(args: argparse.Namespace) -> str:
    """cpu or cuda, for the choices of --device: here, or on a cluster's workers.

    Raises:
        ValueError: there is no CUDA device to be had, or no cluster.
    """
    if args.scheduler is not None and args.scheduler != cluster.LOCAL:
        if args.device == "auto":
            return "cuda" if cluster.offers_gpu(args.scheduler) else "cpu"
        return args.device
    if args.device == "cpu":
        return "cpu"
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device here; use --device cpu")
    return "cuda" if torch.cuda.is_available() else "cpu"


def seen_by_all(path: Path, args: argparse.Namespace) -> Path:
    """A path as a cluster's workers can use it: they stand in other folders."""
    return path if args.scheduler is None else path.absolute()


def run_main(main: Callable[[], int]) -> None:
    """Runs a step's main and exits with its code."""
    sys.exit(run_guarded(main, sys.stderr.write))


def video_size(video: VideoRecord) -> int:
    """Bytes of its file."""
    return file_size(video.path)


def longest_first(items: Sequence[Item], size: Callable[[Any], int] = video_size) -> list[Item]:
    """Videos by file size, so that no worker is left alone with the longest one at the end; missing files last."""
    return sorted(items, key=size, reverse=True)


def file_size(path: Path) -> int:
    """0 if there is no such file."""
    return path.stat().st_size if is_there(path) and path.is_file() else 0


def excluded(dataset: Dataset, works_on_fakes: bool = False) -> list[Failure]:
    """The videos that a step cannot work on: those with unusable names, and fakes whose original is missing.

    Args:
        works_on_fakes: see `Stage`; others do not need the originals.
    """
    found = [Failure(name, reason) for name, reason in dataset.rejected.items()]
    missing = dataset.orphans if works_on_fakes else ()
    return found + [
        Failure(fake.video_id, f"its original {fake.original!r} is not in the data set") for fake in missing
    ]


def finish(step: str, summary: Summary, root: Path, failures: Sequence[Failure] = (), note: str = "") -> int:
    """Prints a step's summary, lists its failures in a file below `root`, and returns the exit code.

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
