"""Not one of the five steps: whole frames of the videos as pictures, DATA_ROOT/images/ID/{frame}.jpg."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
from functools import partial
from pathlib import Path

from deepfake.cli.commandline import positive_int
from deepfake.cli.reading_options import add_limits, chosen_limits
from deepfake.datasets.data_root import CROP_SUFFIXES, DataRoot, image_name
from deepfake.datasets.records import VideoRecord
from deepfake.datasets.stages import IMAGES
from deepfake.media.images import write_image
from deepfake.media.video import LIMITS, ReadLimits, iter_every
from deepfake.storage import atomic
from preprocessing.pipeline.arguments import add_dataset_options, chosen_dataset, chosen_root, make_parser, run_main
from preprocessing.pipeline.work import run_work, stage_work

STEP = Path(__file__).stem


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Writes whole frames of all videos as pictures.",
        f"python preprocessing/{STEP}.py --root-dir DATA_ROOT --every 10",
    )
    parser.add_argument(
        "--every", type=positive_int, default=1, metavar="N", help="write every Nth frame (default: all)"
    )
    parser.add_argument(
        "--format",
        choices=[suffix[1:] for suffix in CROP_SUFFIXES],
        default="jpg",
        help="picture format (default: %(default)s)",
    )
    add_limits(parser.add_argument)
    add_dataset_options(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = chosen_root(args)
    extract = partial(
        extract_video, layout=layout, every=args.every, suffix=f".{args.format}", limits=chosen_limits(args)
    )
    settings = {"every": args.every, "format": args.format}
    return run_work(stage_work(IMAGES, layout, chosen_dataset(args), extract, settings), args)


def extract_video(video: VideoRecord, layout: DataRoot, every: int, suffix: str, limits: ReadLimits = LIMITS) -> None:
    """Writes the frames 0, every, 2 * every, ... of one video.

    Raises:
        VideoError: unreadable, or over a limit.
    """
    with atomic.atomic_folder(layout.images / video.video_id) as folder:
        for frame in iter_every(video.path, every, limits=limits):
            write_image(folder / image_name(frame.index, suffix), frame.image)


if __name__ == "__main__":
    run_main(main)
