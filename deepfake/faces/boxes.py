"""Face boxes: geometry and the box file.

A box is (x1, y1, x2, y2) in pixels; its coordinate space is full-frame pixels everywhere in this project. Only
the detector knows the reduced frames it looks at, and it scales its boxes back before it hands them out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Interval

from deepfake.storage import atomic
from deepfake.storage.json_files import parse_json
from deepfake.storage.schema import from_plain

MARGIN = 3
"""A crop is wider than its box by `size // MARGIN` on each side (first place)."""

_MOST_PIXELS = 1 << 24
"""No coordinate lies farther out: frames have at most this many pixels, and box files that say more are damaged."""

_Pixels = Annotated[float, Interval(ge=-_MOST_PIXELS, le=_MOST_PIXELS)]
_Box = tuple[_Pixels, _Pixels, _Pixels, _Pixels]

NO_MARGIN = 4 * _MOST_PIXELS
"""For `crop_window`: the box itself."""

FRAME_SPACE = "frame"
BOX_FILE_FORMAT = 1

PUBLISHED_SPACE_SCALE = 2.0
"""The first-place code stored boxes of frames halved before detection."""


@dataclass(frozen=True)
class Face:
    """One detected face, in full-frame pixels.

    `box` is (x1, y1, x2, y2) and may reach over the frame's edge; `score` is the detector's confidence in 0..1;
    `landmarks`, if known, are five (x, y): left eye, right eye, nose, left and right mouth corner as seen in the
    picture.
    """

    box: _Box
    score: float | None = None
    landmarks: tuple[tuple[_Pixels, _Pixels], ...] | None = None

    @property
    def area(self) -> float:
        x1, y1, x2, y2 = self.box
        return (x2 - x1) * (y2 - y1)

    def scaled(self, factor: float) -> Face:
        points = self.landmarks
        return Face(
            box=tuple(v * factor for v in self.box),  # type: ignore[arg-type]
            score=self.score,
            landmarks=None if points is None else tuple((x * factor, y * factor) for x, y in points),
        )


@dataclass(frozen=True)
class BoxFile:
    """The faces of one video: frame index -> faces (largest first), for every frame that was looked at.

    `size` is the frames' (height, width), None in the published layout; `settings` tells how faces were found.
    """

    frames: dict[int, list[Face]]
    size: tuple[int, int] | None = None
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Stored:
    """What a box file holds beside its format: see `BoxFile`."""

    space: Literal["frame"]
    size: tuple[int, int] | None
    settings: dict[str, Any]
    frames: dict[int, list[Face]]


def crop_window(
    box: tuple[float, float, float, float], height: int, width: int, margin: int = MARGIN
) -> tuple[int, int, int, int]:
    """The crop of a box: truncated to integers, widened by `size // margin` a side, clipped to the frame.

    Returns (x1, y1, x2, y2) with 0 <= x1 <= x2 <= width and 0 <= y1 <= y2 <= height; the window is empty for a box
    outside of the frame.
    """
    x1, y1, x2, y2 = (int(v) for v in box)
    pad_x, pad_y = (x2 - x1) // margin, (y2 - y1) // margin
    left, top = min(max(x1 - pad_x, 0), width), min(max(y1 - pad_y, 0), height)
    right, bottom = min(max(x2 + pad_x, left), width), min(max(y2 + pad_y, top), height)
    return left, top, right, bottom


def crop_face(frame: np.ndarray, box: tuple[float, float, float, float], margin: int = MARGIN) -> np.ndarray:
    """A view of `frame` (H, W, C) on the box and its margin; may be empty."""
    left, top, right, bottom = crop_window(box, frame.shape[0], frame.shape[1], margin)
    return frame[top:bottom, left:right]


def write_boxes(path: Path, boxes: BoxFile) -> None:
    """Writes a box file, atomically. Coordinates keep 4 decimals."""
    content = {
        "format": BOX_FILE_FORMAT,
        "space": FRAME_SPACE,
        "size": None if boxes.size is None else list(boxes.size),
        "settings": boxes.settings,
        "frames": {str(i): [_face_to_json(f) for f in faces] for i, faces in sorted(boxes.frames.items())},
    }
    atomic.write_text(path, json.dumps(content))


def as_stored(face: Face) -> Face:
    """A face as the box file gives it back: rounded."""
    return from_plain(Face, _face_to_json(face))


def read_boxes(path: Path) -> BoxFile:
    """Reads a box file: this project's, or the published bare dictionary in half-size coordinates.

    Raises:
        ValueError: the file is neither.
    """
    try:
        content = parse_json(path.read_bytes())
        if isinstance(content, dict) and "format" not in content:
            return _published_boxes(content)
        stored = from_plain(_Stored, content, file_format=BOX_FILE_FORMAT)
    except ValueError as error:
        raise ValueError(f"{path}: not a box file: {error}; remove it and detect again") from error
    return BoxFile(stored.frames, stored.size, stored.settings)


def first_settings(folder: Path, originals: Iterable[str]) -> dict[str, Any] | None:
    """The settings in the first of the originals' box files below `folder`; None if there is none.

    Raises:
        ValueError: it is not a box file.
    """
    files = (folder / f"{video}.json" for video in sorted(set(originals)))
    first = next((file for file in files if file.exists()), None)
    return None if first is None else read_boxes(first).settings


def _published_boxes(content: dict[str, Any]) -> BoxFile:
    halved = from_plain(dict[int, list[_Box] | None], content)
    frames = {i: [Face(box).scaled(PUBLISHED_SPACE_SCALE) for box in boxes or []] for i, boxes in halved.items()}
    return BoxFile(frames, settings={"layout": "published"})


def _face_to_json(face: Face) -> dict[str, Any]:
    entry: dict[str, Any] = {"box": [round(v, 4) for v in face.box]}
    if face.score is not None:
        entry["score"] = round(face.score, 6)
    if face.landmarks is not None:
        entry["landmarks"] = [[round(x, 4), round(y, 4)] for x, y in face.landmarks]
    return entry
