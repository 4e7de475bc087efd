"""The layouts of data sets by the names that `--layout` knows: one module of `layouts` each, or several alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deepfake.datasets.records import Dataset
from deepfake.datasets.tree import Folder
from deepfake.storage.registry import Registry

Recognize = Callable[[Folder], "str | None"]
"""The root -> what a layout was recognized by, None if it was not. Looks at some names and never opens a video."""
Read = Callable[[Folder], Dataset]
"""The root -> its videos. Raises DatasetError."""

FIRST, USUAL, GENERAL = range(3)
"""Ranks of layouts."""
MOST_FOLDERS = 500
"""In a folder: so many are listed to recognize a layout by what is in them."""


@dataclass(frozen=True)
class Layout:
    """How the videos of one data set lie on the disk.

    Attributes:
        name: what `--layout` calls it.
        looks_for: what it is recognized by, for messages.
        recognize: says whether a folder has it.
        read: reads a folder that has it.
        rank: layouts of a lower one are asked first: DFDC's metadata.json says what it is, and what a GENERAL one looks
            for may be in any data set.
    """

    name: str
    looks_for: str
    recognize: Recognize
    read: Read
    rank: int = USUAL


LAYOUTS: Registry[Layout] = Registry("layout", "deepfake.datasets.layouts")


def layout(name: str, looks_for: str, recognize: Recognize, rank: int = USUAL) -> Callable[[Read], Read]:
    """Return a decorator that registers the function that reads a layout; see `Layout`."""

    def add(read: Read) -> Read:
        LAYOUTS.register(name)(Layout(name, looks_for, recognize, read, rank))
        return read

    return add
