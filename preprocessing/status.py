"""Not a step: how far a data set is, by its outputs and the records in DATA_ROOT/runs."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from deepfake.cli.commandline import EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.progress import State, describe_bytes, look_at
from deepfake.datasets.run_records import FAILED, last_entries
from deepfake.datasets.stages import STAGES, Stage
from deepfake.storage.names import one_line
from preprocessing.pipeline.arguments import (
    add_crops_dir,
    add_dataset_options,
    chosen_dataset,
    chosen_root,
    root_arguments,
    run_main,
)
from preprocessing.pipeline.text_table import format_table

COLUMNS = ("step", "videos", "done", "missing", "failed", "videos/s", "time left", "disk used", "disk expected")
_UNKNOWN = "-"
_MANY = 20


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
    parser.add_argument("--root-dir", type=Path, required=True, metavar="DATA_ROOT", help="the data set")
    add_crops_dir(parser)
    add_dataset_options(parser)
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="run each step that has failed videos again, with its latest arguments, over these videos only; then show",
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = chosen_root(args)
    dataset = chosen_dataset(args)
    if args.retry_failed:
        for stage in STAGES:
            retry(stage, layout, args)
    states = [look_at(stage, layout, dataset, stage.runs(layout)) for stage in STAGES]
    states = [state for state in states if state.is_shown]
    print(format_table([COLUMNS, *map(table_row, states)]))
    for state in states:
        for video, reason in list(state.failed.items())[:_MANY]:
            print(one_line(f"failed: {state.stage.name}: {video}: {reason}"))
        if len(state.failed) > _MANY:
            print(f"failed: {state.stage.name}: {len(state.failed) - _MANY} more")
    is_complete = not any(state.missing or state.failed for state in states if state.stage.needed)
    return 0 if is_complete else EXIT_SOME_FAILED


def table_row(state: State) -> tuple[str, ...]:
    """Return a line of the table, with a dash for what nobody can know yet."""
    rate, done, missing, used = state.rate, len(state.done), len(state.missing), state.used_bytes()
    return (
        state.stage.name,
        str(state.videos),
        str(done),
        str(missing),
        str(len(state.failed)),
        _UNKNOWN if rate is None else f"{rate:.2f}",
        _UNKNOWN if rate is None else str(timedelta(seconds=round(missing / rate))),
        describe_bytes(used),
        describe_bytes(used / done * (done + missing)) if done else _UNKNOWN,
    )


def retry(stage: Stage, layout: DataRoot, args: argparse.Namespace) -> None:
    """Run a step over the videos that failed, with the arguments of its latest run.

    Raises:
        ValueError: the step could not be run; it has said why.
        KeyboardInterrupt: it was interrupted.
    """
    runs = stage.runs(layout)
    if not any(entry.status == FAILED for entry in last_entries(runs).values()):
        return
    given = [word for word in runs[-1].header.arguments if word not in ("--retry-failed", "--overwrite")]
    arguments = [*given, "--retry-failed", "--root-dir", str(args.root_dir), *root_arguments(args)]
    script = Path(__file__).with_name(f"{stage.name}.py")
    code = subprocess.run([sys.executable, str(script), *arguments]).returncode
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    if code not in (0, EXIT_SOME_FAILED):
        raise ValueError(f"{stage.name}: the step stopped with exit code {code}")


if __name__ == "__main__":
    run_main(main)
