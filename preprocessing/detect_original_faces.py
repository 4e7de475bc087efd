"""Step 1: face boxes of the real videos, DATA_ROOT/boxes/ID.json."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from deepfake.boxes import BoxFile, Face, write_boxes
from deepfake.commandline import positive_float, positive_int
from deepfake.detectors import FaceDetector, get_preset
from deepfake.detectors.build import PortableDetector
from deepfake.detectors.stream import detect_videos
from deepfake.metadata import VideoRecord
from deepfake.paths import DataRoot
from deepfake.stages import DETECT
from deepfake.video import chunked, iter_every
from deepfake.workers import Outcome
from preprocessing.step import add_device, choose_device, make_parser, run_main, run_work, seen_by_all, stage_work

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
    layout = DataRoot(seen_by_all(args.root_dir, args))
    settings = get_preset(args.preset)
    if args.scale is not None:
        settings = settings.with_scale(args.scale)
    facts = {"detector": "mtcnn", "preset": args.preset, "every": args.every, **settings.to_dict()}
    on_cuda = choose_device(args) == "cuda"
    detector = PortableDetector(settings, "cuda" if on_cuda else "cpu")
    detect = partial(detect_video, detector=detector, layout=layout, facts=facts)
    work = stage_work(DETECT, layout, detect, facts, prepare=detector.load, on_gpu=on_cuda)
    if on_cuda:
        all_at_once = partial(detect_on_cuda, detector=detector, layout=layout, facts=facts, workers=args.workers)
        work = replace(work, all_at_once=all_at_once)
    return run_work(work, args)


def detect_on_cuda(
    videos: Sequence[VideoRecord], detector: FaceDetector, layout: DataRoot, facts: dict[str, Any], workers: int
) -> Iterator[Outcome[VideoRecord]]:
    """Writes the videos' box files: processes decode, the one detector takes batches of frames of several videos.

    Yields what came of each video.
    """
    for found in detect_videos(
        videos, lambda video: iter_every(video.path, facts["every"], threads=1), detector, workers
    ):
        if found.error is None:
            write_boxes(layout.boxes_file(found.item.video_id), BoxFile(found.frames, found.size, facts))
        yield Outcome(found.item, None if found.error is None else str(found.error))


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
