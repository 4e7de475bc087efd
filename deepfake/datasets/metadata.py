"""DFDC's `metadata.json` -> video records, originals and (original, fake) pairs.

A data set is a folder of parts (`dfdc_train_part_N`, or any folder that holds a `metadata.json`), each of
which maps a video's file name to its label, split and, for fakes, the original it was made from. Common variants are
read, too: `is_fake` in place of `label`, numbers, lower case, UTF-16, a list, originals with a folder, without suffix,
or not named.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from deepfake.storage.names import MOST_BYTES, escape, is_plain_name
from deepfake.storage.own_folders import METADATA_NAME
from deepfake.storage.text_files import decode_text

REAL, FAKE = "REAL", "FAKE"
LABEL_VALUES = {REAL: 0, FAKE: 1}
LABEL_WORDS = {**LABEL_VALUES, "FALSE": 0, "TRUE": 1}

NAME_KEYS = ("filename", "file", "video", "path", "name", "uri")
"""What lists and tables call a video's file name, the first that is there counts."""
LABEL_KEYS = ("label", "is_fake", "fake", "target", "class")

LONGEST_ID = MOST_BYTES - len(".json")
"""Bytes of a video id: the names of its files are longer."""


SPLIT_BY_ORIGINAL = 'FOLDS_ARGS="--split-by original --n-splits 5"'
"""For preprocess_data.sh, where a data set does not come in DFDC's parts; the arguments are generate_folds.py's."""


class MetadataError(ValueError):
    """A data set's metadata cannot be used; the message names the file, the key and what was expected."""


@dataclass(frozen=True)
class Entry:
    """What a metadata.json says of one video.

    Attributes:
        name: as it is written there, maybe with a folder.
        label: 0 for real, 1 for fake.
        original: a fake's original, a plain file name with or without suffix; None if it is not named.
    """

    name: str
    label: int
    original: str | None

    @cached_property
    def video_id(self) -> str:
        return Path(self.name).stem

    def original_id(self, known: Collection[str]) -> str | None:
        """The original's id. Without its suffix, a name is an id itself, which may hold a dot; `known` are all ids."""
        if self.original is None or self.original in known:
            return self.original
        return Path(self.original).stem


@dataclass(frozen=True)
class VideoRecord:
    """One video of a data set. `label` is 0 for real and 1 for fake; `original` is a video id, for fakes."""

    video_id: str
    path: Path
    label: int
    original: str | None = None

    @property
    def part(self) -> int:
        """N of `..._N`, the folder that holds the video.

        Raises:
            MetadataError: the folder's name ends in no number.
        """
        match = re.search(r"(\d+)$", self.path.parent.name)
        if match is None:
            raise MetadataError(
                f"{self.path.parent}: the folder's name ends in no part number (dfdc_train_part_N); "
                f"split by original instead ({SPLIT_BY_ORIGINAL})"
            )
        return int(match[1])

    @property
    def identity(self) -> str:
        """The original's id: what a real video and all its fakes share."""
        return self.original if self.original is not None else self.video_id


@dataclass(frozen=True)
class Dataset:
    """All videos of a data root, by id, in a stable order.

    `rejected` are the names that cannot be videos of it, as they are written there, with the reason.
    """

    videos: dict[str, VideoRecord]
    rejected: dict[str, str] = field(default_factory=dict)

    @property
    def originals(self) -> list[VideoRecord]:
        return [v for v in self.videos.values() if v.label == 0]

    @property
    def fakes(self) -> list[VideoRecord]:
        return [v for v in self.videos.values() if v.label == 1]

    @property
    def unattributed(self) -> list[VideoRecord]:
        """Fakes that name no original."""
        return [f for f in self.fakes if f.original is None]

    @property
    def sources(self) -> list[VideoRecord]:
        """The videos that faces are looked for in: the reals, and the fakes that name no original."""
        return self.originals + self.unattributed

    @property
    def pairs(self) -> list[tuple[VideoRecord, VideoRecord]]:
        """(original, fake) for every fake whose original is a real video of the data set."""
        return [(self.videos[f.identity], f) for f in self.fakes if self._has_original(f)]

    @property
    def orphans(self) -> list[VideoRecord]:
        """Fakes that name an original which is not in the data set or is itself a fake: they have no boxes."""
        return [f for f in self.fakes if f.original is not None and not self._has_original(f)]

    def _has_original(self, fake: VideoRecord) -> bool:
        original = self.videos.get(fake.identity)
        return original is not None and original.label == LABEL_VALUES[REAL]


def read_dataset(root: Path) -> Dataset:
    """All videos named by the `metadata.json` files in `root` and in the folders directly below it.

    Raises:
        MetadataError: none found, one malformed, or one id in two places.
    """
    entries = [(file, entry) for file in metadata_files(root) for entry in read_entries(file)]
    ids = {entry.video_id for _, entry in entries}
    videos: dict[str, VideoRecord] = {}
    rejected: dict[str, str] = {}
    for file, entry in entries:
        if fault := _name_fault(entry):
            rejected[entry.name] = f"{file}: {fault}"
            continue
        record = _record(file, entry, ids)
        if record.video_id in videos:
            raise MetadataError(
                f"{file}: video id {record.video_id!r} is also {videos[record.video_id].path}; "
                "ids (file names without suffix) must be unique in a data set"
            )
        videos[record.video_id] = record
    return Dataset(videos, rejected)


