"""What the command line of every preprocessing step shares: arguments, summary, list of failures, exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from deepfake.commandline import EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE, positive_int, run_guarded
from deepfake.metadata import Dataset, VideoRecord
from deepfake.paths import DataRoot
from deepfake.processes import default_workers
from deepfake.workers import Failure, Summary, write_failures

EXIT_CODES = f"""exit codes:
  0    every video is done
  {EXIT_USAGE}    the command or the data set cannot be used; nothing was done
  {EXIT_SOME_FAILED}    the run is complete, but some videos failed; they are listed in DATA_ROOT/failures
  {EXIT_INTERRUPTED}  interrupted; the same command continues
"""

_SHOWN_FAILURES = 5


def make_parser(description: str, example: str) -> argparse.ArgumentParser:
    """A parser with the arguments of every step: --root-dir, --workers, --overwrite."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog=f"{EXIT_CODES}\nexample:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root-dir", type=Path, required=True, metavar="DATA_ROOT", help="data set in DFDC layout")
    parser.add_argument(
        "--workers",
        type=positive_int,
        default=default_workers(),
        metavar="N",
        help="videos worked on at a time, one process each (default: one a core, %(default)s here)",
    )
    parser.add_argument("--overwrite", action="store_true", help="do videos again that are done already")
    return parser


def add_crops_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--crops-dir",
        default="crops",
        metavar="NAME",
        help="folder of the crops below DATA_ROOT (default: %(default)s)",
    )


def run_main(main: Callable[[], int]) -> None:
    """Runs a step's main and exits with its code."""
    sys.exit(run_guarded(main, sys.stderr.write))


def longest_first(videos: Sequence[VideoRecord]) -> list[VideoRecord]:
    """Videos by file size, so that no worker is left alone with the longest one at the end; missing files last."""
    sizes = {video.video_id: video.path.stat().st_size if video.path.is_file() else 0 for video in videos}
    return sorted(videos, key=lambda video: -sizes[video.video_id])


def orphans(dataset: Dataset) -> list[Failure]:
    """The fakes that no step can work on, because there is no original of theirs."""
    return [
        Failure(fake.video_id, f"its original {fake.original!r} is not in the data set") for fake in dataset.orphans
    ]


def finish(step: str, summary: Summary, layout: DataRoot, failures: Sequence[Failure] = ()) -> int:
    """Prints a step's summary, lists its failures in a file, and returns the exit code.

    Args:
        failures: those found before the run, beside the summary's own.
    """
    summary.failures = sorted([*summary.failures, *failures], key=lambda failure: failure.key)
    print(f"{step}: {summary}")
    write_failures(layout.failures_file(step), summary.failures)
    if not summary.failures:
        return 0
    for failure in summary.failures[:_SHOWN_FAILURES]:
        print(f"  failed: {failure.key}: {failure.reason}", file=sys.stderr)
    print(f"  all {len(summary.failures)} failures: {layout.failures_file(step)}", file=sys.stderr)
    return EXIT_SOME_FAILED
