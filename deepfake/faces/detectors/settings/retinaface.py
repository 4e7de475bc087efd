"""How RetinaFace looks for faces, and second place's settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from deepfake.faces.detectors.base import ALIGNING, WEIGHTS, DetectorSettings, FaceDetector, detector
from deepfake.storage.schema import Probability

RETINAFACE_NETWORKS = ("resnet50", "mobilenet0.25", "mobilenet0.25-relu")
"""The last is the one-megabyte detector of the same author: same keys, other rectifiers; with those of the one before,
its weights miss landmarks by a third of the distance between the eyes."""
PUBLISHED_CONFIDENCE = 0.8
"""RetinaFace's least confidence (second place)."""
PUBLISHED_NMS = 0.4
"""The default of RetinaFace's published test script."""


@detector("retinaface")
@dataclass(frozen=True)
class RetinaFaceSettings(DetectorSettings):
    """How RetinaFace looks for faces.

    Attributes:
        network: one of `RETINAFACE_NETWORKS`.
        confidence: boxes of this score or less are dropped, 0..1.
        nms: of two boxes that share more of their union, the worse is dropped; None keeps all, several a face.
        scale: the frame's scale before detection; None chooses it by the frame's size (`auto_scale`).

    Raises ValueError for an unknown network, or a scale out of SCALES.
    """

    network: str = "resnet50"
    confidence: Probability = PUBLISHED_CONFIDENCE
    nms: Probability | None = PUBLISHED_NMS
    scale: float | None = 1.0

    def __post_init__(self) -> None:
        if self.network not in RETINAFACE_NETWORKS:
            known = ", ".join(RETINAFACE_NETWORKS)
            raise ValueError(f"network: RetinaFace network {self.network!r:.100} unknown; expected one of {known}")
        self.check_scale()

    def build(self, device: str = "cpu", weights_dir: Path = WEIGHTS) -> FaceDetector:
        """See `DetectorSettings.build`."""
        from deepfake.faces.detectors.retinaface import RetinaFace, weights_path

        return RetinaFace(self, weights_path(weights_dir, self.network), device)


SECOND_PLACE = RetinaFaceSettings(nms=None)
"""Second place's detector: it takes the largest of all boxes, so nothing is suppressed."""

ALIGNING.register("retinaface")(SECOND_PLACE)
# Trained on pictures of 300 pixels: it finds large faces best where they are reduced.
ALIGNING.register("retinaface-mobilenet0.25")(replace(SECOND_PLACE, network="mobilenet0.25-relu", scale=0.5))
