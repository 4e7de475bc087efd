"""UADFV: 49 reals and 49 fakes, `real/0000.mp4` and `fake/0000_fake.mp4`."""

from __future__ import annotations

import re

from deepfake.datasets.collecting import Collector, Item, items_in
from deepfake.datasets.layout_registry import layout
from deepfake.datasets.records import Dataset
from deepfake.datasets.tree import Folder

_FAKE = re.compile(r"(\d{4})_fake")
_NAMES = {"real": re.compile(r"\d{4}"), "fake": _FAKE}


def _items(root: Folder, name: str) -> list[Item]:
    folder = root.folder(name)
    return [] if folder is None else items_in(folder.unwrapped())


def _recognize(root: Folder) -> str | None:
    for name, pattern in _NAMES.items():
        items = _items(root, name)
        if not items or not all(pattern.fullmatch(item.name) for item in items):
            return None
    return "real/0000 and fake/0000_fake"


@layout("uadfv", "real/0000.mp4 and fake/0000_fake.mp4 (UADFV)", _recognize)
def read(root: Folder) -> Dataset:
    """Read UADFV."""
    found = Collector()
    for label, name in enumerate(_NAMES):
        for item in _items(root, name):
            match = _FAKE.fullmatch(item.name) if label == 1 else None
            original = f"real_{match[1]}" if match else None
            found.add(f"{name}_{item.name}", item.path, label, original=original, content=item.content)
    return found.dataset()
