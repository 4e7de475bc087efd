"""Lists of frames, as two benchmarks write them: DeepfakeBench's JSON files and GenD's text files.

DeepfakeBench: NAME.json in it or in dataset_json/, the frames below it, `rgb` or `datasets/rgb`:

    {NAME: {LABEL: {SPLIT: {VIDEO: {label, frames: [paths], masks}}}}}     one more level c23, c40, raw below the split

GenD: SET/SPLIT/SOURCE.txt in it or in config/datasets/, a frame's path a line, as seen from the checkout.

The frames are faces cut out already; a video is the folder of its frames. Both may name a video in several splits (test
as val, all in train): it counts as test, unless a collection has all its videos in train and test, which is no split.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from deepfake.datasets.collecting import Collector
from deepfake.datasets.label_words import TEST, TRAIN, VAL, parse_split
from deepfake.datasets.layout_registry import MOST_FOLDERS, layout
from deepfake.datasets.records import CROPS, Dataset, DatasetError
from deepfake.datasets.tree import Folder, Listings, has_suffix
from deepfake.datasets.video_names import group_of, linked_groups, original_of
from deepfake.media.files import PICTURE_SUFFIXES
from deepfake.storage.json_files import read_mapping
from deepfake.storage.text_files import decode_text

METHODS = {
    **{"FF-DF": "Deepfakes", "FF-F2F": "Face2Face", "FF-FS": "FaceSwap", "FF-NT": "NeuralTextures"},
    **{"FF-FH": "FaceShifter", "DFD_fake": "DeepFakeDetection"},
}
"""DeepfakeBench's labels -> the names of FaceForensics++'s methods."""
REAL_SOURCES = ("real", "original", "youtube", "actors")
"""GenD names a list after where its videos are from: one of these in the name makes them reals."""

_BEGINS = re.compile(r'\s*\{\s*"[^"]+"\s*:\s*\{\s*"[^"]+"\s*:\s*\{\s*"(train|val|test)"\s*:')
_FIRST_BYTES = 2000
_RGB = "rgb"
"""DeepfakeBench's folder of frames; some of its lists' paths have it in them."""


@dataclass(frozen=True)
class ListedVideo:
    """A video as a list names it.

    Attributes:
        collection: whose reals and fakes belong together: FF, CelebDFv2, ...
        source: the label or list that it stands under.
        frames: the folder of its frames as the list writes it.
        masks: the folder of its masks; None without.
        file: the list's.
    """

    video_id: str
    name: str
    label: int
    collection: str
    source: str
    split: str | None
    compression: str | None
    frames: PurePath
    masks: PurePath | None
    file: Path


def _jsons(root: Folder) -> list[Path]:
    if root.only is not None:
        return [root.path / root.only]
    places = [root, root.folder("dataset_json"), root.folder("preprocessing", "dataset_json")]
    files = [place.path / name for place in places if place is not None for name in place.files]
    return [file for file in files if file.suffix.lower() == ".json" and _BEGINS.match(_first_bytes(file))]


def _first_bytes(file: Path) -> str:
    with file.open("rb") as content:
        return decode_text(content.read(_FIRST_BYTES), errors="replace")


def _recognize_jsons(root: Folder) -> str | None:
    files = [file for file in _jsons(root) if file.suffix.lower() == ".json" and _BEGINS.match(_first_bytes(file))]
    return f"frames by label and split in {', '.join(file.name for file in files[:3])}" if files else None


@layout("deepfakebench", "NAME.json or dataset_json/NAME.json: {NAME: {LABEL: {SPLIT: {VIDEO: {label, frames}}}}}",
        _recognize_jsons)  # fmt: skip
def read_jsons(root: Folder) -> Dataset:
    """Read all of DeepfakeBench's lists in a folder; a video that several name is one.

    Raises:
        DatasetError: no list, or one that is not JSON.
    """
    files = _jsons(root)
    if not files:
        raise DatasetError(f"{root.path}: no lists of DeepfakeBench in it or in dataset_json/")
    found = Collector()
    videos = [video for file in files for video in _of_json(file, found)]
    return _dataset(videos, found, [root.path, root.path.parent])


def _of_json(file: Path, found: Collector) -> Iterator[ListedVideo]:
    for (list_name, label, split, *levels, name), entry in _entries(read_mapping(file, "list of frames", DatasetError)):
        frames = _folder(entry["frames"])
        if frames is None:
            found.rejected[f"{list_name}/{label}/{split}/{name}"] = f"{file}: its frames are not those of one folder"
            continue
        yield ListedVideo(
            video_id="_".join((label, *levels, name)),
            name=name,
            label=0 if "real" in label.lower() else 1,
            collection=re.split("[-_]", label)[0],
            source=label,
            split=parse_split(split),
            compression=levels[0] if levels else None,
            frames=frames,
            masks=_folder(entry.get("masks")),
            file=file,
        )


def _entries(content: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The videos of a JSON list with the keys on the way there: name, label, split, maybe compression, video."""
    if not isinstance(content, dict):
        return
    if isinstance(content.get("frames"), list):
        if len(keys) in (4, 5):
            yield keys, content
        return
    for key, value in content.items():
        yield from _entries(value, (*keys, key))


