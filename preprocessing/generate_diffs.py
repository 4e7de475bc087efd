"""Step 4: SSIM-difference masks of fakes against their originals, DATA_ROOT/diffs/ID/{frame}_{face}_diff.png."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
from pathlib import Path

from deepfake.cli.reading_options import add_limits
from deepfake.datasets.stages import DIFFS
from preprocessing.pipeline.arguments import (
    add_crops_dir,
    add_dataset_options,
    add_masks,
    chosen_root,
    make_parser,
    run_main,
)
from preprocessing.pipeline.one_pass import run_steps

STEP = Path(__file__).stem


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Compares the crops of fakes with those of their originals: masks of 255 * (1 - SSIM), in gray. Or takes the "
        "masks that the data set has.",
        f"python preprocessing/{STEP}.py --root-dir DATA_ROOT",
    )
    add_crops_dir(parser)
    add_masks(parser)
    add_limits(parser.add_argument)
    add_dataset_options(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = chosen_root(args)
    return run_steps([DIFFS], layout, args)


if __name__ == "__main__":
    run_main(main)
