"""A folder of aligned faces, second place's training data: names, the list of videos, how the faces were found.

FACES/ID/NNN.png     the largest face of frame NNN (three digits or more) of video ID, aligned
FACES/faces.csv      the videos with label and set (the published layout)
FACES/recipe.json    detector, picture size, which frames
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import get_type_hints

import pandas as pd

from deepfake import atomic
from deepfake.face_recipes import AlignRecipe, recipe_from_dict, recipe_to_dict
from deepfake.paths import CROP_SUFFIXES, is_plain_name
from deepfake.tables import TableError, read_table, write_table

FACES_CSV = "faces.csv"
RECIPE_JSON = "recipe.json"
RECIPE_FORMAT = 1

TRAIN, VALIDATION = "train", "val"
"""The sets of `faces.csv`; videos of any other set are left alone."""

_STEM = re.compile(r"\d{3,}", re.ASCII)


@dataclass(frozen=True)
class FaceListRow:
    """One video: its folder's name, 1 for fake and 0 for real, how many pictures it has, and its set."""

    name: str
    is_fake: int
    n_frame: int
    set_name: str


COLUMNS: dict[str, type] = get_type_hints(FaceListRow)


@dataclass(frozen=True)
class Extraction:
    """How the faces of a folder were made: `every` counts frames, 1 takes all."""

    recipe: AlignRecipe
    every: int = 1


def face_name(frame: int, suffix: str = ".png") -> str:
    return f"{frame:03d}{suffix}"


def parse_face_name(name: str) -> int | None:
    """The frame of an aligned face's file name, None if the name is not one."""
    path = Path(name)
    return int(path.stem) if _STEM.fullmatch(path.stem) and path.suffix in CROP_SUFFIXES else None


def list_faces(folder: Path) -> list[Path]:
    """The pictures of one video, by frame."""
    found = [(frame, path) for path in folder.iterdir() if (frame := parse_face_name(path.name)) is not None]
    return [path for _, path in sorted(found)]


def write_face_list(path: Path, rows: Sequence[FaceListRow]) -> None:
    """Writes `faces.csv`, atomically, by name."""
    write_table(path, COLUMNS, sorted(astuple(row) for row in rows))


def read_face_list(path: Path) -> pd.DataFrame:
    """The list with columns `COLUMNS`; is_fake and n_frame as int.

    Raises:
        TableError: not such a table, a label other than 0 and 1, a name twice, or one that leaves the folder.
    """
    table = read_table(path, COLUMNS, "list of faces")
    for name in table["name"]:
        if not is_plain_name(name):
            raise TableError(f"{path}: {name!r} is not a plain folder name; names may not leave the folder")
    for wrong, told in (
        (~table["is_fake"].isin((0, 1)), "is_fake must be 0 or 1"),
        (table["n_frame"] < 0, "n_frame must be 0 or more"),
        (table["name"].duplicated(), "a name may stand there once"),
    ):
        if wrong.any():
            raise TableError(f"{path}: {told}; see {table['name'][wrong].iloc[0]!r}")
    return table


def write_extraction(folder: Path, extraction: Extraction) -> None:
    """Writes `recipe.json`, atomically."""
    content = {"format": RECIPE_FORMAT, "faces": recipe_to_dict(extraction.recipe), "every": extraction.every}
    atomic.write_text(folder / RECIPE_JSON, json.dumps(content, indent=1) + "\n")


def read_extraction(folder: Path) -> Extraction | None:
    """How the faces of a folder were made; None if it does not say.

    Raises:
        ValueError: it says something that is not understood.
    """
    file = folder / RECIPE_JSON
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != RECIPE_FORMAT:
            raise ValueError(f"format {content['format']!r}; this version reads {RECIPE_FORMAT}")
        recipe = recipe_from_dict(content["faces"])
        if not isinstance(recipe, AlignRecipe):
            raise ValueError(f"faces of kind {recipe.kind!r}; expected {AlignRecipe.kind!r}")
        return Extraction(recipe, int(content["every"]))
    except (KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        raise ValueError(f"{file}: not understood ({error}); extract the faces again") from error