def metadata_files(root: Path) -> list[Path]:
    """The `metadata.json` in `root` and those in the folders directly below it. Raises MetadataError: none."""
    root = Path(root)
    if not root.is_dir():
        raise MetadataError(f"{root}: no such folder; expected a data set in DFDC layout")
    files = [p for p in (root / METADATA_NAME, *sorted(root.glob(f"*/{METADATA_NAME}"))) if p.is_file()]
    if not files:
        raise MetadataError(
            f"{root}: no {METADATA_NAME} in it or in a folder below it; expected DFDC layout "
            f"({root.name}/dfdc_train_part_N/{METADATA_NAME} beside the videos)"
        )
    return files


def read_metadata(file: Path) -> list[VideoRecord]:
    """The records of one `metadata.json`, in its order, without names that cannot be videos.

    Raises:
        MetadataError: see `read_entries`.
    """
    entries = read_entries(file)
    ids = {entry.video_id for entry in entries}
    return [_record(file, entry, ids) for entry in entries if not _name_fault(entry)]


def read_entries(file: Path) -> list[Entry]:
    """What one `metadata.json` says, in its order. Names are not checked.

    Raises:
        MetadataError: not JSON, neither a mapping nor a list of entries, a key twice, an unknown label, or an original
            that is no file name.
    """
    try:
        content = json.loads(decode_text(file.read_bytes()), object_pairs_hook=_unique_keys)
    except MetadataError as error:
        raise MetadataError(f"{file}: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise MetadataError(f"{file}: not readable as JSON: {error}") from error
    named = _named(file, content) if isinstance(content, list) else content
    if not isinstance(named, dict):
        raise MetadataError(f"{file}: expected {_EXPECTED}; found {type(content).__name__}")
    return [_entry(file, name, value) for name, value in named.items()]


def parse_label(value: object) -> int | None:
    """0 for real, 1 for fake: from REAL or FAKE in any case, 0 or 1, true or false, as text too. None: no label."""
    if isinstance(value, str):
        text = value.strip().upper()
        if text in LABEL_WORDS:
            return LABEL_WORDS[text]
        try:
            value = float(text)
        except ValueError:
            return None
    return int(value) if isinstance(value, (int, float)) and value in (0, 1) else None


_EXPECTED = (
    'a mapping from file name to label, {"a.mp4": {"label": "REAL"}, "b.mp4": {"label": "FAKE", "original": "a.mp4"}}'
    ', or a list, [{"filename": "a.mp4", "label": "REAL"}]'
)


def _unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise MetadataError(f"the key {twice!r} is there twice; which of the two holds?")
    return found


def _named(file: Path, content: Sequence[object]) -> dict[str, Any]:
    """A list of entries as the mapping that it stands for."""
    found: dict[str, Any] = {}
    for entry in content:
        fields = _fields(entry) if isinstance(entry, dict) else {}
        name = next((fields[key] for key in NAME_KEYS if key in fields), None)
        if not isinstance(name, str):
            raise MetadataError(f"{file}: expected {_EXPECTED}; found a list with {_short(entry)}")
        if name in found:
            raise MetadataError(f"{file}: {name!r} is there twice; which of the two holds?")
        found[name] = entry
    if not found:
        raise MetadataError(f"{file}: expected {_EXPECTED}; found an empty list")
    return found


def _fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key.casefold(): value for key, value in entry.items()}


def _entry(file: Path, name: str, value: object) -> Entry:
    fields = _fields(value) if isinstance(value, dict) else {"label": value}
    given = {key: fields[key] for key in LABEL_KEYS if fields.get(key) is not None}
    first, *others = given.values() or [None]
    label = parse_label(first)
    if label is None:
        raise MetadataError(
            f"{file}: {name!r} has label {_short(first)}; expected {REAL!r} or {FAKE!r} as 'label', "
            "or 0 or 1 as 'is_fake'"
        )
    if any(parse_label(other) == 1 - label for other in others):
        raise MetadataError(f"{file}: {name!r} is said to be both real and fake: {_short(given)}")
    return Entry(name, label, _original(file, name, fields.get("original")) if label == 1 else None)


def _original(file: Path, name: str, value: object) -> str | None:
    """The original's file name without its folder; None where a table had nothing."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    plain = re.split(r"[/\\]", value)[-1] if isinstance(value, str) else ""
    if not is_plain_name(plain):
        raise MetadataError(
            f"{file}: {name!r} is fake and names {_short(value)} as its original; expected a plain file name, or null"
        )
    return plain


def _short(value: object, length: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}..."


def _name_fault(entry: Entry) -> str | None:
    """Why no file of the folder can have this name, or no output be named after it."""
    if not is_plain_name(entry.name):
        return f"'{escape(entry.name)}' is not a plain file name; names may not leave the folder"
    for name, most in ((entry.video_id, LONGEST_ID), (entry.name, MOST_BYTES), (entry.original or "", MOST_BYTES)):
        size = len(os.fsencode(name))
        if size > most:
            return f"{_short(name)}: a name of {size} bytes; at most {most} fit on the disk"
    return None


def _record(file: Path, entry: Entry, ids: Collection[str]) -> VideoRecord:
    return VideoRecord(entry.video_id, file.parent / entry.name, entry.label, entry.original_id(ids))
