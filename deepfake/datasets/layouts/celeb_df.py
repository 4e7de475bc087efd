"""Celeb-DF v1 and v2, and Celeb-DF++ with its many methods.

    {Celeb-real,YouTube-real,Celeb-synthesis}/*.mp4      copies may have videos/ in between, and Youtube-real
    Celeb-synthesis/{FaceSwap,FaceReenact,TalkingFace}/METHOD/*.mp4      Celeb-DF++
    List_of_testing_videos.txt                           `1 YouTube-real/00170.mp4`, where 1 is real

The fake `id0_id1_0000` is the face of id1 on `Celeb-real/id0_0000`; all videos of id0 are one group. What the list does
not name is for training. Labels come from the folders, never from the list, whose numbers are the other way round.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath

from deepfake.datasets.collecting import Collector, Item, items_below
from deepfake.datasets.label_words import TEST, TRAIN
from deepfake.datasets.layout_registry import layout
from deepfake.datasets.records import VIDEO, Dataset, DatasetError
from deepfake.datasets.tree import WRAPPERS, Folder
from deepfake.datasets.video_names import group_of, original_of
from deepfake.storage.text_files import decode_text

CELEB_REAL, YOUTUBE_REAL, SYNTHESIS = "Celeb-real", "YouTube-real", "Celeb-synthesis"
LIST_NAME = "List_of_testing_videos.txt"


def _recognize(root: Folder) -> str | None:
    there = [name for name in (CELEB_REAL, YOUTUBE_REAL, SYNTHESIS) if root.folder(name) is not None]
    return f"the folders {', '.join(there)}" if len(there) > 1 else None


@layout("celeb-df", f"two of {CELEB_REAL}/, {YOUTUBE_REAL}/, {SYNTHESIS}/ (Celeb-DF v1, v2 and ++)", _recognize)
def read(root: Folder) -> Dataset:
    """Read Celeb-DF.

    Raises:
        DatasetError: a list of test videos that is none.
    """
    list_file = root.file(LIST_NAME)
    listed = {} if list_file is None else dict(_listed(list_file))
    found = Collector()
    for name, label in ((CELEB_REAL, 0), (YOUTUBE_REAL, 0), (SYNTHESIS, 1)):
        folder = root.folder(name)
        for item in _items(folder) if folder is not None else ():
            below = [part for part in item.below if part.casefold() not in WRAPPERS]
            split = None if list_file is None else TRAIN
            if listed.pop(_key(name, *below, item.name), None) is not None:
                split = TEST
            _add(found, name, label, item, below, split)
    found.missing = dict.fromkeys(listed.values(), str(list_file))
    if list_file is None:
        found.notes.append(f"no {LIST_NAME}: no video has an official split")
    return found.dataset()


def _add(found: Collector, name: str, label: int, item: Item, below: list[str], split: str | None) -> None:
    method = (below[-1] if below else SYNTHESIS) if label == 1 else None
    original = original_of(item.name) if label == 1 else None
    found.add(
        f"{method or name}_{item.name}",
        item.path,
        label,
        original=f"{CELEB_REAL}_{original}" if original else None,
        group=group_of(item.name) if name != YOUTUBE_REAL else "",
        method=method,
        split=split,
        content=item.content,
    )


def _items(folder: Folder) -> list[Item]:
    """The videos below a folder; folders of frames only where there are no videos."""
    items = list(items_below(folder))
    return [item for item in items if item.content == VIDEO] or items


def _listed(file: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """What names a test video -> the name as the list writes it."""
    for number, line in enumerate(decode_text(file.read_bytes(), errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        digit, _, name = line.strip().partition(" ")
        path = PurePath(name.strip().replace("\\", "/"))
        if digit not in ("0", "1") or len(path.parts) < 2:
            raise DatasetError(f"{file}: line {number}: {line.strip()!r:.100}; expected `1 {YOUTUBE_REAL}/00170.mp4`")
        yield _key(*path.parts[:-1], path.stem), path.as_posix()


def _key(*parts: str) -> tuple[str, ...]:
    return tuple(part.casefold() for part in parts if part.casefold() not in WRAPPERS)
