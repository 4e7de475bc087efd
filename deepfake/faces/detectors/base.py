"""What a face detector is, what its settings are, and the registries of both kinds of names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, cast

import numpy as np

from deepfake.faces.boxes import Face
from deepfake.storage.registry import Registry
from deepfake.storage.schema import require, to_plain

WEIGHTS = Path("weights")
"""The usual folder of weight files."""
SCALES = (0.01, 4.0)
"""Of frames before detection: larger ones would only take memory."""


class FaceDetector(Protocol):
    """Finds faces in frames."""

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        """Return the faces of each (H, W, 3) uint8 RGB frame, largest first, in pixels of the frame as given."""
        ...


class DetectorSettings(ABC):
    """How one detector looks for faces: a frozen dataclass for each, registered with `detector`.

    Attributes:
        detector: the detector's name.
        scale: the frame's scale before detection; None chooses it by the frame's size (`auto_scale`).
    """

    detector: ClassVar[str]

    scale: float | None

    @abstractmethod
    def build(self, device: str = "cpu", weights_dir: Path = WEIGHTS) -> FaceDetector:
        """Return the detector of these settings. What takes seconds to import, as torch does, is imported here.

        Args:
            device: where it runs.
            weights_dir: the folder of its weight file, if it needs one.

        Raises:
            ValueError: its weights are missing or not its own; the message names the cure.
        """

    def with_scale(self: _Settings, scale: float | None) -> _Settings:
        return replace(cast(Any, self), scale=scale)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for checkpoints and settings files."""
        return to_plain(self)

    def check_scale(self) -> None:
        """Raise ValueError for a scale that is out of SCALES, which options ask for, too."""
        low, high = SCALES
        expected = f"a number from {low:g} to {high:g}, or null; found {self.scale}"
        require(self.scale is None or low <= self.scale <= high, "scale", expected)


_Settings = TypeVar("_Settings", bound=DetectorSettings)

DETECTORS: Registry[type[DetectorSettings]] = Registry("detector", "deepfake.faces.detectors.settings")
"""The settings' type by the detector's name."""

ALIGNING: Registry[DetectorSettings] = Registry("detector", "deepfake.faces.detectors.settings")
"""What `--detector` chooses from where faces are aligned: detectors that give landmarks."""


def detector(name: str) -> Callable[[type[_Settings]], type[_Settings]]:
    """Return a decorator that registers the settings' type of a detector under the detector's name."""

    def add(kind: type[_Settings]) -> type[_Settings]:
        kind.detector = name
        DETECTORS.register(name)(kind)
        return kind

    return add


def auto_scale(height: int, width: int) -> float:
    """Return the scale by the rule of the first-place README: small frames are enlarged, large ones reduced, by the
    longer side."""
    longer = max(height, width)
    if longer < 300:
        return 2.0
    if longer <= 1000:
        return 1.0
    if longer <= 1900:
        return 1 / 2
    return 1 / 3


def positions_by_size(frames: Sequence[np.ndarray]) -> dict[tuple[int, int], list[int]]:
    """Return the positions of frames by their (height, width): frames of equal size share batches."""
    positions: dict[tuple[int, int], list[int]] = {}
    for position, frame in enumerate(frames):
        positions.setdefault(frame.shape[:2], []).append(position)
    return positions
