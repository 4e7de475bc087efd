"""Step 3: five points per crop of the reals, DATA_ROOT/landmarks/ID/{frame}_{face}.npy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from deepfake import atomic
from deepfake.detectors import PRESETS, FaceDetector
from deepfake.detectors.build import PortableDetector
from deepfake.images import read_image
from deepfake.landmarks import write_landmarks
from deepfake.metadata import VideoRecord
from deepfake.paths import DataRoot, landmark_name, list_crops, parse_crop_name
from deepfake.stages import LANDMARKS
from preprocessing.step import add_crops_dir, make_parser, run_main, run_work, seen_by_all, stage_work

STEP = Path(__file__).stem


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Finds eyes, nose and mouth corners in the crops of all real videos. A crop without a face gets no file.",
        f"python preprocessing/{STEP}.py --root-dir DATA_ROOT",
    )
    add_crops_dir(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = DataRoot(seen_by_all(args.root_dir, args), args.crops_dir)
    # The quick one, then the thorough one for crops where that finds nothing.
    detectors = [PortableDetector(PRESETS[name]) for name in ("landmarks-quick", "landmarks")]
    find = partial(find_landmarks, detectors=detectors, layout=layout)
    settings = {"crops": args.crops_dir, "detectors": [detector.settings.to_dict() for detector in detectors]}
    work = stage_work(LANDMARKS, layout, find, settings, prepare=partial(load_all, detectors))
    return run_work(work, args)


def load_all(detectors: Sequence[PortableDetector]) -> None:
    for detector in detectors:
        detector.load()


def find_landmarks(video: VideoRecord, detectors: Sequence[FaceDetector], layout: DataRoot) -> None:
    """Writes the landmarks of the largest face of each of one video's crops."""
    crops = layout.crops / video.video_id
    if not crops.is_dir():
        raise ValueError(f"{crops}: no crops; run extract_crops.py first")
    with atomic.atomic_folder(layout.landmarks / video.video_id) as folder:
        for path in list_crops(crops):
            points = _largest_face_points(read_image(path), detectors)
            name = parse_crop_name(path.name)
            if points is not None and name is not None:
                write_landmarks(folder / landmark_name(*name), points)


def _largest_face_points(crop: np.ndarray, detectors: Sequence[FaceDetector]) -> tuple[tuple[float, float], ...] | None:
    for detector in detectors:
        if faces := detector.detect([crop])[0]:
            return faces[0].landmarks
    return None


if __name__ == "__main__":
    run_main(main)
