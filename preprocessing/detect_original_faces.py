"""Step 1: face boxes of the real videos, DATA_ROOT/boxes/ID.json."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
from pathlib import Path

from deepfake.datasets.stages import DETECT
from preprocessing.pipeline.arguments import add_dataset_options, add_detection, chosen_root, make_parser, run_main
from preprocessing.pipeline.one_pass import run_steps

STEP = Path(__file__).stem


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Finds the faces of all real videos with MTCNN and writes their boxes, in full-frame pixels.",
        f"python preprocessing/{STEP}.py --root-dir DATA_ROOT --workers 8",
    )
    add_detection(parser)
    add_dataset_options(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = chosen_root(args)
    return run_steps([DETECT], layout, args)


if __name__ == "__main__":
    run_main(main)
