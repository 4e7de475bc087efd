"""Folders called real and fake, in the many words that people have for them, at any place in a tree.

A picture directly in such a folder is one to judge by itself; a folder of pictures below it is one video. Folders
called train, val and test above or below give the split. A folder between gives the method, if there are several.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import PurePath

from deepfake.datasets.collecting import Collector, Item, ids_of_paths, items_below
from deepfake.datasets.label_words import parse_split
from deepfake.datasets.layout_registry import GENERAL, layout
from deepfake.datasets.records import Dataset, DatasetError
from deepfake.datasets.tree import Folder

REAL_WORDS = frozenset(["real", "reals", "original", "originals", "authentic", "genuine", "pristine"])
FAKE_WORDS = frozenset(
    ["fake", "fakes", "manipulated", "deepfake", "deepfakes", "synthetic", "synthesized", "forged", "generated"]
)
_WORDS = {**dict.fromkeys(REAL_WORDS, 0), **dict.fromkeys(FAKE_WORDS, 1)}
_MEANINGLESS = frozenset(["video", "videos", "image", "images", "face", "faces", "frames", "0", "1"])

_DEEPEST = 4
"""Levels below the root at which labels are looked for."""
_MOST_LOOKED_AT = 2000
"""Folders that are listed to recognize a tree."""


@dataclass(frozen=True)
class LabelFolder:
    """A folder whose name is a label.

    Attributes:
        place: the folders above it from the root on, without those that name a split.
        split: named by it or by a folder above.
    """

    folder: Folder
    label: int
    place: tuple[str, ...]
    split: str | None


@cache
def label_of(name: str) -> tuple[int | None, str | None]:
    """Return what a folder's name says: label and split. `1_fake` gives (1, None), `real_train` (0, "train")."""
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word and word not in _MEANINGLESS]
    labels = [_WORDS[word] for word in words if word in _WORDS]
    splits = [split for word in words if (split := parse_split(word)) is not None]
    if len(labels) + len(splits) < len(words) or len(labels) > 1 or len(splits) > 1:
        return None, None
    return next(iter(labels), None), next(iter(splits), None)


def find_labels(folder: Folder, place: tuple[str, ...] = (), split: str | None = None) -> Iterator[LabelFolder]:
    """Find the folders whose names are labels; what is below one is its own."""
    for name, below in folder.folders.items():
        label, named_split = label_of(name)
        if label is not None:
            yield LabelFolder(below, label, place, named_split or split)
        elif len(below.parts) < _DEEPEST:
            is_place = named_split is None and name.lower() not in _MEANINGLESS
            yield from find_labels(below, (*place, name) if is_place else place, named_split or split)


def _recognize(root: Folder) -> str | None:
    found: dict[int, str] = {}
    # Level by level, so that a tree of many folders is not searched to its end.
    for folder in islice(_by_level(root), _MOST_LOOKED_AT):
        for name in folder.folders:
            label, _ = label_of(name)
            if label is not None:
                found.setdefault(label, "/".join((*folder.parts[len(root.parts) :], name)))
        if len(found) == 2:
            return f"the folders {found[0]} and {found[1]}"
    return None


def _by_level(root: Folder) -> Iterator[Folder]:
    level = [root]
    while level:
        yield from level
        level = [
            folder
            for above in level
            if len(above.parts) - len(root.parts) < _DEEPEST - 1
            for name, folder in above.folders.items()
            if label_of(name)[0] is None
        ]


@layout("folders", "folders called real and fake (also 0_real, 1_fake, original, manipulated and the like), nested too",
        _recognize, rank=GENERAL)  # fmt: skip
def read(root: Folder) -> Dataset:
    """Read all videos and pictures below folders whose names are labels.

    Videos of the same name, a real and fakes, are one group: most such sets name a fake like its original.

    Raises:
        DatasetError: no such folder.
    """
    labels = list(find_labels(root))
    if not labels:
        raise DatasetError(f"{root.path}: no folders called real and fake in it or below it")
    found = [(label, item) for label in labels for item in items_below(label.folder)]
    ids = ids_of_paths([PurePath(item.path.relative_to(root.path)) for _, item in found])
    shared = _shared({label.place for label in labels})
    collector = Collector()
    for (label, item), video_id in zip(found, ids):
        above = label.place[shared:]
        below, split = _without_splits(item)
        methods = (*above, *below)
        collector.add(
            video_id,
            item.path,
            label.label,
            group="/".join((*above, item.name)),
            method=methods[0] if label.label == 1 and methods else None,
            split=label.split or split,
            content=item.content,
            source=above[0] if above else None,
        )
    return collector.dataset()


def _without_splits(item: Item) -> tuple[list[str], str | None]:
    """The folders between label and item that name no split and no label, and the split that one names."""
    said = {name: label_of(name) for name in item.below}
    split = next((split for _, split in said.values() if split is not None), None)
    return [name for name, says in said.items() if says == (None, None) and name.lower() not in _MEANINGLESS], split


def _shared(places: set[tuple[str, ...]]) -> int:
    """How many folders all places begin with."""
    first, last = min(places), max(places)
    return next((n for n, (one, other) in enumerate(zip(first, last)) if one != other), min(len(first), len(last)))
