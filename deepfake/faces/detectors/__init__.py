"""Face detectors: one protocol, named settings, one file per detector."""

from deepfake.faces.detectors.base import (
    ALIGNING,
    PRESETS,
    AnySettings,
    DetectorSettings,
    FaceDetector,
    RetinaFaceSettings,
    auto_scale,
    get_preset,
)

__all__ = [
    "ALIGNING",
    "PRESETS",
    "AnySettings",
    "DetectorSettings",
    "FaceDetector",
    "RetinaFaceSettings",
    "auto_scale",
    "get_preset",
]
