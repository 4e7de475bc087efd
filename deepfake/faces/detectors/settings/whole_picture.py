"""No detector: pictures that are finished face crops, each a face as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepfake.faces.align import TEMPLATE, TEMPLATE_SIZE
from deepfake.faces.boxes import Face
from deepfake.faces.detectors.base import WEIGHTS, DetectorSettings, FaceDetector, detector


@detector("none")
@dataclass(frozen=True)
class WholePictureSettings(DetectorSettings):
    """Takes each picture for one face.

    Its landmarks are where they are in an aligned face, so that aligning only scales the picture.
    """

    scale: float | None = 1.0

    def build(self, device: str = "cpu", weights_dir: Path = WEIGHTS) -> FaceDetector:
        """See `DetectorSettings.build`."""
        return WholePicture()


class WholePicture:
    """Returns the whole of each picture. See `deepfake.faces.detectors.base.FaceDetector`."""

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        return [[_whole(frame.shape[0], frame.shape[1])] for frame in frames]


def _whole(height: int, width: int) -> Face:
    points = TEMPLATE * (width / TEMPLATE_SIZE, height / TEMPLATE_SIZE)
    return Face((0.0, 0.0, float(width), float(height)), landmarks=tuple((float(x), float(y)) for x, y in points))
