"""Not one of the five steps: whole frames of the videos as pictures, DATA_ROOT/images/ID/{frame}.jpg."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from deepfake import atomic
from deepfake.commandline import positive_int
from deepfake.images import write_image
from deepfake.metadata import VideoRecord, read_dataset
from deepfake.paths import CROP_SUFFIXES, DataRoot, image_name
from deepfake.video import iter_every
from deepfake.workers import run_over
from preprocessing.step import finish, make_parser, run_main

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
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = DataRoot(args.root_dir)
    summary = run_over(
        list(read_dataset(layout.root).videos.values()),
        partial(extract_video, layout=layout, every=args.every, suffix=f".{args.format}"),
        is_done=lambda video: (layout.images / video.video_id).is_dir(),
        workers=args.workers,
        key=lambda video: video.video_id,
        overwrite=args.overwrite,
        description=STEP,
    )
    return finish(STEP, summary, layout.root)


def extract_video(video: VideoRecord, layout: DataRoot, every: int, suffix: str) -> None:
    """Writes the frames 0, every, 2 * every, ... of one video.

    Raises:
        VideoError: unreadable.
    """
    with atomic.atomic_folder(layout.images / video.video_id) as folder:
        for frame in iter_every(video.path, every, threads=1):
            write_image(folder / image_name(frame.index, suffix), frame.image)


if __name__ == "__main__":
    run_main(main)