def _folder(frames: Any) -> PurePath | None:
    """The folder of a video's frames; None if there are none, or several folders. Windows separates by back slashes."""
    if not isinstance(frames, list) or not all(isinstance(frame, str) for frame in frames):
        return None
    folders = {frame.replace("\\", "/").rpartition("/")[0] for frame in frames}
    return PurePosixPath(folders.pop()) if len(folders) == 1 else None


def _texts(root: Folder) -> Iterator[tuple[str, str, Path]]:
    """Set, split and file of GenD's lists."""
    for place in (root, root.folder("config", "datasets")):
        for below in (place, *islice(place.folders.values(), MOST_FOLDERS)) if place is not None else ():
            for split, folder in below.folders.items():
                if parse_split(split) is not None:
                    yield from ((below.name, split, folder.path / name) for name in folder.files if _is_text(name))


def _is_text(name: str) -> bool:
    return has_suffix(name, (".txt",))


def _recognize_texts(root: Folder) -> str | None:
    for list_name, split, file in _texts(root):
        if has_suffix(_first_bytes(file).partition("\n")[0].strip(), PICTURE_SUFFIXES):
            return f"paths of frames in {list_name}/{split}/{file.name}"
    return None


@layout("gend", "SET/SPLIT/SOURCE.txt in it or in config/datasets/, a frame's path a line", _recognize_texts)
def read_texts(root: Folder) -> Dataset:
    """Read all of GenD's lists.

    Raises:
        DatasetError: no list.
    """
    videos = [video for list_name, split, file in _texts(root) for video in _of_text(list_name, split, file)]
    if not videos:
        raise DatasetError(f"{root.path}: no lists of GenD (SET/SPLIT/SOURCE.txt) in it or in config/datasets/")
    return _dataset(videos, Collector(), [root.path, root.path.parent, root.path.parent.parent])


def _of_text(list_name: str, split: str, file: Path) -> Iterator[ListedVideo]:
    lines = decode_text(file.read_bytes(), errors="replace").replace("\\", "/").splitlines()
    for frames in dict.fromkeys(PurePosixPath(line.strip()).parent for line in lines if line.strip()):
        yield ListedVideo(
            video_id=f"{list_name}_{file.stem}_{frames.name}",
            name=frames.name,
            label=0 if any(word in file.stem.lower() for word in REAL_SOURCES) else 1,
            collection=list_name,
            source=file.stem,
            split=parse_split(split),
            compression=None,
            frames=frames,
            masks=None,
            file=file,
        )


def _dataset(listed: list[ListedVideo], found: Collector, bases: Iterable[Path]) -> Dataset:
    videos = list({video.frames: video for video in reversed(listed)}.values())[::-1]
    split_of = _settle_splits(listed, found)
    reals: dict[tuple[str, str | None, str | None], str] = {
        (video.collection, video.compression, video.name): video.video_id for video in videos if video.label == 0
    }
    groups = linked_groups(video.name for video in videos)
    places = _Places(bases)
    for video in videos:
        path = places.find(video.frames)
        if path is None:
            found.missing[video.frames.as_posix()] = str(video.file)
            continue
        is_fake = video.label == 1
        original, group = original_of(video.name), group_of(video.name)
        found.add(
            video.video_id,
            path,
            video.label,
            original=reals.get((video.collection, video.compression, original)) if is_fake else None,
            group=f"{video.collection}_{groups.get(group, group)}",
            method=METHODS.get(video.source, video.source) if is_fake else None,
            compression=video.compression,
            split=split_of[video.frames],
            mask=places.find(video.masks) if is_fake and video.masks is not None else None,
            content=CROPS,
            source=video.collection,
        )
    return found.dataset()


def _settle_splits(listed: list[ListedVideo], found: Collector) -> dict[PurePath, str | None]:
    """The one split of each video, by its frames."""
    splits: dict[PurePath, set[str | None]] = defaultdict(set)
    collections: dict[str, set[PurePath]] = defaultdict(set)
    for video in listed:
        splits[video.frames].add(video.split)
        collections[video.collection].add(video.frames)
    order = (TEST, TRAIN, VAL)
    settled = {frames: next((split for split in order if split in named), None) for frames, named in splits.items()}
    for name, videos in collections.items():
        if all({TRAIN, TEST} <= splits[frames] for frames in videos):
            settled |= dict.fromkeys(videos, None)
            found.notes.append(f"{name}: all videos are in the lists of train and test: they have no split")
        elif several := sum(len(splits[frames]) > 1 for frames in videos):
            found.notes.append(f"{name}: {several} videos are in the lists of several splits: test counts, then train")
    return settled


class _Places:
    """Where the folders are that lists name, as seen from several places."""

    def __init__(self, bases: Iterable[Path]) -> None:
        self._bases = [place for base in bases for place in (base, base / _RGB, base / "datasets" / _RGB)]
        self._listings = Listings()

    def find(self, folder: PurePath) -> Path | None:
        """Return where a folder is; None if it is not there."""
        ways = [folder]
        if _RGB in folder.parts:
            ways.append(PurePath(*folder.parts[folder.parts.index(_RGB) + 1 :]))
        for way in ways:
            for base in self._bases:
                if self._listings.kind(base / way) == "folder":
                    return base / way
        return None
