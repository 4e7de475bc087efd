"""A folder of aligned faces, second place's training data: names, the list of videos, how the faces were found.

FACES/ID/NNN.png     the largest face of frame NNN (three digits or more) of video ID, aligned
FACES/faces.csv      the videos with label and set (the published layout)
FACES/recipe.json    detector, picture size and format, which frames
FACES/failures/      the videos that could not be read
FACES/runs/          what each run did
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import pandas as pd

from deepfake.datasets.data_root import CROP_SUFFIXES, FAILURES_DIR
from deepfake.datasets.records import VIDEO
from deepfake.faces.recipes import AlignRecipe, FaceRecipe, recipe_from_dict, recipe_to_dict
from deepfake.storage import atomic
from deepfake.storage.json_files import parse_json
from deepfake.storage.names import is_plain_name
from deepfake.storage.own_folders import RECIPE_JSON, RUNS_DIR
from deepfake.storage.schema import ReadBy, from_plain
from deepfake.storage.tables import TableError, read_table, write_table

FACES_CSV = "faces.csv"
RECIPE_FORMAT = 1

TRAIN, VALIDATION = "train", "val"
"""The sets of `faces.csv`; videos of any other set are left alone."""

RESERVED = frozenset({FACES_CSV, RECIPE_JSON, FAILURES_DIR, RUNS_DIR})
"""Names in a folder of faces that no video can have."""

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
class FaceVideo:
    """A video that has a folder of faces: the folder's name, and what `VideoRecord` says of the rest."""

    name: str
    path: Path
    content: str = VIDEO
    mask: Path | None = None


@dataclass(frozen=True)
class Extraction:
    """How the faces of a folder were made.

    Attributes:
        recipe: detector and size.
        every: of the frames, 1 takes all.
        suffix: of the pictures. One folder has one format: where only the fakes are JPEG, that is what is learnt.

    Raises ValueError for an `every` below 1 or another format.
    """

    recipe: AlignRecipe
    every: int = 1
    suffix: str = ".png"

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every {self.every}: expected 1 or more")
        if self.suffix not in CROP_SUFFIXES:
            raise ValueError(f"pictures {self.suffix!r}: expected one of {', '.join(CROP_SUFFIXES)}")


@dataclass(frozen=True)
class _RecipeFile:
    """What `recipe.json` holds: see `extraction_to_dict`."""

    faces: Annotated[FaceRecipe, ReadBy(recipe_from_dict)]
    every: int
    pictures: str


def face_name(frame: int, suffix: str = ".png") -> str:
    return f"{frame:03d}{suffix}"


def parse_face_name(name: str) -> int | None:
    """The frame of an aligned face's file name, None if the name is not one."""
    path = Path(name)
    return int(path.stem) if _STEM.fullmatch(path.stem) and path.suffix in CROP_SUFFIXES else None


def name_folders(videos: Iterable[Path]) -> dict[str, Path]:
    """Folder name -> video, for each of the videos: its file name without suffix.

    Raises:
        ValueError: two videos of one name, or one whose name cannot be a folder's.
    """
    folders: dict[str, Path] = {}
    for video in videos:
        name = video.stem
        if not is_plain_name(name) or name in RESERVED:
            raise ValueError(f"{str(video)!r}: no folder of faces can be named {name!r}; rename the video")
        other = folders.setdefault(name, video)
        if other.resolve() != video.resolve():
            raise ValueError(
                f"{other} and {video}: both would be the folder {name!r}; names without suffix must be unique, "
                "so rename one or extract into two folders"
            )
    return folders


def list_folders(faces: Path) -> list[str]:
    """The names of the videos that have a folder, empty or not, in a folder of faces."""
    if not faces.is_dir():
        return []
    names = (path.name for path in faces.iterdir() if path.is_dir())
    return sorted(name for name in names if is_plain_name(name) and name not in RESERVED)


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
    for wrong, message in (
        (~table["is_fake"].isin((0, 1)), "is_fake must be 0 or 1"),
        (table["n_frame"] < 0, "n_frame must be 0 or more"),
        (table["name"].duplicated(), "a name may stand there once"),
    ):
        if wrong.any():
            raise TableError(f"{path}: {message}; see {table['name'][wrong].iloc[0]!r}")
    return table


def write_extraction(folder: Path, extraction: Extraction) -> None:
    """Writes `recipe.json`, atomically."""
    content = {"format": RECIPE_FORMAT, **extraction_to_dict(extraction)}
    atomic.write_text(folder / RECIPE_JSON, json.dumps(content, indent=1) + "\n")


def extraction_to_dict(extraction: Extraction) -> dict[str, Any]:
    """As plain JSON values."""
    return {
        "faces": recipe_to_dict(extraction.recipe),
        "every": extraction.every,
        "pictures": extraction.suffix,
    }


def read_extraction(folder: Path) -> Extraction | None:
    """How the faces of a folder were made; None if it does not say.

    Raises:
        ValueError: it says something that is not understood.
    """
    file = folder / RECIPE_JSON
    if not file.exists():
        return None
    try:
        there = from_plain(_RecipeFile, parse_json(file.read_bytes()), file_format=RECIPE_FORMAT)
        if not isinstance(there.faces, AlignRecipe):
            raise ValueError(f"faces.kind: expected {AlignRecipe.kind}; found {there.faces.kind!r}")
        return Extraction(there.faces, there.every, there.pictures)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: not understood ({error}); extract the faces again") from error


def claim_folder(faces: Path, extraction: Extraction, names: Collection[str], overwrite: bool = False) -> None:
    """Makes a folder of faces one of this extraction, before any picture: all that it holds is made in one way.

    Args:
        names: the videos whose faces are to be written.
        overwrite: faces of these videos that were made otherwise are removed.

    Raises:
        ValueError: it holds faces that were made otherwise; the message tells the cures.
    """
    file, folders = faces / RECIPE_JSON, list_folders(faces)
    if not file.exists():
        if unknown := [name for name in folders if name in names or list_faces(faces / name)]:
            raise ValueError(f"{file}: missing, so nobody knows how {unknown[0]!r} was made; name another folder")
    elif (difference := _difference(faces, extraction)) is None:
        return
    elif not overwrite:
        raise ValueError(f"{difference}; faces of one folder are made in one way: name another folder or --overwrite")
    elif others := [name for name in folders if name not in names]:
        raise ValueError(
            f"{difference}; {len(others)} videos that are not to be overwritten have faces there, too "
            f"({others[0]}): name another folder"
        )
    # The faces before the recipe: killed in between, they are missing, but never taken for new ones.
    for name in folders:
        if name in names:
            shutil.rmtree(faces / name)
    write_extraction(faces, extraction)


def _difference(faces: Path, wanted: Extraction) -> str | None:
    """How the faces of a folder differ from those that are wanted, in words; None if they do not."""
    try:
        there = read_extraction(faces)
    except ValueError as error:
        return str(error)
    if there is None or there == wanted:
        return None
    old, new = (
        {
            "detector": e.recipe.settings.detector,
            **e.recipe.settings.to_dict(),
            "size": e.recipe.size,
            "every": e.every,
            "pictures": e.suffix,
        }
        for e in (there, wanted)
    )
    differing = (f"{key} {old[key]}, not {new[key]}" for key in old if key in new and old[key] != new[key])
    return f"{faces / RECIPE_JSON}: made with {', '.join(differing)}"
