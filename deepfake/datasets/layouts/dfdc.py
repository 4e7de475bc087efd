"""DFDC's `metadata.json` -> video records, originals and (original, fake) pairs.

A data set is a folder of parts (`dfdc_train_part_N`, or any folder that holds a `metadata.json`), each of
which maps a video's file name to its label, split and, for fakes, the original it was made from. Common variants are
read, too: `is_fake` in place of `label`, numbers, lower case, UTF-16, a list, originals with a folder, without suffix,
or not named. In the full data set the parts are below `train`, and `test` has labels.csv (see `dfdc_test`).
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from deepfake.datasets.label_words import FAKE, LABEL_KEYS, NAME_KEYS, REAL, TEST, TRAIN, parse_label, parse_split
from deepfake.datasets.layout_registry import FIRST, layout
from deepfake.datasets.layouts.dfdc_test import has_labels, read_test
from deepfake.datasets.records import Dataset, DatasetError, VideoRecord, families_of, id_fault, shorten
from deepfake.datasets.tree import Folder
from deepfake.storage.names import is_plain_name
from deepfake.storage.own_folders import METADATA_NAME
from deepfake.storage.text_files import decode_text


@dataclass(frozen=True)
class Entry:
    """What a metadata.json says of one video.

    Attributes:
        name: as it is written there, maybe with a folder.
        label: 0 for real, 1 for fake.
        original: a fake's original, a plain file name with or without suffix; None if it is not named.
        split: train, val or test; None if it is another word, or none.
    """

    name: str
    label: int
    original: str | None
    split: str | None = None

    @cached_property
    def video_id(self) -> str:
        return Path(self.name).stem

    def original_id(self, known: Collection[str]) -> str | None:
        """The original's id. Without its suffix, a name is an id itself, which may hold a dot; `known` are all ids."""
        if self.original is None or self.original in known:
            return self.original
        return Path(self.original).stem


def _recognize(root: Folder) -> str | None:
    files = _files(root)
    if not files:
        return None
    place = files[0].parent.relative_to(root.path).as_posix()
    return f"{METADATA_NAME} in {'it' if place == '.' else place}"


@layout(
    "dfdc", f"{METADATA_NAME} in it or in the folders directly below it (dfdc_train_part_N)", _recognize, rank=FIRST
)
def read(root: Folder) -> Dataset:
    """Read all videos named by the `metadata.json` files in a folder and in those directly below it or `train`.

    In the full data set the videos of the labels.csv in `test` come with them.

    Videos that are not there stay in it: what was made of them counts, and a step reports each that it misses.

    Raises:
        DatasetError: none found, one malformed, or one id in two places.
    """
    files = _files(root) or metadata_files(root.path)
    there = {file: set(os.listdir(file.parent)) for file in files}  # noqa: PTH208  (names, not 100,000 paths)
    entries = [(file, entry) for file in files for entry in read_entries(file)]
    ids = {entry.video_id for _, entry in entries}
    videos: dict[str, VideoRecord] = {}
    rejected: dict[str, str] = {}
    missing: dict[str, str] = {}
    for file, entry in entries:
        if fault := _name_fault(entry):
            rejected[entry.name] = f"{file}: {fault}"
            continue
        record = _record(file, entry, ids)
        if record.video_id in videos:
            raise DatasetError(
                f"{file}: video id {record.video_id!r} is also {videos[record.video_id].path}; "
                "ids (file names without suffix) must be unique in a data set"
            )
        videos[record.video_id] = record
        if entry.name not in there[file]:
            missing[(file.parent.relative_to(root.path) / entry.name).as_posix()] = str(file)
    families = families_of({video.video_id: video.identity for video in videos.values()})
    videos = {name: replace(video, group=families[name]) for name, video in videos.items()}
    if root.folder(TRAIN) is None or (test := root.folder(TEST)) is None or not has_labels(test):
        return Dataset(videos, rejected, missing=missing)
    tests = read_test(test)
    return Dataset(
        {**tests.videos, **videos}, rejected | tests.rejected, missing=missing | tests.missing, notes=tests.notes
    )


def _files(root: Folder) -> list[Path]:
    if root.only is not None:
        return [root.path / root.only] if root.only == METADATA_NAME else []
    return _find_metadata(root.path)


