"""What a face detector is, and the named settings that the recipes use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from deepfake.faces.boxes import Face
from deepfake.storage.ranges import check_number, check_numbers

PUBLISHED_SCALE = 0.5

LEAST_CONFIDENCE = 0.01
"""Below it, everything is a face: the candidates of one frame would take minutes and gigabytes."""
SCALES = (0.01, 4.0)
"""Of frames before detection: larger ones would only take memory."""
MIN_FACES = (4.0, 10_000.0)
"""Pixels. The pyramid's first level is 12 pixels divided by it, times the frame."""
FACTORS = (0.05, 0.95)
"""Between pyramid levels: at 1 the pyramid has no end."""

RETINAFACE_NETWORKS = ("resnet50", "mobilenet0.25", "mobilenet0.25-relu")
"""The last is the one-megabyte detector of the same author: same keys, other rectifiers; with those of the one before,
its weights miss landmarks by a third of the distance between the eyes."""
PUBLISHED_CONFIDENCE = 0.8
"""RetinaFace's least confidence (second place)."""
PUBLISHED_NMS = 0.4
"""The default of RetinaFace's published test script."""


@dataclass(frozen=True)
class DetectorSettings:
    """How MTCNN looks for faces.

    Attributes:
        thresholds: least confidence after each of MTCNN's three stages, LEAST_CONFIDENCE..1.
        scale: the frame's scale before detection; None chooses it by the frame's size (`auto_scale`).
        min_face: smallest face in pixels of the scaled frame.
        factor: ratio between neighbouring pyramid levels.
        min_share: pyramid levels made for faces smaller than this share of the frame's shorter side are left out;
            0 keeps all. The levels that stay are the same, so faces well above it are found at the same place.

    Raises ValueError for a value out of its range.
    """

    detector: ClassVar[str] = "mtcnn"

    thresholds: tuple[float, float, float]
    scale: float | None = None
    min_face: int = 20
    factor: float = 0.709
    min_share: float = 0.0

    def __post_init__(self) -> None:
        check_numbers("thresholds", self.thresholds, 3, LEAST_CONFIDENCE, 1)
        if self.scale is not None:
            check_number("scale", self.scale, *SCALES)
        check_number("min_face", self.min_face, *MIN_FACES)
        check_number("factor", self.factor, *FACTORS)
        check_number("min_share", self.min_share, 0, 1)

    def with_scale(self, scale: float | None) -> DetectorSettings:
        return replace(self, scale=scale)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "thresholds": list(self.thresholds)}

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> DetectorSettings:
        """The inverse of `to_dict`. Raises KeyError or TypeError for other content."""
        return DetectorSettings(**{**content, "thresholds": tuple(content["thresholds"])})


@dataclass(frozen=True)
class RetinaFaceSettings:
    """How RetinaFace looks for faces.

    Attributes:
        network: one of `RETINAFACE_NETWORKS`.
        confidence: boxes of this score or less are dropped, 0..1.
        nms: of two boxes that share more of their union, the worse is dropped; None keeps all, several a face.
        scale: the frame's scale before detection; None chooses it by the frame's size (`auto_scale`).

    Raises ValueError for an unknown network, or a value out of its range.
    """

    detector: ClassVar[str] = "retinaface"

    network: str = "resnet50"
    confidence: float = PUBLISHED_CONFIDENCE
    nms: float | None = PUBLISHED_NMS
    scale: float | None = 1.0

    def __post_init__(self) -> None:
        if self.network not in RETINAFACE_NETWORKS:
            known = ", ".join(RETINAFACE_NETWORKS)
            raise ValueError(f"network: RetinaFace network {self.network!r:.100} unknown; expected one of {known}")
        check_number("confidence", self.confidence, 0, 1)
        if self.nms is not None:
            check_number("nms", self.nms, 0, 1)
        if self.scale is not None:
            check_number("scale", self.scale, *SCALES)

    def with_scale(self, scale: float | None) -> RetinaFaceSettings:
        return replace(self, scale=scale)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> RetinaFaceSettings:
        """The inverse of `to_dict`. Raises TypeError for other content."""
        return RetinaFaceSettings(**content)


AnySettings = DetectorSettings | RetinaFaceSettings

SETTINGS: dict[str, type[DetectorSettings] | type[RetinaFaceSettings]] = {
    kind.detector: kind for kind in (DetectorSettings, RetinaFaceSettings)
}
"""The settings' type by the detector's name."""

PRESETS = {
    # Training crops: the thresholds of the published detect_original_faces, the scale rule of its README.
    "training": DetectorSettings((0.85, 0.95, 0.95)),
    # Training crops exactly as the published code made them.
    "published": DetectorSettings((0.85, 0.95, 0.95), scale=PUBLISHED_SCALE),
    # Five points on crops.
    "landmarks": DetectorSettings((0.65, 0.75, 0.75), scale=1.0),
    # The same where the face is known to fill the crop: a face is 3/5 of its crop, unless the frame's edge cut it.
    "landmarks-quick": DetectorSettings((0.65, 0.75, 0.75), scale=1.0, min_share=0.2),
    # Faces of videos to be scored.
    "prediction": DetectorSettings((0.7, 0.8, 0.8), scale=PUBLISHED_SCALE),
}
"""First place's detector settings by use."""


SECOND_PLACE = RetinaFaceSettings(nms=None)
"""Second place's detector: it takes the largest of all boxes, so nothing is suppressed."""

ALIGNING: dict[str, AnySettings] = {
    "retinaface": SECOND_PLACE,
    # Trained on pictures of 300 pixels: it finds large faces best where they are reduced.
    "retinaface-mobilenet0.25": replace(SECOND_PLACE, network="mobilenet0.25-relu", scale=0.5),
    "mtcnn": PRESETS["prediction"],
}
"""What `--detector` chooses from where faces are aligned: detectors that give landmarks."""


class FaceDetector(Protocol):
    """Finds faces in frames."""

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        """The faces of each (H, W, 3) uint8 RGB frame, largest first, in pixels of the frame as given."""
        ...


def get_preset(name: str) -> DetectorSettings:
    """Raises ValueError for an unknown name, listing the known."""
    if name not in PRESETS:
        raise ValueError(f"detector preset {name!r} unknown; expected one of {', '.join(PRESETS)}")
    return PRESETS[name]


def auto_scale(height: int, width: int) -> float:
    """The scale rule of the first-place README: small frames are enlarged, large ones reduced, by the longer side."""
    longer = max(height, width)
    if longer < 300:
        return 2.0
    if longer <= 1000:
        return 1.0
    if longer <= 1900:
        return 1 / 2
    return 1 / 3
