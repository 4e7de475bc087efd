"""Face detectors: one protocol, named settings, one file per detector."""

from deepfake.detectors.base import PRESETS, DetectorSettings, FaceDetector, auto_scale, get_preset

__all__ = ["PRESETS", "DetectorSettings", "FaceDetector", "auto_scale", "get_preset"]
