"""FaceForensics++ with DFD (DeepFakeDetection): the official tree, and Kaggle's copy of it.

The official tree:

    original_sequences/{youtube,actors}/{raw,c23,c40}/videos/*.mp4
    manipulated_sequences/METHOD/{raw,c23,c40}/videos/TARGET_SOURCE.mp4
    manipulated_sequences/METHOD/masks/videos/TARGET_SOURCE.mp4
    splits/{train,val,test}.json, also directly in it: [[A, B], ...], pairs that stay together

A fake's original is the video TARGET. DFD's are ACTOR__SCENE, its fakes TARGET_SOURCE__SCENE__CODE; they have no
official split and are grouped by the target actor. Frames (`images/VIDEO/*.png`, as the official script
extracts them, or `frames/VIDEO/*.png`) are read where there are no videos.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from deepfake.datasets.collecting import Collector, Item, items_in
from deepfake.datasets.label_words import SPLITS
from deepfake.datasets.layout_registry import layout
from deepfake.datasets.records import Dataset, DatasetError, shorten
from deepfake.datasets.tree import Folder, stem
from deepfake.datasets.video_names import group_of, linked_groups, original_of
from deepfake.storage.json_files import read_json
from deepfake.storage.text_files import decode_text

ORIGINALS, MANIPULATED = "original_sequences", "manipulated_sequences"
DEEPERFORENSICS = "manipulated_videos"
"""DeeperForensics' fakes; FaceForensics++'s reals may stand beside them."""
YOUTUBE, ACTORS = "youtube", "actors"
DFD = "DeepFakeDetection"
METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter", DFD)

COMPRESSIONS = {"raw": "raw", "c0": "raw", "c23": "c23", "c40": "c40"}
"""Names of folders, older ones too, and what they are called here."""

_KAGGLE_ORIGINALS, _KAGGLE_COMPRESSION = "original", "c23"


@dataclass(frozen=True)
class Sequence:
    """The videos of one folder: those of a collection of reals or of a method, in one compression."""

    name: str
    label: int
    compression: str
    items: list[Item]
    masks: dict[str, Path]
    folder: Folder


@dataclass(frozen=True)
class Splits:
    """The official splits.

    Attributes:
        of_pair: pair -> its split.
        files: the split's file, for messages.
    """

    of_pair: dict[tuple[str, str], str]
    files: dict[str, Path]

    def of_name(self) -> dict[str, str]:
        """Return the split of each real's and each fake's name."""
        found: dict[str, str] = {}
        for (one, other), split in self.of_pair.items():
            found |= dict.fromkeys([one, other, f"{one}_{other}", f"{other}_{one}"], split)
        return found


def _recognize(root: Folder) -> str | None:
    if root.folder(DEEPERFORENSICS) is not None and root.folder(MANIPULATED) is None:
        return None
    there = [name for name in (ORIGINALS, MANIPULATED) if root.folder(name) is not None]
    return f"the folders {' and '.join(there)}" if there else None


@layout("ff++", f"{ORIGINALS}/ or {MANIPULATED}/ (FaceForensics++ and DFD as its script downloads them)", _recognize)
def read(root: Folder) -> Dataset:
    """Read all methods and compressions of the official tree."""
    sequences: list[Sequence] = []
    for name, label in ((ORIGINALS, 0), (MANIPULATED, 1)):
        for folder in found.folders.values() if (found := root.folder(name)) else ():
            sequences += _compressions(folder, label)
    return _dataset(sequences, read_splits(root), root)


def _recognize_kaggle(root: Folder) -> str | None:
    originals = root.folder(_KAGGLE_ORIGINALS)
    methods = [method for method in METHODS if root.folder(method) is not None]
    if (
        originals is None
        or not methods
        or not re.fullmatch(r"\d{3}\.\w+", next(iter(originals.unwrapped().videos), ""))
    ):
        return None
    return f"the folders {_KAGGLE_ORIGINALS} and {', '.join(methods)}"


@layout("ff++-kaggle", f"{_KAGGLE_ORIGINALS}/ and Deepfakes/, Face2Face/, ... (FaceForensics++_C23)", _recognize_kaggle)
def read_kaggle(root: Folder) -> Dataset:
    """Read Kaggle's copy, which has one compression. Split files in it count as in the official tree."""
    named = re.search(r"(?<![a-z0-9])(raw|c0|c23|c40)(?![a-z0-9])", root.name.lower().replace("_", " "))
    compression = COMPRESSIONS[named[1]] if named else _KAGGLE_COMPRESSION
    sequences = []
    for folder in root.folders.values():
        method = next((known for known in METHODS if known.casefold() == folder.name.casefold()), None)
        if folder.name.casefold() == _KAGGLE_ORIGINALS:
            sequences.append(Sequence(YOUTUBE, 0, compression, items_in(folder.unwrapped()), {}, folder.unwrapped()))
        elif method is not None:
            sequences.append(Sequence(method, 1, compression, items_in(folder.unwrapped()), {}, folder.unwrapped()))
    dataset = _dataset(sequences, read_splits(root), root)
    dataset.missing.update(_missing_of_table(root))
    return dataset