def metadata_files(root: Path) -> list[Path]:
    """The `metadata.json` in `root` and in the folders directly below it or `train`. Raises DatasetError: none."""
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; expected a data set in DFDC layout")
    files = _find_metadata(root)
    if not files:
        raise DatasetError(
            f"{root}: no {METADATA_NAME} in it or in a folder below it; expected DFDC layout "
            f"({root.name}/dfdc_train_part_N/{METADATA_NAME} beside the videos)"
        )
    return files


def _find_metadata(root: Path) -> list[Path]:
    patterns = (METADATA_NAME, f"*/{METADATA_NAME}", f"{TRAIN}/*/{METADATA_NAME}")
    return [path for pattern in patterns for path in sorted(root.glob(pattern)) if path.is_file()]


def read_metadata(file: Path) -> list[VideoRecord]:
    """The records of one `metadata.json`, in its order, without names that cannot be videos.

    Raises:
        DatasetError: see `read_entries`.
    """
    entries = read_entries(file)
    ids = {entry.video_id for entry in entries}
    return [_record(file, entry, ids) for entry in entries if not _name_fault(entry)]


def read_entries(file: Path) -> list[Entry]:
    """What one `metadata.json` says, in its order. Names are not checked.

    Raises:
        DatasetError: not JSON, neither a mapping nor a list of entries, a key twice, an unknown label, or an original
            that is no file name.
    """
    try:
        content = json.loads(decode_text(file.read_bytes()), object_pairs_hook=_unique_keys)
    except DatasetError as error:
        raise DatasetError(f"{file}: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{file}: not readable as JSON: {error}") from error
    named = _named(file, content) if isinstance(content, list) else content
    if not isinstance(named, dict):
        raise DatasetError(f"{file}: expected {_EXPECTED}; found {type(content).__name__}")
    return [_entry(file, name, value) for name, value in named.items()]


_EXPECTED = (
    'a mapping from file name to label, {"a.mp4": {"label": "REAL"}, "b.mp4": {"label": "FAKE", "original": "a.mp4"}}'
    ', or a list, [{"filename": "a.mp4", "label": "REAL"}]'
)


def _unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise DatasetError(f"the key {twice!r} is there twice; which of the two holds?")
    return found


def _named(file: Path, content: Sequence[object]) -> dict[str, Any]:
    """A list of entries as the mapping that it stands for."""
    found: dict[str, Any] = {}
    for entry in content:
        fields = _fields(entry) if isinstance(entry, dict) else {}
        name = next((fields[key] for key in NAME_KEYS if key in fields), None)
        if not isinstance(name, str):
            raise DatasetError(f"{file}: expected {_EXPECTED}; found a list with {shorten(entry)}")
        if name in found:
            raise DatasetError(f"{file}: {name!r} is there twice; which of the two holds?")
        found[name] = entry
    if not found:
        raise DatasetError(f"{file}: expected {_EXPECTED}; found an empty list")
    return found


def _fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key.casefold(): value for key, value in entry.items()}


def _entry(file: Path, name: str, value: object) -> Entry:
    fields = _fields(value) if isinstance(value, dict) else {"label": value}
    given = {key: fields[key] for key in LABEL_KEYS if fields.get(key) is not None}
    first, *others = given.values() or [None]
    label = parse_label(first)
    if label is None:
        raise DatasetError(
            f"{file}: {name!r} has label {shorten(first)}; expected {REAL!r} or {FAKE!r} as 'label', "
            "or 0 or 1 as 'is_fake'"
        )
    if any(parse_label(other) == 1 - label for other in others):
        raise DatasetError(f"{file}: {name!r} is said to be both real and fake: {shorten(given)}")
    return Entry(
        name,
        label,
        _original(file, name, fields.get("original")) if label == 1 else None,
        parse_split(fields.get("split")),
    )


def _original(file: Path, name: str, value: object) -> str | None:
    """The original's file name without its folder; None where a table had nothing."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    plain = re.split(r"[/\\]", value)[-1] if isinstance(value, str) else ""
    if not is_plain_name(plain):
        raise DatasetError(
            f"{file}: {name!r} is fake and names {shorten(value)} as its original; expected a plain file name, or null"
        )
    return plain


def _name_fault(entry: Entry) -> str | None:
    """Why no file of the folder can have this name, or no output be named after it."""
    return id_fault(entry.video_id, entry.name, entry.original or "")


def _record(file: Path, entry: Entry, ids: Collection[str]) -> VideoRecord:
    return VideoRecord(entry.video_id, file.parent / entry.name, entry.label, entry.original_id(ids), split=entry.split)
