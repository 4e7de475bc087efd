"""A data set's root -> its videos: its layout recognized, or chosen by name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import islice
from pathlib import Path

from deepfake.datasets.layout_registry import LAYOUTS, Layout
from deepfake.datasets.records import CROPS, FRAMES, Dataset, DatasetError
from deepfake.datasets.tree import Folder

AUTO = "auto"

_MOST_HINTS = 50
"""Folders below a tree of no known layout that are tried."""


def read_dataset(
    root: Path,
    layout: str = AUTO,
    methods: Collection[str] | None = None,
    compressions: Collection[str] | None = None,
    splits: Collection[str] | None = None,
    pictures: str = FRAMES,
) -> Dataset:
    """Read a data set. `methods`, `compressions` and `splits` choose videos of it, as `Dataset.select` does.

    Args:
        root: the data set's folder, or the one file that lists its videos.
        layout: a name of LAYOUTS, or `auto`.
        pictures: what pictures are where the layout does not know: FRAMES, whole frames, or CROPS, faces cut out.

    Raises:
        DatasetError: no such folder, a layout that is not recognized or not clear, a data set that it cannot be, none
            of its videos left, or an unknown method, compression or split.
        UnknownName: an unknown layout.
    """
    root = Path(root)
    if not root.exists():
        raise DatasetError(f"{root}: no such folder; expected a data set")
    folder = _folder(root)
    chosen, because = recognize(folder) if layout == AUTO else (LAYOUTS[layout], "")
    dataset = chosen.read(folder)
    if pictures == CROPS:
        videos = {v.video_id: replace(v, content=CROPS) if v.content == FRAMES else v for v in dataset.videos.values()}
        dataset = replace(dataset, videos=videos)
    notes = tuple(dataset.notes)
    if folder.closed:
        notes += (f"{len(folder.closed)} folders may not be opened, {folder.closed[0]} is one",)
    if not dataset.videos and not dataset.rejected:
        missing = f", {len(dataset.missing)} that its lists name are missing" if dataset.missing else ""
        remarks = f" ({'; '.join(notes)})" if notes else ""
        raise DatasetError(f"{root}: no video in it as layout {chosen.name} has them{missing}{remarks}")
    selected = replace(dataset, notes=notes, layout=chosen.name, because=because).select(methods, compressions, splits)
    if dataset.videos and not selected.videos:
        raise DatasetError(f"{root}: no video is left of the chosen methods, compressions and splits together")
    return selected


def is_dataset(root: Path) -> bool:
    """Return whether a folder, or the file that lists its videos, has one of the layouts and no other."""
    try:
        recognize(_folder(root))
    except DatasetError:
        return False
    return True


def recognize(root: Folder) -> tuple[Layout, str]:
    """Return the layout of a folder, and what it was recognized by.

    Raises:
        DatasetError: none, or several; the message lists them and what each looks for.
    """
    for rank in sorted({layout.rank for layout in LAYOUTS.values()}):
        layouts = [layout for layout in LAYOUTS.values() if layout.rank == rank]
        found = [(layout, because) for layout in layouts if (because := layout.recognize(root)) is not None]
        if len(found) == 1:
            return found[0]
        if found:
            raise DatasetError(
                f"{root.path}: may be any of {'; '.join(f'{layout.name} ({because})' for layout, because in found)}. "
                "Choose one by its name (--layout)"
            )
    raise DatasetError(
        f"{root.path}: no metadata.json in it or below it, nor anything else that a data set is known "
        f"by{_hint(root)}. The layouts (--layout) and what each looks for: {describe_layouts()}"
    )


def describe_layouts() -> str:
    """Return all layouts and what each looks for, in one line."""
    return "; ".join(f"{layout.name}: {layout.looks_for}" for layout in LAYOUTS.values())


def _folder(root: Path) -> Folder:
    return Folder(root) if root.is_dir() else Folder(root.parent, only=root.name)


def _hint(root: Folder) -> str:
    """Where a folder directly below it is a data set, its name."""
    for folder in islice(root.folders.values(), _MOST_HINTS):
        if any(layout.recognize(folder) for layout in LAYOUTS.values()):
            return f" (but {folder.path} is one)"
    return ""
