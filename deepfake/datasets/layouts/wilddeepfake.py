"""WildDeepfake: sequences of faces cut out of videos from the internet.

    {real,fake}_{train,test}/(VIDEO/...)/SEQUENCE/*.png

Sequences below one folder come from one video and are one group.
"""

from __future__ import annotations

from deepfake.datasets.collecting import Collector, items_below
from deepfake.datasets.label_words import TEST, TRAIN
from deepfake.datasets.layout_registry import layout
from deepfake.datasets.records import CROPS, FRAMES, Dataset
from deepfake.datasets.tree import Folder

_FOLDERS = {f"{word}_{split}": (label, split) for label, word in enumerate(("real", "fake")) for split in (TRAIN, TEST)}


def _has_sequences(folder: Folder) -> bool:
    """Whether the first folder without folders in it holds pictures, and there is no video on the way."""
    while folder.folders and not folder.videos:
        folder = next(iter(folder.folders.values()))
    return bool(folder.pictures)


def _recognize(root: Folder) -> str | None:
    there = [name for name in _FOLDERS if (folder := root.folder(name)) is not None and _has_sequences(folder)]
    return f"the folders {', '.join(there)} with pictures" if len(there) > 1 else None


@layout("wilddeepfake", "two of real_train/, real_test/, fake_train/, fake_test/ with pictures (WildDeepfake)",
        _recognize)  # fmt: skip
def read(root: Folder) -> Dataset:
    """Read WildDeepfake."""
    found = Collector()
    for name, (label, split) in _FOLDERS.items():
        folder = root.folder(name)
        for item in items_below(folder) if folder is not None else ():
            found.add(
                "_".join((name, *item.below, item.name)),
                item.path,
                label,
                group="_".join((name, *(item.below[:1] or (item.name,)))),
                split=split,
                content=CROPS if item.content == FRAMES else item.content,
            )
    return found.dataset()
