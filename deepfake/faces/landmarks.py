"""The landmark file: five points of a crop as (5, 2) int16, x and y in pixels of the crop.

Order: left eye, right eye, nose, left and right mouth corner, as seen in the picture.
"""

from __future__ import annotations

import io
from pathlib import Path
from tokenize import TokenError

import numpy as np
import numpy.typing as npt

LEFT_EYE, RIGHT_EYE, NOSE, MOUTH_LEFT, MOUTH_RIGHT = range(5)
SHAPE = (5, 2)

_NO_HEADER = (ValueError, EOFError, SyntaxError, TokenError, TypeError, KeyError, MemoryError, RecursionError)
"""What numpy raises for headers that are cut or damaged: it parses them as Python."""


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
    file = io.BytesIO(data)
    # Not np.load, which opens archives and memory maps as well; the header first, as it says how much memory to take.
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"version {version} of the format; expected 1.0")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except _NO_HEADER as error:
        raise ValueError(f"{source}: not a landmark file: {str(error).splitlines()[0][:200]}") from error
    if shape != SHAPE or dtype != np.int16:
        raise ValueError(f"{source}: holds {dtype} of shape {shape}; expected int16 of {SHAPE}")
    values = file.read()
    if len(values) < dtype.itemsize * SHAPE[0] * SHAPE[1]:
        raise ValueError(f"{source}: not a landmark file: cut off after {len(data)} bytes")
    points = np.frombuffer(values, dtype, SHAPE[0] * SHAPE[1])
    return points.reshape(SHAPE, order="F" if fortran else "C").astype(np.int16)
