"""The landmark file: five points of a crop as (5, 2) int16, x and y in pixels of the crop.

Order: left eye, right eye, nose, left and right mouth corner, as seen in the picture.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

LEFT_EYE, RIGHT_EYE, NOSE, MOUTH_LEFT, MOUTH_RIGHT = range(5)
SHAPE = (5, 2)


def write_landmarks(path: Path, points: npt.ArrayLike) -> None:
    """Writes (5, 2) points, rounded. Callers make it atomic."""
    with path.open("wb") as file:
        np.save(file, np.rint(points).astype(np.int16).reshape(SHAPE), allow_pickle=False)


def read_landmarks(path: Path) -> np.ndarray:
    """Reads (5, 2) int16 points.

    Raises:
        ValueError: not a landmark file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: not a landmark file: {error}") from error
    return parse_landmarks(data, str(path))


def parse_landmarks(data: bytes, source: str) -> np.ndarray:
    """The bytes of a landmark file as (5, 2) int16 points; `source` names it in errors.

    Raises:
        ValueError: not a landmark file.
    """
    try:
        # Not np.load, which opens archives and memory maps as well.
        points = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{source}: not a landmark file: {error}") from error
    if points.shape != SHAPE or points.dtype != np.int16:
        raise ValueError(f"{source}: holds {points.dtype} of shape {points.shape}; expected int16 of {SHAPE}")
    return points
