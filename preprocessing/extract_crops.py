"""Step 2: face crops of reals and of their fakes, DATA_ROOT/crops/ID/{frame}_{face}.png."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
from pathlib import Path

from deepfake.cli.reading_options import add_limits
from deepfake.datasets.stages import CROPS
from preprocessing.pipeline.arguments import (
    add_crops_dir,
    add_dataset_options,
    add_format,
    chosen_root,
    make_parser,
    run_main,
)
from preprocessing.pipeline.one_pass import run_steps

STEP = Path(__file__).stem


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Cuts the faces out of all videos: the box of the original, for its fakes too, and a third of it on each side.",
        f"python preprocessing/{STEP}.py --root-dir DATA_ROOT --crops-dir crops --format jpg",
    )
    add_crops_dir(parser)
    add_format(parser)
    add_limits(parser.add_argument)
    add_dataset_options(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = chosen_root(args)
    return run_steps([CROPS], layout, args)


if __name__ == "__main__":
    run_main(main)
