"""How MTCNN looks for faces, and first place's settings by use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Interval

from deepfake.faces.detectors.base import ALIGNING, WEIGHTS, DetectorSettings, FaceDetector, detector
from deepfake.storage.schema import Probability

PUBLISHED_SCALE = 0.5

_Confidence = Annotated[float, Interval(ge=0.01, le=1)]
"""Below it, everything is a face: the candidates of one frame would take minutes and gigabytes."""


@detector("mtcnn")
@dataclass(frozen=True)
class MTCNNSettings(DetectorSettings):
    """How MTCNN looks for faces.

    Attributes:
        thresholds: least confidence after each of MTCNN's three stages, 0.01..1.
        scale: the frame's scale before detection; None chooses it by the frame's size (`auto_scale`).
        min_face: smallest face in pixels of the scaled frame.
        factor: ratio between neighboring pyramid levels.
        min_share: pyramid levels made for faces smaller than this share of the frame's shorter side are left out;
            0 keeps all. The levels that stay are the same, so faces well above it are found at the same place.

    Raises ValueError for a scale out of SCALES.
    """

    thresholds: tuple[_Confidence, _Confidence, _Confidence]
    scale: float | None = None
    # The pyramid's first level is 12 pixels divided by it, times the frame.
    min_face: Annotated[int, Interval(ge=4, le=10_000)] = 20
    factor: Annotated[float, Interval(ge=0.05, le=0.95)] = 0.709  # at 1 the pyramid has no end
    min_share: Probability = 0.0

    def __post_init__(self) -> None:
        self.check_scale()

    def build(self, device: str = "cpu", weights_dir: Path = WEIGHTS) -> FaceDetector:
        """See `DetectorSettings.build`; its weights come with facenet-pytorch."""
        from deepfake.faces.detectors.mtcnn import MTCNN

        return MTCNN(self, device)


PRESETS = {
    # Training crops: the thresholds of the published detect_original_faces, the scale rule of its README.
    "training": MTCNNSettings((0.85, 0.95, 0.95)),
    # Training crops exactly as the published code made them.
    "published": MTCNNSettings((0.85, 0.95, 0.95), scale=PUBLISHED_SCALE),
    # Five points on crops.
    "landmarks": MTCNNSettings((0.65, 0.75, 0.75), scale=1.0),
    # The same where the face is known to fill the crop: a face is 3/5 of its crop, unless the frame's edge cut it.
    "landmarks-quick": MTCNNSettings((0.65, 0.75, 0.75), scale=1.0, min_share=0.2),
    # Faces of videos to be scored.
    "prediction": MTCNNSettings((0.7, 0.8, 0.8), scale=PUBLISHED_SCALE),
}
"""First place's detector settings by use."""

ALIGNING.register("mtcnn")(PRESETS["prediction"])


def get_preset(name: str) -> MTCNNSettings:
    """Return first place's settings for a use.

    Raises:
        ValueError: unknown name; the message lists the known.
    """
    if name not in PRESETS:
        raise ValueError(f"detector preset {name!r} unknown; expected one of {', '.join(PRESETS)}")
    return PRESETS[name]
