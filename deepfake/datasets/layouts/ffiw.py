"""FFIW-10K: videos of several people, one of them swapped.

    {source,target,target_mask}/{train,val,test}/*.mp4     copies may have videos/ in between

A file of `source` is real, the one of the same name in `target` its fake.
"""

from __future__ import annotations

from deepfake.datasets.collecting import Collector, items_in
from deepfake.datasets.label_words import parse_split
from deepfake.datasets.layout_registry import layout
from deepfake.datasets.records import Dataset
from deepfake.datasets.tree import Folder

SOURCE, TARGET, MASKS = "source", "target", "target_mask"


def _recognize(root: Folder) -> str | None:
    folders = [root.folder(name) for name in (SOURCE, TARGET)]
    if any(folder is None or not any(map(parse_split, folder.folders)) for folder in folders):
        return None
    return f"the folders {SOURCE} and {TARGET} with splits in them"


@layout("ffiw", f"{SOURCE}/ and {TARGET}/ with train/, val/, test/ in them (FFIW-10K)", _recognize)
def read(root: Folder) -> Dataset:
    """Read FFIW-10K."""
    found = Collector()
    for name, label in ((SOURCE, 0), (TARGET, 1)):
        folder = root.folder(name)
        for split, below in (folder.folders if folder is not None else {}).items():
            masks = root.folder(MASKS, split) if label == 1 else None
            mask_of = {item.name: item.path for item in items_in(masks.unwrapped())} if masks is not None else {}
            for item in items_in(below.unwrapped()):
                found.add(
                    f"{name}_{split}_{item.name}",
                    item.path,
                    label,
                    original=f"{SOURCE}_{split}_{item.name}" if label == 1 else None,
                    split=parse_split(split),
                    mask=mask_of.get(item.name),
                    content=item.content,
                )
    return found.dataset()
