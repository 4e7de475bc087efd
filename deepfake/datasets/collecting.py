"""What layouts find, as records: ids made of paths, unusable names set aside."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from deepfake.datasets.records import FRAMES, LONGEST_ID, VIDEO, Dataset, VideoRecord, build, id_fault
from deepfake.datasets.tree import Folder, stem
from deepfake.storage.names import fit

_DIGEST = 8
"""Hexadecimal digits of the checksum that tells two paths apart which would have one id."""


@dataclass(frozen=True)
class Item:
    """A video, a picture, or a folder of pictures.

    Attributes:
        name: the file's without its suffix, or the folder's.
        path: where it is.
        content: VIDEO or FRAMES.
        below: the names of the folders between the folder that was searched and it.
    """

    name: str
    path: Path
    content: str = VIDEO
    below: tuple[str, ...] = ()


def items_in(folder: Folder) -> list[Item]:
    """Return the videos of a folder; if it has none, its folders of pictures."""
    if videos := folder.videos:
        return [Item(stem(name), folder.path / name) for name in videos]
    return [Item(name, below.path, FRAMES) for name, below in folder.folders.items() if below.pictures]


def items_below(folder: Folder) -> Iterator[Item]:
    """Find the videos in a folder and below it, pictures directly in it, and folders of pictures below it."""
    for here in folder.walk():
        below = here.parts[len(folder.parts) :]
        yield from (Item(stem(name), here.path / name, VIDEO, below) for name in here.videos)
        if here is folder:
            yield from (Item(stem(name), here.path / name, FRAMES) for name in here.pictures)
        elif here.pictures and not here.videos:
            yield Item(here.name, here.path, FRAMES, below[:-1])


@dataclass
class Collector:
    """The records of one data set, as a layout finds them."""

    videos: list[VideoRecord] = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _paths: dict[str, Path] = field(default_factory=dict)

    def add(self, video_id: str, path: Path, label: int, **fields: Any) -> None:
        """Add a video, by the fields of VideoRecord. Names that no output can have, and ids twice, are set aside."""
        fault = id_fault(video_id, video_id)
        if fault is None and video_id in self._paths:
            fault = f"its id {video_id!r} is also that of {self._paths[video_id]}"
        if fault is not None:
            self.rejected[str(path)] = fault
            return
        self._paths[video_id] = path
        self.videos.append(VideoRecord(video_id, path, label, **fields))

    def dataset(self) -> Dataset:
        """Return what was collected; see `build`."""
        return build(self.videos, self.rejected, self.missing, self.notes)


def ids_of_paths(paths: Sequence[PurePath]) -> list[str]:
    """Return an id for each path, made of its names: `real/a.mp4` is `real_a`.

    Paths that would have the same one get a checksum of the path, and so do ids too long for a file system.
    """
    joined = ["_".join((*path.parts[:-1], stem(path.name))) for path in paths]
    count = Counter(joined)
    return [
        fit(name, suffix=_checksum(path) if count[name] > 1 else "", most=LONGEST_ID)
        for name, path in zip(joined, paths)
    ]


def _checksum(path: PurePath) -> str:
    return f"~{hashlib.sha256(os.fsencode(path)).hexdigest()[:_DIGEST]}"
