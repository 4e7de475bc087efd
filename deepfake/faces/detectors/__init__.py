"""Face detectors: one protocol, settings by the detector's name, one file of settings per detector."""

from deepfake.faces.detectors.base import ALIGNING, DETECTORS, DetectorSettings, FaceDetector, auto_scale
from deepfake.faces.detectors.settings.mtcnn import PRESETS, MTCNNSettings, get_preset
from deepfake.faces.detectors.settings.retinaface import RetinaFaceSettings

__all__ = [
    "ALIGNING",
    "DETECTORS",
    "PRESETS",
    "DetectorSettings",
    "FaceDetector",
    "MTCNNSettings",
    "RetinaFaceSettings",
    "auto_scale",
    "get_preset",
]
