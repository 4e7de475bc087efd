"""The names in a folder and below it: each folder is listed once, when it is asked for, and no file is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from deepfake.datasets.data_root import OUTPUT_FOLDERS
from deepfake.media.files import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from deepfake.storage.own_folders import MADE_HERE, is_data_root

WRAPPERS = ("videos", "images", "frames")
"""Folders that some data sets, and copies of others, put between a folder and its videos or frames."""


@dataclass(frozen=True)
class Folder:
    """A folder. Hidden names are left out, and so is what this project has made.

    Attributes:
        path: where it is.
        parts: the names of the folders from the root to it, itself included.
        only: the one file in it that counts, where a data set is given by one file.
        closed: the folders from the root on that may not be opened; they count as empty.
    """

    path: Path
    parts: tuple[str, ...] = ()
    only: str | None = None
    closed: list[Path] = field(default_factory=list, repr=False, compare=False)
    _above: frozenset[str] = field(default=frozenset(), repr=False)

    @cached_property
    def _listing(self) -> tuple[dict[str, Folder], list[str]]:
        if self.only is not None:
            return {}, [self.only]
        folders: dict[str, Folder] = {}
        files: list[str] = []
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if not entry.is_dir():
                        files.append(entry.name)
                    elif (below := self._below(entry)) is not None:
                        folders[entry.name] = below
        except PermissionError:
            self.closed.append(self.path)
        if not MADE_HERE.isdisjoint(files):
            return {}, []
        if is_data_root(folders):
            folders = {name: folder for name, folder in folders.items() if name not in OUTPUT_FOLDERS}
        return {name: folders[name] for name in sorted(folders)}, sorted(files)

    def _below(self, entry: os.DirEntry[str]) -> Folder | None:
        """A folder in it; None for a link to a folder above, which would never end."""
        path, above = Path(entry.path), self._above
        if entry.is_symlink():
            real = str(path.resolve())
            if real in above or self.path.resolve().is_relative_to(real):
                return None
            above = above | {real}
        return Folder(path, (*self.parts, entry.name), closed=self.closed, _above=above)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def folders(self) -> dict[str, Folder]:
        """The folders in it by name, in alphabetical order."""
        return self._listing[0]

    @property
    def files(self) -> list[str]:
        """The names of the files in it, in alphabetical order."""
        return self._listing[1]

    @property
    def videos(self) -> list[str]:
        """The names of the files in it that are videos by their suffix."""
        return [name for name in self.files if has_suffix(name, VIDEO_SUFFIXES)]

    @property
    def pictures(self) -> list[str]:
        """The names of the files in it that are pictures by their suffix."""
        return [name for name in self.files if has_suffix(name, PICTURE_SUFFIXES)]

    def folder(self, *names: str) -> Folder | None:
        """Return the folder at a path below, its names in any case; None if it is not there."""
        here: Folder | None = self
        for name in names:
            if here is None:
                return None
            here = here.folders.get(name) or next(
                (folder for known, folder in here.folders.items() if known.casefold() == name.casefold()), None
            )
        return here

    def file(self, name: str) -> Path | None:
        """Return the file of that name, in any case; None if it is not there."""
        found = next((known for known in self.files if known.casefold() == name.casefold()), None)
        return None if found is None else self.path / found

    def unwrapped(self) -> Folder:
        """Return the folder that holds the videos or frames: itself, or the first of WRAPPERS in it that has any."""
        wrappers = (folder for name in WRAPPERS if (folder := self.folder(name)) is not None)
        return next((folder for folder in wrappers if folder.files or folder.folders), self)

    def walk(self, depth: int | None = None) -> Iterator[Folder]:
        """Iterate over itself and the folders below it, in alphabetical order, down to some levels below it."""
        yield self
        if depth != 0:
            for folder in self.folders.values():
                yield from folder.walk(None if depth is None else depth - 1)


def has_suffix(name: str, suffixes: tuple[str, ...]) -> bool:
    """Return whether a file name ends in one of the suffixes, in any case."""
    return name.lower().endswith(suffixes)


def stem(name: str) -> str:
    """Return a file's name without the suffix of a video or picture; other dots belong to the name."""
    return name.rpartition(".")[0] if has_suffix(name, (*VIDEO_SUFFIXES, *PICTURE_SUFFIXES)) else name


class Listings:
    """What is at paths that a list names: each folder is listed once, in place of a question for each file."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, bool]] = {}

    def kind(self, path: Path) -> str | None:
        """Return "file" or "folder"; None if nothing is there."""
        folder = path.parent
        if folder not in self._folders:
            self._folders[folder] = _kinds(folder)
        is_folder = self._folders[folder].get(path.name)
        return None if is_folder is None else "folder" if is_folder else "file"


def _kinds(folder: Path) -> dict[str, bool]:
    """Name -> whether it is a folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.is_dir() for entry in entries}
    except (OSError, ValueError):  # not there, or no name that a disk takes
        return {}
