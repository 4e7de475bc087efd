"""Settings -> the detector they are for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from deepfake.faces.boxes import Face
from deepfake.faces.detectors.base import AnySettings, DetectorSettings, FaceDetector


def build_detector(settings: AnySettings, device: str = "cpu", weights_dir: Path = Path("weights")) -> FaceDetector:
    """The detector of these settings.

    Args:
        device: where it runs.
        weights_dir: the folder of its weight file, if it needs one.

    Raises:
        ValueError: its weights are missing or not its own; the message tells the cure.
    """
    # Each takes torch, which takes seconds: only the one that is needed.
    if isinstance(settings, DetectorSettings):
        from deepfake.faces.detectors.mtcnn import MTCNN

        return MTCNN(settings, device)
    from deepfake.faces.detectors.retinaface import RetinaFace, weights_path

    return RetinaFace(settings, weights_path(weights_dir, settings.network), device)


@dataclass(frozen=True)
class PortableDetector:
    """A detector that travels as its settings: each process builds its own, once; one that was forked has its parent's.

    Arguments and errors are those of `build_detector`.
    """

    settings: AnySettings
    device: str = "cpu"
    weights_dir: Path = Path("weights")

    def load(self) -> FaceDetector:
        return _built(self.settings, self.device, self.weights_dir)

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        """See `FaceDetector.detect`."""
        return self.load().detect(frames)


_built = cache(build_detector)
