"""Copies of a data set that other copies of its videos belong to: the lists that its layout is read from."""

from __future__ import annotations

from pathlib import Path

from deepfake.datasets.data_root import FAILURES_DIR, FOLDS_NAME
from deepfake.datasets.tree import Folder, has_suffix
from deepfake.storage import atomic
from deepfake.storage.own_folders import RUNS_DIR

LIST_SUFFIXES = (".json", ".csv", ".tsv", ".txt")
"""Of files that labels, originals and splits stand in."""

_MADE_HERE = (FAILURES_DIR, RUNS_DIR, FOLDS_NAME)


def copy_lists(root: Path, out: Path) -> None:
    """Copy the lists in a data set to the same places below another folder: there the copied videos are a data set.

    Args:
        root: a folder; what this project has made in it, and `out` if it is in it, are left out.
    """
    for folder in Folder(root).walk():
        if folder.path.resolve().is_relative_to(out.resolve()):
            continue
        for name in folder.files:
            place = Path(*folder.parts, name)
            if has_suffix(name, LIST_SUFFIXES) and place.parts[0] not in _MADE_HERE:
                atomic.write_bytes(out / place, (root / place).read_bytes())


def copy_of(path: Path, root: Path, out: Path) -> Path:
    """Return where the copy of a video goes.

    Raises:
        ValueError: the video is outside of the data set.
    """
    if not path.is_relative_to(root):
        raise ValueError(f"{path}: not below {root}, so its copy has no place below {out}")
    return out / path.relative_to(root)
