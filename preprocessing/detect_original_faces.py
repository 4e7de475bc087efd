"""Step 1: face boxes of the real videos, DATA_ROOT/boxes/ID.json."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from deepfake.boxes import BoxFile, Face, write_boxes
from deepfake.commandline import positive_int
from deepfake.detectors import DetectorSettings, FaceDetector, get_preset
from deepfake.metadata import VideoRecord, read_dataset
from deepfake.paths import DataRoot
from deepfake.video import Frame, iter_every
from deepfake.workers import Summary, run_over, run_stream
from preprocessing.step import finish, make_parser, run_main

STEP = Path(__file__).stem

EVERY = 10
"""The recipe uses every 10th frame."""

FRAMES_AT_ONCE = 4
"""Frames of one video that a CPU worker holds: memory does not grow with a video's length."""


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
        "--scale", type=float, metavar="S", help="scale of every frame before detection, instead of the preset's rule"
    )
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to detect (default: cuda if there)"
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = DataRoot(args.root_dir)
    settings = get_preset(args.preset)
    if args.scale is not None:
        if args.scale <= 0:
            raise ValueError(f"--scale {args.scale}: expected more than 0")
        settings = settings.with_scale(args.scale)
    originals = read_dataset(layout.root).originals
    facts = {"detector": "mtcnn", "preset": args.preset, "every": args.every, **settings.to_dict()}
    detect = detect_on_cuda if _use_cuda(args.device) else detect_on_cpu
    return finish(STEP, detect(originals, layout, settings, facts, args.workers, args.overwrite), layout)


def detect_on_cpu(
    originals: Sequence[VideoRecord],
    layout: DataRoot,
    settings: DetectorSettings,
    facts: dict[str, Any],
    workers: int,
    overwrite: bool,
) -> Summary:
    """One process a video; torch and the detector are loaded once, before the processes part."""
    from deepfake.detectors.mtcnn import MTCNN

    return run_over(
        originals,
        partial(detect_video, detector=MTCNN(settings), layout=layout, facts=facts),
        is_done=lambda video: layout.boxes_file(video.video_id).exists(),
        workers=workers,
        key=lambda video: video.video_id,
        overwrite=overwrite,
        description=STEP,
    )


def detect_on_cuda(
    originals: Sequence[VideoRecord],
    layout: DataRoot,
    settings: DetectorSettings,
    facts: dict[str, Any],
    workers: int,
    overwrite: bool,
) -> Summary:
    """Processes decode, one detector on the GPU takes batches of frames of several videos."""
    from deepfake.detectors.mtcnn import MTCNN
    from deepfake.detectors.stream import detect_videos

    detector = MTCNN(settings, "cuda")

    def outcomes(todo: Sequence[VideoRecord]) -> Iterator[tuple[VideoRecord, str | None]]:
        def frames_of(video: VideoRecord) -> Iterator[Frame]:
            return iter_every(video.path, facts["every"], threads=1)

        for found in detect_videos(todo, frames_of, detector, workers):
            if found.error is None:
                boxes = BoxFile(found.frames, found.size, facts)
                write_boxes(layout.boxes_file(found.item.video_id), boxes)
            yield found.item, None if found.error is None else str(found.error)

    return run_stream(
        originals,
        outcomes,
        is_done=lambda video: layout.boxes_file(video.video_id).exists(),
        key=lambda video: video.video_id,
        overwrite=overwrite,
        description=STEP,
    )


def _use_cuda(device: str) -> bool:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device here; use --device cpu")
    return device == "cuda" or (device == "auto" and torch.cuda.is_available())


def detect_video(video: VideoRecord, detector: FaceDetector, layout: DataRoot, facts: dict[str, Any]) -> None:
    """Writes one video's box file."""
    frames = iter_every(video.path, facts["every"], threads=1)
    found: dict[int, list[Face]] = {}
    size = None
    while batch := list(islice(frames, FRAMES_AT_ONCE)):
        for frame, faces in zip(batch, detector.detect([frame.image for frame in batch])):
            found[frame.index] = faces
            size = frame.image.shape[0], frame.image.shape[1]
    write_boxes(layout.boxes_file(video.video_id), BoxFile(found, size, facts))


if __name__ == "__main__":
    run_main(main)
