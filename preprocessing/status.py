"""Not a step: how far a data set is, by its outputs and the records in DATA_ROOT/runs."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter
from pathlib import Path

from deepfake.cli.commandline import EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE
from deepfake.datasets.layout import DataRoot, is_there
from deepfake.datasets.metadata import Dataset, read_dataset
from deepfake.datasets.run_records import DONE, FAILED, Run, last_entries, read_runs
from deepfake.datasets.stages import STAGES, Stage
from deepfake.parallel.workers import output_bytes
from deepfake.storage.names import one_line
from preprocessing.pipeline.arguments import add_crops_dir, run_main

COLUMNS = ("step", "videos", "done", "missing", "failed", "videos/s", "time left", "disk used", "disk expected")
_UNKNOWN = "-"
_MANY = 20
_ENOUGH = 20
"""Videos of a run that tell its rate: the first ones wait for what is loaded."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Shows how far each step over a data set is: videos done, missing (not tried) and failed, the "
        "latest run's rate and the time that is left at it, disk used and expected in all, failed videos with reasons.",
        epilog=f"""exit codes:
  0    every step that training needs has done every video
  {EXIT_USAGE}    the command or the data set cannot be used
  {EXIT_SOME_FAILED}    videos are missing or failed
  {EXIT_INTERRUPTED}  interrupted

example:
  python preprocessing/{Path(__file__).name} --root-dir DATA_ROOT --retry-failed
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root-dir", type=Path, required=True, metavar="DATA_ROOT", help="data set in DFDC layout")
    add_crops_dir(parser)
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="run each step that has failed videos again, with its latest arguments, over these videos only; then show",
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = DataRoot(args.root_dir, args.crops_dir)
    dataset = read_dataset(layout.root)
    if args.retry_failed:
        for stage in STAGES:
            retry(stage, layout)
    states = [state for stage in STAGES if (state := look_at(stage, layout, dataset)).is_shown]
    print_table([COLUMNS, *(state.cells() for state in states)])
    for state in states:
        for video, reason in list(state.failed.items())[:_MANY]:
            print(one_line(f"failed: {state.stage.name}: {video}: {reason}"))
        if len(state.failed) > _MANY:
            print(f"failed: {state.stage.name}: {len(state.failed) - _MANY} more")
    is_complete = not any(state.missing or state.failed for state in states if state.stage.needed)
    return 0 if is_complete else EXIT_SOME_FAILED


@dataclass(frozen=True)
class State:
    """How far a step is.

    Attributes:
        videos: those that it is to do, fakes whose original is missing included.
        done: how many of them.
        failed: video -> why, when it was last tried.
        used: bytes of the outputs that are there.
        rate: videos a second, by the runs so far.
        was_run: there is a record of a run.
    """

    stage: Stage
    videos: int
    done: int
    failed: dict[str, str]
    used: int
    rate: float | None
    was_run: bool

    @property
    def missing(self) -> int:
        """Not tried yet."""
        return self.videos - self.done - len(self.failed)

    @property
    def is_shown(self) -> bool:
        return self.stage.needed or self.was_run or self.done > 0

    def cells(self) -> tuple[str, ...]:
        """A line of the table. What nobody can know yet is a dash."""
        left = _UNKNOWN if self.rate is None else str(timedelta(seconds=round(self.missing / self.rate)))
        return (
            self.stage.name,
            str(self.videos),
            str(self.done),
            str(self.missing),
            str(len(self.failed)),
            _UNKNOWN if self.rate is None else f"{self.rate:.2f}",
            left,
            describe_bytes(self.used),
            describe_bytes(self.used / self.done * (self.done + self.missing)) if self.done else _UNKNOWN,
        )


def look_at(stage: Stage, layout: DataRoot, dataset: Dataset) -> State:
    """Outputs tell what is done, records of runs the rest."""
    runs = read_runs(layout.root, stage.name, stage.folder(layout))
    entries = last_entries(runs)
    wanted = {video.video_id for video in stage.videos(dataset)}
    failed = {
        video: entry.error or ""
        for video, entry in sorted(entries.items())
        if entry.status == FAILED and (video in dataset.videos or video in dataset.rejected)
    }
    used = done = 0
    for video in wanted - failed.keys():
        output = stage.output_of(layout, video)
        if is_there(output):
            known = entries[video].bytes if video in entries else None
            used += output_bytes(output) if known is None else known
            done += 1
    return State(stage, len(wanted | failed.keys()), done, failed, used, latest_rate(runs), bool(runs))


def latest_rate(runs: Sequence[Run]) -> float | None:
    """Videos a second of the latest run that did enough to tell; of the one that did most, if none did."""
    counted = [(sum(entry.status == DONE for entry in run.entries), run) for run in reversed(runs)]
    enough = [run for count, run in counted if count >= _ENOUGH]
    most = max(counted, key=itemgetter(0), default=(0, None))[1]
    chosen = enough[0] if enough else most
    return None if chosen is None else chosen.rate


def retry(stage: Stage, layout: DataRoot) -> None:
    """Runs a step over the videos that failed, with the arguments of its latest run.

    Raises:
        ValueError: the step could not be run; it has said why.
        KeyboardInterrupt: it was interrupted.
    """
    runs = read_runs(layout.root, stage.name, stage.folder(layout))
    if not any(entry.status == FAILED for entry in last_entries(runs).values()):
        return
    given = [word for word in runs[-1].header.arguments if word not in ("--retry-failed", "--overwrite")]
    arguments = [*given, "--retry-failed", "--root-dir", str(layout.root)]
    script = Path(__file__).with_name(f"{stage.name}.py")
    code = subprocess.run([sys.executable, str(script), *arguments]).returncode
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    if code not in (0, EXIT_SOME_FAILED):
        raise ValueError(f"{stage.name}: the step stopped with exit code {code}")


def describe_bytes(count: float) -> str:
    """A size in decimal units, as disks are sold in."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} TB"


def print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for name, *cells in rows:
        print("  ".join([name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:]))]))


if __name__ == "__main__":
    run_main(main)
