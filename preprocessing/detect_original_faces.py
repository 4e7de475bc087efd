"""Step 1: face boxes of the real videos, DATA_ROOT/boxes/ID.json."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from deepfake.boxes import BoxFile, Face, write_boxes
from deepfake.commandline import positive_float, positive_int
from deepfake.detectors import FaceDetector, get_preset
from deepfake.detectors.stream import detect_videos
from deepfake.metadata import VideoRecord, read_dataset
from deepfake.paths import DataRoot
from deepfake.video import chunked, iter_every
from deepfake.workers import run_over, run_stream
from preprocessing.step import add_device, choose_device, finish, longest_first, make_parser, run_main

STEP = Path(__file__).stem

EVERY = 10
"""The recipe uses every 10th frame."""


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Finds the faces of all real videos with MTCNN and writes their boxes, in full-frame pixels.",
        f"python preprocessing/{STEP}.py --root-dir DATA_ROOT --workers 8",
    )
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
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = DataRoot(args.root_dir)
    settings = get_preset(args.preset)
    if args.scale is not None:
        settings = settings.with_scale(args.scale)
    originals = longest_first(read_dataset(layout.root).originals)
    facts = {"detector": "mtcnn", "preset": args.preset, "every": args.every, **settings.to_dict()}
    bookkeeping: dict[str, Any] = {
        "is_done": lambda video: layout.boxes_file(video.video_id).exists(),
        "key": lambda video: video.video_id,
        "overwrite": args.overwrite,
        "description": STEP,
    }
    from deepfake.detectors.mtcnn import MTCNN

    # torch and the detector are loaded once, before the processes part.
    if choose_device(args.device) == "cuda":
        find_in_all = partial(
            detect_on_cuda, detector=MTCNN(settings, "cuda"), layout=layout, facts=facts, workers=args.workers
        )
        summary = run_stream(originals, find_in_all, **bookkeeping)
    else:
        find_in_one = partial(detect_video, detector=MTCNN(settings), layout=layout, facts=facts)
        summary = run_over(originals, find_in_one, workers=args.workers, **bookkeeping)
    return finish(STEP, summary, layout.root)


def detect_on_cuda(
    videos: Sequence[VideoRecord], detector: FaceDetector, layout: DataRoot, facts: dict[str, Any], workers: int
) -> Iterator[tuple[VideoRecord, str | None]]:
    """Writes the videos' box files: processes decode, the one detector takes batches of frames of several videos.

    Yields each video with None, or with the reason of its failure.
    """
    for found in detect_videos(
        videos, lambda video: iter_every(video.path, facts["every"], threads=1), detector, workers
    ):
        if found.error is None:
            write_boxes(layout.boxes_file(found.item.video_id), BoxFile(found.frames, found.size, facts))
        yield found.item, None if found.error is None else str(found.error)


def detect_video(video: VideoRecord, detector: FaceDetector, layout: DataRoot, facts: dict[str, Any]) -> None:
    """Writes one video's box file."""
    found: dict[int, list[Face]] = {}
    size = None
    for batch in chunked(iter_every(video.path, facts["every"], threads=1)):
        for frame, faces in zip(batch, detector.detect([frame.image for frame in batch])):
            found[frame.index] = faces
            size = frame.image.shape[0], frame.image.shape[1]
    write_boxes(layout.boxes_file(video.video_id), BoxFile(found, size, facts))


if __name__ == "__main__":
    run_main(main)
