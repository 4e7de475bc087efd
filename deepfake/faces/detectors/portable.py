"""Detectors that travel between processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from deepfake.faces.boxes import Face
from deepfake.faces.detectors.base import WEIGHTS, DetectorSettings, FaceDetector


@dataclass(frozen=True)
class PortableDetector:
    """A detector that travels as its settings: each process builds its own, once; one that was forked has its parent's.

    Arguments and errors are those of `DetectorSettings.build`.
    """

    settings: DetectorSettings
    device: str = "cpu"
    weights_dir: Path = WEIGHTS

    def load(self) -> FaceDetector:
        return _built(self.settings, self.device, self.weights_dir)

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        """See `FaceDetector.detect`."""
        return self.load().detect(frames)


@cache
def _built(settings: DetectorSettings, device: str, weights_dir: Path) -> FaceDetector:
    return settings.build(device, weights_dir)
