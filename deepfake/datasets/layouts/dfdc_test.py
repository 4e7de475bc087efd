"""DFDC's test set: labels.csv (`filename,label`) beside the videos, or with the videos in `videos/`.

Kaggle's `test_videos` are others, without labels: they are never looked for here.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from deepfake.datasets.collecting import Collector
from deepfake.datasets.label_tables import begins_as_label_table, read_label_table
from deepfake.datasets.label_words import TEST
from deepfake.datasets.layout_registry import layout
from deepfake.datasets.records import Dataset, DatasetError
from deepfake.datasets.tree import Folder

LABELS_NAME = "labels.csv"

_NAME = re.compile(r"[a-z]{10}\.mp4")
_FIRST_BYTES = 1000


def has_labels(folder: Folder) -> bool:
    """Return whether a folder has a labels.csv that names a video as DFDC does: ten letters."""
    file = folder.file(LABELS_NAME)
    if file is None or not begins_as_label_table(file):
        return False
    with file.open("rb") as lines:
        return _NAME.search(lines.read(_FIRST_BYTES).decode(errors="replace").replace("\0", "")) is not None


def _labeled(root: Folder) -> Folder | None:
    """The folder that holds labels.csv: the root, or `test` in it."""
    places = [root, *([test] if (test := root.folder(TEST)) is not None and root.folder("train") is None else [])]
    return next((place for place in places if has_labels(place)), None)


def _recognize(root: Folder) -> str | None:
    folder = _labeled(root)
    return None if folder is None else f"{'/'.join((*folder.parts[len(root.parts) :], LABELS_NAME))} with DFDC's names"


@layout("dfdc-test", f"{LABELS_NAME} (filename,label) with DFDC's names of ten letters beside the videos or videos/",
        _recognize)  # fmt: skip
def read(root: Folder) -> Dataset:
    """Read the videos of the test set.

    Raises:
        DatasetError: no labels.csv.
        TableError: one that cannot be used; see `read_label_table`.
    """
    folder = _labeled(root)
    if folder is None:
        raise DatasetError(
            f"{root.path}: no {LABELS_NAME} with DFDC's names in it or in {TEST}/. Kaggle's test_videos come without "
            f"labels; those of the {LABELS_NAME} of the full data set are other videos"
        )
    return read_test(folder)


def read_test(folder: Folder) -> Dataset:
    """Read the videos that the labels.csv in a folder names. Raises TableError: see `read_label_table`."""
    table = folder.file(LABELS_NAME)
    assert table is not None
    there = {name: place.path / name for place in (folder.unwrapped(), folder) for name in place.files}
    rows = read_label_table(table)
    found = Collector()
    for row in rows:
        name = PurePath(row.name).name
        if name in there:
            found.add(PurePath(name).stem, there[name], row.label, split=TEST)
        else:
            found.missing[row.name] = str(table)
    if 2 * len(found.missing) > len(rows):
        found.notes.append(
            f"{len(found.missing)} of the {len(rows)} videos that {LABELS_NAME} names are not there: Kaggle's "
            "test_videos are other videos, with other labels"
        )
    return found.dataset()
