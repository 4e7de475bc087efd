"""Steps 1 to 4 in one pass: an original and its fakes at a time, each video decoded once. The files are the same."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
from pathlib import Path

from preprocessing.pipeline.arguments import (
    add_crops_dir,
    add_dataset_options,
    add_detection,
    add_format,
    add_masks,
    chosen_root,
    make_parser,
    run_main,
)
from preprocessing.pipeline.families import FAMILY_STAGES
from preprocessing.pipeline.one_pass import run_steps

STEP = Path(__file__).stem


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Does the work of detect_original_faces.py, extract_crops.py, generate_landmarks.py and generate_diffs.py in "
        "one pass: a worker takes an original and its fakes, and decodes each once. Files, lists of failures and "
        "records are those of the four steps, so both ways can be mixed at any point. With --device cuda all boxes "
        "are found first, as detect_original_faces.py does: originals are decoded twice.",
        f"python preprocessing/{STEP}.py --root-dir DATA_ROOT --workers 8",
    )
    add_detection(parser)
    add_crops_dir(parser)
    add_format(parser)
    add_masks(parser)
    add_dataset_options(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = chosen_root(args)
    return run_steps(FAMILY_STAGES, layout, args)


if __name__ == "__main__":
    run_main(main)
