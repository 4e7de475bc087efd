"""The works that turn videos into faces, and their options: each has a step, preprocess_videos.py does all in one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from deepfake.cli.commandline import positive_float, positive_int
from deepfake.cli.reading_options import add_limits, chosen_limits
from deepfake.datasets.layout import CROP_SUFFIXES, DataRoot
from deepfake.datasets.metadata import VideoRecord, read_dataset
from deepfake.datasets.stages import CROPS, DETECT, DIFFS, LANDMARKS
from deepfake.faces.boxes import MARGIN, BoxFile, write_boxes
from deepfake.faces.detectors import PRESETS, FaceDetector, MTCNNSettings, get_preset
from deepfake.faces.detectors.portable import PortableDetector
from deepfake.faces.detectors.stream import detect_videos
from deepfake.media.video import LIMITS, ReadLimits, iter_every
from deepfake.parallel.workers import Outcome
from preprocessing.pipeline.video_steps import compare_crops, cut_crops, detect_boxes, find_landmarks
from preprocessing.pipeline.work import Work, add_device, stage_work

EVERY = 10
"""The recipe uses every 10th frame."""

LANDMARK_DETECTORS = tuple(PortableDetector(PRESETS[name]) for name in ("landmarks-quick", "landmarks"))
"""The quick one, then the thorough one for crops where that finds nothing."""


def add_detection(parser: argparse.ArgumentParser) -> None:
    """--every, --preset, --scale, --device, and the limits of reading."""
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
    add_limits(parser.add_argument)


def add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=[suffix[1:] for suffix in CROP_SUFFIXES],
        default="png",
        help="picture format; the full DFDC takes over a terabyte in png (default: %(default)s)",
    )


def detection(args: argparse.Namespace) -> tuple[MTCNNSettings, dict[str, Any]]:
    """The detector's settings, and what the box files tell of how faces were found."""
    settings = get_preset(args.preset)
    if args.scale is not None:
        settings = settings.with_scale(args.scale)
    return settings, {"detector": "mtcnn", "preset": args.preset, "every": args.every, **settings.to_dict()}


def detection_work(layout: DataRoot, args: argparse.Namespace, on_cuda: bool) -> Work[VideoRecord]:
    (settings, facts), limits = detection(args), chosen_limits(args)
    detector = PortableDetector(settings, "cuda" if on_cuda else "cpu")
    detect = partial(detect_boxes, detector=detector, layout=layout, facts=facts, limits=limits)
    work = stage_work(DETECT, layout, detect, facts, prepare=detector.load, on_gpu=on_cuda)
    if not on_cuda:
        return work
    all_at_once = partial(
        detect_on_cuda, detector=detector, layout=layout, facts=facts, workers=args.workers, limits=limits
    )
    return replace(work, all_at_once=all_at_once)


def crops_work(
    layout: DataRoot, args: argparse.Namespace, source: Work[VideoRecord] | None = None
) -> Work[VideoRecord]:
    """`source`: see `stage_work`; likewise of the works that follow."""
    cut = partial(cut_crops, layout=layout, suffix=f".{args.format}", limits=chosen_limits(args))
    return stage_work(CROPS, layout, cut, {"format": args.format, "margin": MARGIN}, source)


def landmarks_work(layout: DataRoot, source: Work[VideoRecord] | None = None) -> Work[VideoRecord]:
    find = partial(find_landmarks, detectors=LANDMARK_DETECTORS, layout=layout)
    detectors = [detector.settings.to_dict() for detector in LANDMARK_DETECTORS]
    settings = {"crops": layout.crops_name, "detectors": detectors}
    return stage_work(LANDMARKS, layout, find, settings, source, prepare=load_landmark_detectors)


def diffs_work(layout: DataRoot, source: Work[VideoRecord] | None = None) -> Work[VideoRecord]:
    compare = partial(compare_crops, layout=layout)
    alone = len(read_dataset(layout.root).unattributed)
    note = f"{alone} fakes name no original: their faces are looked for in themselves, they get no masks"
    return stage_work(DIFFS, layout, compare, {"crops": layout.crops_name}, source, note=note if alone else "")


def load_landmark_detectors() -> None:
    for detector in LANDMARK_DETECTORS:
        detector.load()


def detect_on_cuda(
    videos: Sequence[VideoRecord],
    detector: FaceDetector,
    layout: DataRoot,
    facts: dict[str, Any],
    workers: int,
    limits: ReadLimits = LIMITS,
) -> Iterator[Outcome[VideoRecord]]:
    """Writes the videos' box files: processes decode, the one detector takes batches of frames of several videos.

    Yields what came of each video.
    """
    for found in detect_videos(
        videos, lambda video: iter_every(video.path, facts["every"], limits=limits), detector, workers
    ):
        if found.error is None:
            write_boxes(layout.boxes_file(found.item.video_id), BoxFile(found.frames, found.size, facts))
        yield Outcome(found.item, None if found.error is None else str(found.error))
