"""The preview of DFDC: dataset.json, originals and two methods, each with a folder an actor.

    original_videos/ACTOR/*.mp4  method_A/ACTOR/ACTOR_A/*.mp4  method_B/ACTOR/ACTOR_C/*.mp4
    dataset.json: {path: {label: real or fake, set: train or test, ...}}

Copies may have videos/ at any place in between. All videos of an actor are one group; a fake's original is not named.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from deepfake.datasets.collecting import Collector, ids_of_paths, items_below
from deepfake.datasets.label_words import parse_label, parse_split
from deepfake.datasets.layout_registry import layout
from deepfake.datasets.records import FRAMES, VIDEO, Dataset, DatasetError, shorten
from deepfake.datasets.tree import WRAPPERS, Folder, stem
from deepfake.storage.json_files import read_mapping

LIST_NAME = "dataset.json"
ORIGINALS, METHODS = "original_videos", ("method_A", "method_B")


def _recognize(root: Folder) -> str | None:
    there = [name for name in (ORIGINALS, *METHODS) if root.folder(name) is not None]
    return f"{LIST_NAME} and {', '.join(there)}" if there and root.file(LIST_NAME) is not None else None


@layout("dfdc-preview", f"{LIST_NAME} with {ORIGINALS}/, method_A/, method_B/ (the preview of DFDC)", _recognize)
def read(root: Folder) -> Dataset:
    """Read the videos that dataset.json names.

    Raises:
        DatasetError: no dataset.json, or one that is none.
    """
    entries = _entries(root)
    paths = [PurePosixPath(name.replace("\\", "/")) for name in entries]
    places = _Places(root)
    found = Collector()
    for path, (name, entry), video_id in zip(paths, entries.items(), ids_of_paths(paths)):
        place = places.find(path)
        if place is None:
            found.missing[name] = str(root.path / LIST_NAME)
            continue
        label = parse_label(entry.get("label"))
        if label is None:
            raise DatasetError(f"{root.path / LIST_NAME}: {name!r:.100} has label {entry.get('label')!r:.100}")
        found.add(
            video_id,
            place,
            label,
            group=path.parts[1] if len(path.parts) > 2 else "",
            method=path.parts[0] if label == 1 else None,
            split=parse_split(entry.get("set")),
            content=FRAMES if place.is_dir() else VIDEO,
        )
    if places.by_path:
        found.notes.append(f"{len(places.by_path)} videos that {LIST_NAME} does not name are left out")
    return found.dataset()


def _entries(root: Folder) -> dict[str, Mapping[str, Any]]:
    file = root.path / LIST_NAME
    content = read_mapping(file, "list of videos", DatasetError)
    if not all(isinstance(entry, dict) for entry in content.values()):
        raise DatasetError(f'{file}: expected {{"method_A/...mp4": {{"label": ..., "set": ...}}}}; {shorten(content)}')
    return content


class _Places:
    """Where the videos are that dataset.json has not named yet."""

    def __init__(self, root: Folder) -> None:
        self.by_path: dict[tuple[str, ...], Path] = {}
        self._by_name: dict[tuple[str, str], list[tuple[str, ...]]] = {}
        for name, folder in root.folders.items():
            for item in items_below(folder):
                key = _key(PurePath(name, *item.below, item.path.name))
                self.by_path[key] = item.path
                self._by_name.setdefault((key[0], key[-1]), []).append(key)

    def find(self, path: PurePath) -> Path | None:
        """Return where a video is; also in copies that have all videos of a method in one folder."""
        key = _key(path)
        if key not in self.by_path:
            keys = self._by_name.get((key[0], key[-1]), [])
            if len(keys) != 1 or len(keys[0]) >= len(key):
                return None
            key = keys[0]
        return self.by_path.pop(key, None)


def _key(path: PurePath) -> tuple[str, ...]:
    """The names of a path without videos/ and the like, and without suffix."""
    return (*(part for part in path.parts[:-1] if part not in WRAPPERS), stem(path.name))
