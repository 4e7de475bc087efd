"""A table of videos, as people make one of their own: path, label, and what else they know.

The path is relative to the table's folder, or absolute; it may be a video, a picture or a folder of pictures. Further
columns: original (a path, file name or id of the table), method, group, split, compression, mask.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath

from deepfake.datasets.collecting import Collector, ids_of_paths
from deepfake.datasets.data_root import FOLDS_NAME
from deepfake.datasets.label_tables import LabelRow, begins_as_label_table, read_label_table
from deepfake.datasets.label_words import parse_split
from deepfake.datasets.layout_registry import GENERAL, layout
from deepfake.datasets.records import FRAMES, VIDEO, Dataset, DatasetError
from deepfake.datasets.tree import Folder, Listings, has_suffix
from deepfake.media.files import PICTURE_SUFFIXES

_SUFFIXES = (".csv", ".tsv")


def _tables(root: Folder) -> list[str]:
    names = [name for name in root.files if has_suffix(name, _SUFFIXES) and name != FOLDS_NAME]
    return [name for name in names if begins_as_label_table(root.path / name)]


def _recognize(root: Folder) -> str | None:
    tables = _tables(root)
    return f"columns of names and labels in {' and '.join(tables)}" if tables else None


@layout("csv", "a table (.csv, .tsv) with columns path,label[,original,method,group,split,compression,mask]",
        _recognize, rank=GENERAL)  # fmt: skip
def read(root: Folder) -> Dataset:
    """Read the videos that a table names and that are there.

    Raises:
        DatasetError: no table, or several.
        TableError: a table that cannot be used; see `read_label_table`.
    """
    names = [root.only] if root.only is not None else _tables(root)
    if len(names) != 1:
        raise DatasetError(f"{root.path}: {len(names)} tables with path,label in it; name the one to read")
    table = root.path / names[0]
    rows = read_label_table(table)
    listings = Listings()
    paths = [_path(table.parent, row.name, listings) for row in rows]
    ids = ids_of_paths([_below(path, table.parent) for path in paths])
    id_of = _references(rows, paths, ids)
    found = Collector()
    for row, path, video_id in zip(rows, paths, ids):
        kind = listings.kind(path)
        if kind is None:
            found.missing[row.name] = str(table)
            continue
        cells = row.cells
        mask = _path(table.parent, cells.get("mask", ""), listings)
        if cells.get("mask") and listings.kind(mask) is None:
            found.missing[cells["mask"]] = str(table)
        original = cells.get("original", "") if row.label == 1 else ""
        found.add(
            video_id,
            path,
            row.label,
            original=id_of.get(original, PurePath(original).name) or None,
            group=cells.get("group", ""),
            method=(cells.get("method") or None) if row.label == 1 else None,
            compression=cells.get("compression") or None,
            split=parse_split(cells.get("split")),
            mask=mask if cells.get("mask") and listings.kind(mask) is not None else None,
            content=FRAMES if kind == "folder" or has_suffix(path.name, PICTURE_SUFFIXES) else VIDEO,
        )
    return found.dataset()


def _path(folder: Path, name: str, listings: Listings) -> Path:
    """Where a name of the table leads. Windows separates by back slashes, which names elsewhere may hold."""
    path = folder / name
    return folder / name.replace("\\", "/") if "\\" in name and listings.kind(path) is None else path


def _below(path: Path, folder: Path) -> PurePath:
    """A path as its id is made of it: below the table's folder, without the way there."""
    plain = Path(os.path.normpath(path))
    return plain.relative_to(folder) if plain.is_relative_to(folder) else plain.relative_to(plain.anchor)


def _references(rows: Sequence[LabelRow], paths: Sequence[Path], ids: Sequence[str]) -> dict[str, str]:
    """What an original may be called -> its id: as its row writes it, by its id, its file name, or that without suffix.

    A name that two videos have is none.
    """
    found: dict[str, str] = {}
    for names in ([path.stem for path in paths], [path.name for path in paths], ids, [row.name for row in rows]):
        count = Counter(names)
        found |= {name: video_id for name, video_id in zip(names, ids) if count[name] == 1}
    return found
