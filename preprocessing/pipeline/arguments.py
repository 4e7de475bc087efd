"""What the command lines of the preprocessing steps share: options, and how a program ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from deepfake.cli.commandline import (
    EXIT_INTERRUPTED,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    positive_float,
    positive_int,
    run_guarded,
)
from deepfake.cli.dataset_options import add_dataset, add_out_root, dataset_arguments, read_chosen
from deepfake.cli.reading_options import add_limits
from deepfake.datasets.data_root import CROP_SUFFIXES, FAILURES_DIR, DataRoot
from deepfake.datasets.manipulation_masks import MASK_SOURCES, SSIM
from deepfake.datasets.records import Dataset
from deepfake.parallel import cluster
from deepfake.parallel.pool import default_workers
from deepfake.storage.own_folders import RUNS_DIR

EVERY = 10
"""The recipe uses every 10th frame."""

USUAL_LAYOUT = "dfdc"
"""The layout that steps are used with unless they say so."""


def make_parser(description: str, example: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments of every step that does one thing for each video of a data root."""
    parser = make_root_parser(description, example)
    add_cluster_options(parser)
    add_mix_settings(parser)
    return parser


def make_root_parser(description: str, example: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments of every step over a data root: --root-dir, --workers, --overwrite."""
    parser = make_bare_parser(description, example, "DATA_ROOT")
    parser.add_argument("--root-dir", type=Path, required=True, metavar="DATA_ROOT", help="the data set")
    add_run_options(parser)
    return parser


def make_bare_parser(description: str, example: str, root: str) -> argparse.ArgumentParser:
    """Return a parser whose help gives exit codes and an example; `root` is what it calls the output folder."""
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
    """Add --workers and --overwrite."""
    parser.add_argument(
        "--workers",
        type=positive_int,
        default=default_workers(),
        metavar="N",
        help="videos worked on at a time, one process each (default: one a core, %(default)s here)",
    )
    parser.add_argument("--overwrite", action="store_true", help="do videos again that are done already")


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add --scheduler and --retry-failed."""
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


def add_dataset_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which videos, and --out-root."""
    group = parser.add_argument_group("data set")
    add_dataset(group.add_argument)
    add_out_root(group.add_argument)


def root_arguments(args: argparse.Namespace) -> list[str]:
    """Return the options of `add_dataset_options` that choose the same videos and outputs."""
    out = [] if args.out_root is None else ["--out-root", str(args.out_root)]
    return [*dataset_arguments(args), *out]


def chosen_root(args: argparse.Namespace) -> DataRoot:
    """Return where the outputs are; --out-root is made if it is not there."""
    if args.out_root is not None:
        args.out_root.mkdir(parents=True, exist_ok=True)
    return DataRoot(seen_by_all(args.out_root or args.root_dir, args), getattr(args, "crops_dir", DataRoot.crops_name))


def chosen_dataset(args: argparse.Namespace) -> Dataset:
    """Return the videos that the command line chooses; print the layout on stderr, if it is not DFDC's.

    Raises:
        ValueError: see `read_dataset`.
    """
    dataset = read_chosen(seen_by_all(args.root_dir, args), args)
    print_layout(dataset)
    return dataset


def print_layout(dataset: Dataset) -> None:
    """Print a data set's layout on stderr, if it is not DFDC's."""
    if dataset.layout != USUAL_LAYOUT:
        because = f", recognized by {dataset.because}" if dataset.because else ""
        print(f"layout {dataset.layout}{because}: {len(dataset.videos)} videos", file=sys.stderr)


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


def add_detection(parser: argparse.ArgumentParser) -> None:
    """Add --every, --preset, --scale, --device, and the limits of reading."""
    parser.add_argument(
        "--every", type=positive_int, default=EVERY, metavar="N", help="look at every Nth frame (default: %(default)s)"
    )
    parser.add_argument(
        "--preset",
        choices=["training", "published"],
        default="training",
        help="training: the frame's scale follows its size; published: every frame halved (default: %(default)s)",
    )
    parser.add_argument(
        "--scale",
        type=positive_float,
        metavar="S",
        help="scale of every frame before detection, instead of the preset's rule",
    )
    add_device(parser)
    add_limits(parser.add_argument)


def add_masks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--masks",
        choices=MASK_SOURCES,
        default=SSIM,
        help="ssim: where a fake's crops differ from its original's; dataset: the data set's own masks of what is "
        "manipulated, and ssim for fakes without one (default: %(default)s)",
    )


def add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=[suffix[1:] for suffix in CROP_SUFFIXES],
        default="png",
        help="picture format; the full DFDC takes over a terabyte in png (default: %(default)s)",
    )


def chosen_device(args: argparse.Namespace) -> str:
    """Return where `--device` says to detect, cpu or cuda: here, or on a cluster's workers.

    Raises:
        ValueError: there is no CUDA device to be had, or no cluster.
    """
    if args.scheduler is not None and args.scheduler != cluster.LOCAL:
        if args.device == "auto":
            return "cuda" if cluster.offers_gpu(args.scheduler) else "cpu"
        return args.device
    if args.device == "cpu":
        return "cpu"
    from deepfake.models.precision import choose_device  # torch, which takes seconds

    return choose_device(args.device)


def seen_by_all(path: Path, args: argparse.Namespace) -> Path:
    """Return a path as a cluster's workers can use it: their working folders are others."""
    return path if getattr(args, "scheduler", None) is None else path.absolute()


def run_main(main: Callable[[], int]) -> None:
    """Run a step's main and exit with its code."""
    sys.exit(run_guarded(main, sys.stderr.write))
