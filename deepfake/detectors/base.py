"""What a face detector is, and the named settings that the recipes use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np

from deepfake.boxes import Face

PUBLISHED_SCALE = 0.5


@dataclass(frozen=True)
class DetectorSettings:
    """How faces are looked for.

    Attributes:
        thresholds: least confidence after each of MTCNN's three stages, 0..1.
        scale: the frame's scale before detection; None chooses it by the frame's size (`auto_scale`).
        min_face: smallest face in pixels of the scaled frame.
        factor: ratio between neighbouring pyramid levels.
        min_share: pyramid levels made for faces smaller than this share of the frame's shorter side are left out;
            0 keeps all. The levels that stay are the same, so faces well above it are found at the same place.
    """

    thresholds: tuple[float, float, float]
    scale: float | None = None
    min_face: int = 20
    factor: float = 0.709
    min_share: float = 0.0

    def with_scale(self, scale: float | None) -> DetectorSettings:
        return replace(self, scale=scale)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "thresholds": list(self.thresholds)}


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