def _compressions(folder: Folder, label: int) -> Iterator[Sequence]:
    """The sequences of a method or of a collection of reals."""
    masks = folder.folder("masks")
    for name, below in folder.folders.items():
        if (compression := COMPRESSIONS.get(name.lower())) is not None:
            videos = below.unwrapped()
            yield Sequence(
                folder.name, label, compression, items_in(videos), _masks(masks or below.folder("masks")), videos
            )


def _masks(folder: Folder | None) -> dict[str, Path]:
    """Mask videos, or folders of pictures, by the name of their fake."""
    return {} if folder is None else {item.name: item.path for item in items_in(folder.unwrapped())}


def _dataset(sequences: list[Sequence], splits: Splits, root: Folder) -> Dataset:
    names = (item.name for sequence in sequences for item in sequence.items)
    groups = linked_groups(names, splits.of_pair)
    split_of = splits.of_name()
    found = Collector()
    for sequence in sequences:
        for item in sequence.items:
            found.add(
                f"{sequence.name}_{sequence.compression}_{item.name}",
                item.path,
                sequence.label,
                method=sequence.name if sequence.label == 1 else None,
                compression=sequence.compression,
                mask=sequence.masks.get(item.name) if sequence.label == 1 else None,
                content=item.content,
                **_names(sequence, item.name, groups, split_of),
            )
        found.missing.update(_missing(sequence, splits, root))
    if not splits.of_pair:
        found.notes.append(
            "no split files (train.json, val.json, test.json, in it or in splits/): no video has an official split"
        )
    return found.dataset()


def _names(
    sequence: Sequence, name: str, groups: Mapping[str, str], split_of: Mapping[str, str]
) -> dict[str, str | None]:
    """What a video's name says: original, group, source and split."""
    source = ACTORS if sequence.name in (ACTORS, DFD) else YOUTUBE
    original = original_of(name) if sequence.label == 1 else None
    return {
        "original": f"{source}_{sequence.compression}_{original}" if original else None,
        "group": f"{source}_{groups.get(group_of(name), group_of(name))}",
        "source": source,
        "split": split_of.get(name),
    }


def read_splits(root: Folder) -> Splits:
    """Read the split files in a folder or in `splits` in it; those that are not there are left out.

    Raises:
        DatasetError: not a list of pairs of names, or a video in two splits.
    """
    of_pair: dict[tuple[str, str], str] = {}
    files: dict[str, Path] = {}
    seen: dict[str, str] = {}
    for split in SPLITS:
        places = [place for place in (root.folder("splits"), root) if place is not None]
        file = next((found for place in places if (found := place.file(f"{split}.json"))), None)
        if file is None:
            continue
        files[split] = file
        for pair in _pairs(file):
            for name in pair:
                if seen.setdefault(name, split) != split:
                    raise DatasetError(f"{file}: {name!r} is in the splits {seen[name]} and {split}")
            of_pair[pair] = split
    return Splits(of_pair, files)


def _pairs(file: Path) -> list[tuple[str, str]]:
    content = read_json(file, "list of pairs", DatasetError)
    pairs = content if isinstance(content, list) else [content]
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(name, str) for name in pair)):
            raise DatasetError(f'{file}: expected a list of pairs, [["000", "003"], ...]; found {shorten(pair)}')
    return [(one, other) for one, other in pairs]


def _missing(sequence: Sequence, splits: Splits, root: Folder) -> dict[str, str]:
    """The videos that the official splits name and a sequence lacks, with the file that names them."""
    if sequence.name in (ACTORS, DFD):
        return {}
    there = {item.name for item in sequence.items}
    below = "/".join(sequence.folder.parts[len(root.parts) :])
    missing: dict[str, str] = {}
    for (one, other), split in splits.of_pair.items():
        names = (one, other) if sequence.label == 0 else (f"{one}_{other}", f"{other}_{one}")
        missing |= {f"{below}/{name}": str(splits.files[split]) for name in names if name not in there}
    return missing


def _missing_of_table(root: Folder) -> dict[str, str]:
    """The videos that Kaggle's table of all files names and that are not there."""
    tables = root.folder("csv")
    table = tables.file("FF++_Metadata.csv") if tables else None
    if table is None:
        return {}
    rows = csv.DictReader(io.StringIO(decode_text(table.read_bytes(), errors="replace"), newline=""))
    paths = [PurePath((row.get("File Path") or "").replace("\\", "/")) for row in rows]
    there = {name: {stem(file) for file in folder.unwrapped().videos} for name, folder in root.folders.items()}
    return {
        path.as_posix(): str(table) for path in paths if path.name and path.stem not in there.get(path.parent.name, ())
    }
