"""What the command line of every preprocessing step shares: arguments, summary, list of failures, exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from deepfake.commandline import EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE, positive_int, run_guarded
from deepfake.metadata import Dataset
from deepfake.paths import FAILURES_DIR, failures_file
from deepfake.processes import default_workers
from deepfake.workers import Failure, Summary, write_failures

Item = TypeVar("Item")

_SHOWN_FAILURES = 5


def make_parser(description: str, example: str) -> argparse.ArgumentParser:
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


def choose_device(device: str) -> str:
    """cpu or cuda, for the choices of --device. Raises ValueError if there is no CUDA device to be had."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device here; use --device cpu")
    return "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"


def run_main(main: Callable[[], int]) -> None:
    """Runs a step's main and exits with its code."""
    sys.exit(run_guarded(main, sys.stderr.write))


def longest_first(videos: Sequence[Item], path: Callable[[Item], Path] = attrgetter("path")) -> list[Item]:
    """Videos by file size, so that no worker is left alone with the longest one at the end; missing files last."""

    def size(video: Item) -> int:
        return path(video).stat().st_size if path(video).is_file() else 0

    return sorted(videos, key=size, reverse=True)


def orphans(dataset: Dataset) -> list[Failure]:
    """The fakes that no step can work on, because there is no original of theirs."""
    return [
        Failure(fake.video_id, f"its original {fake.original!r} is not in the data set") for fake in dataset.orphans
    ]


def finish(step: str, summary: Summary, root: Path, failures: Sequence[Failure] = ()) -> int:
    """Prints a step's summary, lists its failures in a file below `root`, and returns the exit code.

    Args:
        failures: those found before the run, beside the summary's own.
    """
    summary.failures = sorted([*summary.failures, *failures], key=lambda failure: failure.key)
    print(f"{step}: {summary}")
    file = failures_file(root, step)
    write_failures(file, summary.failures)
    if not summary.failures:
        return 0
    for failure in summary.failures[:_SHOWN_FAILURES]:
        print(f"  failed: {failure.key}: {failure.reason}", file=sys.stderr)
    print(f"  all {len(summary.failures)} failures: {file}", file=sys.stderr)
    return EXIT_SOME_FAILED
