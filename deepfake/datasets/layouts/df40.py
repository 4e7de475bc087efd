"""DF40: forty methods on FaceForensics++'s and Celeb-DF's videos, as faces that are cut out already.

    METHOD/{ff,cdf}/(frames/)VIDEO/*.png      fakes of FaceForensics++'s or Celeb-DF's videos
    METHOD/{fake,real}/...                    some methods have reals of their own

The reals of the others are FaceForensics++ and Celeb-DF themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from deepfake.datasets.collecting import Collector, Item, items_below
from deepfake.datasets.layout_registry import MOST_FOLDERS, layout
from deepfake.datasets.records import CROPS, FRAMES, Dataset
from deepfake.datasets.tree import WRAPPERS, Folder
from deepfake.datasets.video_names import group_of, linked_groups

_SETS = ("ff", "cdf")
_LABELS = {"ff": 1, "cdf": 1, "fake": 1, "real": 0}


def _recognize(root: Folder) -> str | None:
    folders = islice(root.folders.items(), MOST_FOLDERS)
    there = [f"{name}/{below}" for name, folder in folders for below in folder.folders if below in _SETS]
    return f"the folders {', '.join(there[:3])}" if there else None


@layout("df40", "METHOD/ff/ or METHOD/cdf/ (DF40)", _recognize)
def read(root: Folder) -> Dataset:
    """Read all methods of DF40."""
    found = Collector()
    items = list(_items(root))
    groups = linked_groups(item.name for _, name, item in items if name == "ff")
    for method, name, item in items:
        below = [part for part in item.below if part.lower() not in WRAPPERS]
        is_of_set = name in _SETS
        group = group_of(item.name)
        found.add(
            "_".join((method, name, *below, item.name)),
            item.path,
            _LABELS[name],
            group=f"{name}_{groups.get(group, group)}" if is_of_set else "_".join((method, *below, item.name)),
            method=method if _LABELS[name] == 1 else None,
            content=CROPS if item.content == FRAMES else item.content,
            source=name if is_of_set else method,
        )
    if not any(video.label == 0 for video in found.videos):
        found.notes.append("no reals: those of DF40 are FaceForensics++'s and Celeb-DF's")
    return found.dataset()


def _items(root: Folder) -> Iterator[tuple[str, str, Item]]:
    """Method, set or label, and video."""
    for method, folder in root.folders.items():
        for name, below in folder.folders.items():
            if name.lower() in _LABELS:
                yield from ((method, name.lower(), item) for item in items_below(below))
