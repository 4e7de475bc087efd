"""FakeAVCeleb: real and fake pictures with real and fake sound. The label here is the picture's.

    {RealVideo,FakeVideo}-{RealAudio,FakeAudio}/ETHNICITY/GENDER/PERSON/*.mp4
    meta_data.csv: source,target1,target2,method,category,type,race,gender,path,FOLDER

A fake's name begins with that of the real video of the same person; all videos of a person are one group.
"""

from __future__ import annotations

import csv
import io
from pathlib import PurePath

from deepfake.datasets.collecting import Collector, Item, ids_of_paths, items_below
from deepfake.datasets.layout_registry import layout
from deepfake.datasets.records import Dataset
from deepfake.datasets.tree import Folder
from deepfake.storage.text_files import decode_text

TABLE_NAME = "meta_data.csv"
REAL_TYPE = "RealVideo-RealAudio"
_TYPES = {
    **dict.fromkeys([REAL_TYPE, "RealVideo-FakeAudio"], 0),
    **dict.fromkeys(["FakeVideo-RealAudio", "FakeVideo-FakeAudio"], 1),
}


def _recognize(root: Folder) -> str | None:
    there = [name for name in _TYPES if root.folder(name) is not None]
    return f"the folders {', '.join(there)}" if there else None


@layout("fakeavceleb", "RealVideo-RealAudio/, FakeVideo-FakeAudio/ and the like (FakeAVCeleb)", _recognize)
def read(root: Folder) -> Dataset:
    """Read FakeAVCeleb."""
    items = [
        (name, item) for name in _TYPES if (folder := root.folder(name)) is not None for item in items_below(folder)
    ]
    paths = [PurePath(name, *item.below, item.path.name) for name, item in items]
    listed = _read_methods(root)
    originals = {path: video_id for path, video_id in zip(paths, ids_of_paths(paths)) if path.parts[0] == REAL_TYPE}
    found = Collector()
    seen = set()
    for (name, item), path, video_id in zip(items, paths, ids_of_paths(paths)):
        original = PurePath(REAL_TYPE, *item.below, f"{item.name.split('_')[0]}{item.path.suffix}")
        key = (name, _person(item), path.name)
        method = listed.get(key)
        seen.add(key)
        found.add(
            video_id,
            item.path,
            _TYPES[name],
            original=originals.get(original) if _TYPES[name] == 1 else None,
            group=_person(item),
            method=method if _TYPES[name] == 1 else None,
            content=item.content,
        )
    if not listed:
        found.notes.append(f"no {TABLE_NAME}: the methods of the fakes are not known")
    found.missing = {"/".join(key): str(root.path / TABLE_NAME) for key in listed if key not in seen}
    return found.dataset()


def _person(item: Item) -> str:
    return item.below[-1] if item.below else item.name


def _read_methods(root: Folder) -> dict[tuple[str, str, str], str]:
    """Type, person and file name -> method, by the table."""
    file = root.file(TABLE_NAME)
    if file is None:
        return {}
    rows = csv.DictReader(io.StringIO(decode_text(file.read_bytes(), errors="replace"), newline=""))
    return {
        (row.get("type") or "", row.get("source") or "", PurePath(row.get("path") or "").name): row["method"]
        for row in rows
        if row.get("method")
    }
