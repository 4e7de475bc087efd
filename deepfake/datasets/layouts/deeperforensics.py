"""DeeperForensics-1.0: FaceForensics++'s videos with the faces of actors, in eleven variants.

    manipulated_videos/VARIANT/TARGET_ACTOR.mp4
    lists/splits/{train,val,test}.txt             a file name a line

The reals are FaceForensics++'s c23 videos of the same number: where original_sequences/youtube/c23/videos stands in the
same folder, they are read with it. The set's own source_videos are the actors, not the reals.
"""

from __future__ import annotations

from pathlib import PurePath

from deepfake.datasets.collecting import Collector, items_in
from deepfake.datasets.label_words import SPLITS
from deepfake.datasets.layout_registry import layout
from deepfake.datasets.layouts.ffpp import DEEPERFORENSICS as MANIPULATED
from deepfake.datasets.layouts.ffpp import ORIGINALS, YOUTUBE
from deepfake.datasets.records import Dataset, DatasetError
from deepfake.datasets.tree import Folder
from deepfake.storage.text_files import decode_text

_REALS = (ORIGINALS, YOUTUBE, "c23", "videos")


def _recognize(root: Folder) -> str | None:
    return f"the folder {MANIPULATED}" if root.folder(MANIPULATED) is not None else None


@layout("deeperforensics", f"{MANIPULATED}/ (DeeperForensics-1.0; {'/'.join(_REALS)} beside it)", _recognize)
def read(root: Folder) -> Dataset:
    """Read all variants, and the reals where they are there.

    Raises:
        DatasetError: no manipulated_videos.
    """
    manipulated = root.folder(MANIPULATED)
    if manipulated is None:
        raise DatasetError(f"{root.path}: no {MANIPULATED}/ in it")
    lists = _read_lists(root)
    split_of = {name: split for split, (_, names) in lists.items() for name in names}
    split_of_target = {name.split("_")[0]: split for name, split in split_of.items()}
    found = Collector()
    reals = root.folder(*_REALS)
    for item in items_in(reals) if reals is not None else ():
        split = split_of_target.get(item.name)
        found.add(f"{YOUTUBE}_{item.name}", item.path, 0, split=split, content=item.content)
    for variant, folder in manipulated.folders.items():
        items = items_in(folder.unwrapped())
        for item in items:
            original = f"{YOUTUBE}_{item.name.split('_')[0]}"
            split = split_of.get(item.name)
            found.add(f"{variant}_{item.name}", item.path, 1, original=original, method=variant, split=split,
                      content=item.content)  # fmt: skip
        for file, names in lists.values():
            found.missing |= {
                f"{MANIPULATED}/{variant}/{name}.mp4": file for name in sorted(names - {item.name for item in items})
            }
    if reals is None:
        found.notes.append(f"no {'/'.join(_REALS)}: the reals of this set are FaceForensics++'s")
    return found.dataset()


def _read_lists(root: Folder) -> dict[str, tuple[str, set[str]]]:
    """Split -> its file, and the names of its videos without suffix."""
    folder = root.folder("lists", "splits")
    found = {}
    for split in SPLITS:
        file = folder.file(f"{split}.txt") if folder is not None else None
        if file is not None:
            lines = decode_text(file.read_bytes(), errors="replace").splitlines()
            found[split] = (str(file), {PurePath(line.strip()).stem for line in lines if line.strip()})
    return found
