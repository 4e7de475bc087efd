"""Step 3: five points per crop of the reals, DATA_ROOT/landmarks/ID/{frame}_{face}.npy."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
from pathlib import Path

from deepfake.datasets.stages import LANDMARKS
from preprocessing.pipeline.arguments import add_crops_dir, add_dataset_options, chosen_root, make_parser, run_main
from preprocessing.pipeline.one_pass import run_steps

STEP = Path(__file__).stem


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Finds eyes, nose and mouth corners in the crops of all real videos. A crop without a face gets no file.",
        f"python preprocessing/{STEP}.py --root-dir DATA_ROOT",
    )
    add_crops_dir(parser)
    add_dataset_options(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = chosen_root(args)
    return run_steps([LANDMARKS], layout, args)


if __name__ == "__main__":
    run_main(main)
