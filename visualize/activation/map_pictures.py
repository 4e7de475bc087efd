"""Activation maps as pictures: of faces, on a sheet, over whole frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from deepfake.faces.recipes import FaceRecipe
from deepfake.media.images import encode_image, write_image
from deepfake.storage import atomic
from deepfake.storage.json_files import parse_json
from deepfake.storage.own_folders import MAPS_JSON
from visualize.activation.face_maps import MappedFace, in_frame, outline
from visualize.activation.maps import METHODS, overlay
from visualize.dataset.sheets import Cell, Row, Sheet, draw_sheet
from visualize.text import INK, PAPER, paste, stacked, text_block

SHOWN_SIZE = 320
"""Pictures whose longer side is shorter are enlarged to this, so that their labels can be read."""
COLUMNS = 6
"""Faces beside each other on a sheet."""
RECORD = MAPS_JSON
"""Lists the pictures of a folder. A folder without it is not overwritten."""
RECORD_FORMAT = 1

_MIDDLE_GRAY = 150
_NIGHT, _LIGHT = (20, 20, 20), (245, 245, 245)
_TEXT_SIZE = 15


def legend(method: str, size: int = _TEXT_SIZE, night: bool = False) -> np.ndarray:
    """A scale of the maps' colors with words, (h, w, 3) uint8 RGB, for a font of `size` pixels.

    Args:
        night: light on dark, for frames.
    """
    ink, paper = (_LIGHT, _NIGHT) if night else (INK, PAPER)
    texts = [text_block([text], size, ink=ink, paper=paper) for text in (METHODS[method], "least", "most")]
    height = texts[0].shape[0]
    bar = np.empty((height, 8 * size, 3), np.uint8)
    bar[:] = paper
    inner = slice(round(height * 0.3), round(height * 0.7))
    bar[inner] = _MIDDLE_GRAY
    bar[inner] = overlay(bar[inner], np.broadcast_to(np.linspace(0, 1, bar.shape[1]), bar[inner].shape[:2]))
    return np.hstack([texts[0], texts[1], bar, texts[2]])


def describe(face: MappedFace) -> list[str]:
    """The lines under a face's picture."""
    if face.place is None:
        where = face.name
    else:
        where = f"frame {face.place.frame}" if face.seconds is not None else "picture"
        where += f", face {face.face}" if face.face or face.seconds is None else ""
        where += f", {face.seconds:.2f} s" if face.seconds is not None else ""
    return [f"fake {face.score:.3f}", where]


def face_picture(face: MappedFace, method: str) -> np.ndarray:
    """A face with its map, that stands alone: scores and a legend are below it."""
    shown = _shown(face)
    scale = legend(method, _TEXT_SIZE - 3)
    width = max(shown.shape[1], scale.shape[1])
    framed = np.full((shown.shape[0], width, 3), PAPER, np.uint8)
    left = (width - shown.shape[1]) // 2
    framed[:, left : left + shown.shape[1]] = shown
    return stacked([framed, text_block(describe(face), _TEXT_SIZE, width, bold_first=True), scale])


def face_sheet(faces: Sequence[MappedFace], title: Sequence[str], method: str) -> np.ndarray:
    """All faces with their maps on one picture, (H, W, 3) uint8 RGB, in their order; `title` is one line or more."""
    cells = []
    for face in faces:
        score, where = describe(face)
        cells.append(Cell(score, _shown(face), [where]))
    rows = [Row(cells[n : n + COLUMNS], SHOWN_SIZE, columns=COLUMNS) for n in range(0, len(cells), COLUMNS)]
    return draw_sheet(Sheet(title[0], rows, title[1:], scale=legend(method))).image


def paint_frame(image: np.ndarray, faces: Sequence[MappedFace], recipe: FaceRecipe, method: str) -> np.ndarray:
    """A whole frame with the maps over its faces, each in its outline with its score: a new (H, W, 3) uint8 RGB."""
    painted = image.copy()
    height, width = image.shape[:2]
    size = max(min(height, width) // 40, 12)
    for face in faces:
        activation, left, top = in_frame(face, recipe, height, width)
        if activation.size:
            part = painted[top : top + activation.shape[0], left : left + activation.shape[1]]
            part[:] = overlay(part, activation)
    outlines = [np.rint(outline(f.place, recipe, height, width)).astype(np.int32) for f in faces if f.place is not None]
    cv2.polylines(painted, outlines, True, _LIGHT, max(size // 8, 1), cv2.LINE_AA)
    for face, corners in zip(faces, outlines):
        # Small faces stand close together: their labels are to hide each other as little as can be.
        fitting = max(min(size, int(np.ptp(corners[:, 0])) // 5), 12)
        label = text_block([f"fake {face.score:.2f}"], fitting, ink=_LIGHT, paper=_NIGHT)
        paste(painted, label, int(corners[:, 0].min()), int(corners[:, 1].min()) - label.shape[0])
    scale = legend(method, size, night=True)
    paste(painted, scale, 0, height - scale.shape[0])
    return painted


def check_folder(folder: Path) -> None:
    """Raises ValueError if a folder holds anything but the pictures of an earlier run: `write_faces` replaces it."""
    if not folder.exists():
        return
    try:
        record = folder / RECORD
        listed = set(parse_json(record.read_bytes())["pictures"]) if record.is_file() else set()
        foreign = {path.name for path in folder.iterdir()} - listed - {RECORD}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder}: no folder of this command ({error}); choose another --output") from error
    if foreign:
        raise ValueError(
            f"{folder}: holds other files, {sorted(foreign)[0]!r} for one, that writing there would remove; "
            "choose another --output"
        )


def write_faces(folder: Path, faces: Sequence[MappedFace], method: str, model: str) -> None:
    """Writes each face's picture, `{name}.png`, and a record of them; the folder appears, or is replaced, as a whole.

    Callers have asked `check_folder`.
    """
    record = {"format": RECORD_FORMAT, "model": model, "method": method, "pictures": {}}
    with atomic.atomic_folder(folder) as partial:
        for face in faces:
            write_image(partial / f"{face.name}.png", face_picture(face, method))
            record["pictures"][f"{face.name}.png"] = _entry(face)  # type: ignore[index]
        (partial / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def write_picture(path: Path, image: np.ndarray) -> None:
    """Writes a picture, atomically, as its suffix says."""
    atomic.write_bytes(path, encode_image(image, path.suffix))


def _entry(face: MappedFace) -> dict[str, object]:
    entry: dict[str, object] = {"score": round(face.score, 6)}
    if face.place is not None:
        entry |= {"frame": face.place.frame, "face": face.face, "box": [round(v, 4) for v in face.place.face.box]}
    if face.seconds is not None:
        entry["seconds"] = round(face.seconds, 4)
    return entry


def _shown(face: MappedFace) -> np.ndarray:
    """The map over the face, large enough to be looked at."""
    height, width = face.picture.shape[:2]
    factor = max(SHOWN_SIZE / max(height, width), 1)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    picture = cv2.resize(face.picture, size, interpolation=cv2.INTER_CUBIC)
    return overlay(picture, cv2.resize(face.activation, size, interpolation=cv2.INTER_LINEAR))
