"""Which videos are fake: labels to judge scores by, from a data set of any layout, a metadata.json or a table.

Labels and predictions name videos in their own ways: with a folder or without, with suffix or without. `match_labels`
brings them together.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepfake.datasets.label_tables import TABLE_SUFFIXES, LabelRow, read_label_table
from deepfake.datasets.layouts.dfdc import Entry, metadata_files, read_entries
from deepfake.datasets.reading import read_dataset
from deepfake.storage.names import escape
from deepfake.storage.own_folders import METADATA_NAME

_ORIGINAL = "original"


class LabelError(ValueError):
    """Labels and predictions do not fit together; the message shows an example."""


class NothingMatched(LabelError):
    """No predicted video is among the labels."""


@dataclass(frozen=True)
class VideoLabel:
    """`label` is 0 for real and 1 for fake; `identity` is what an original and all its fakes share."""

    label: int
    identity: str


@dataclass(frozen=True)
class Labels:
    """Labels by the videos' names, as they are written there, and the files that they were read from."""

    videos: dict[str, VideoLabel]
    files: list[Path]


@dataclass(frozen=True)
class MatchedLabels:
    """Labels by the predictions' names.

    Attributes:
        videos: predicted video -> its label.
        unlabeled: predicted videos without a label.
        unpredicted: names of the labels that no predicted video has.
        matched_by: what the names were compared by, the name of one of _WAYS.
    """

    videos: dict[str, VideoLabel]
    unlabeled: list[str]
    unpredicted: list[str]
    matched_by: str


def read_labels(path: Path) -> Labels:
    """Read a data set of any layout, a metadata.json, or a table with a column of names and one of labels.

    Tables are separated by comma, semicolon or tab; their columns are found by NAME_KEYS and LABEL_KEYS in any case.
    Without a column `original`, each of a table's videos has an identity of its own.

    Raises:
        ValueError: missing, of another kind, malformed, an unknown label, or one name twice.
    """
    if path.is_dir():
        if (dataset := read_dataset(path)).layout != "dfdc":
            return Labels(
                {os.path.relpath(v.path, path): VideoLabel(v.label, v.group) for v in dataset.videos.values()}, [path]
            )
        files = metadata_files(path)
        entries = {
            f"{file.parent.relative_to(path) / entry.name}": entry for file in files for entry in read_entries(file)
        }
        return Labels(_of_entries(entries), files)
    if path.suffix.lower() == ".json":
        return Labels(_of_entries({entry.name: entry for entry in read_entries(path)}), [path])
    if path.suffix.lower() in TABLE_SUFFIXES:
        return Labels(_of_table(path), [path])
    raise ValueError(
        f"{path}: expected labels: a {METADATA_NAME}, a table ({', '.join(TABLE_SUFFIXES)}) with filename,label, or a "
        "folder of videos"
    )


def match_labels(predicted: Iterable[str], labels: Labels) -> MatchedLabels:
    """Find the labels of predicted videos.

    Names are compared in four ways, and the first that finds anything is used for all of them: with the folders that
    both sides name, then likewise without suffix, then by file name whatever the folders, then that without suffix.

    Raises:
        NothingMatched: nothing found.
        LabelError: two labels that may be one video's, or two videos that may be one label's.
    """
    predicted = list(predicted)
    for way in _WAYS:
        if found := _match(predicted, labels, way):
            used = set(found.values())
            return MatchedLabels(
                videos={name: labels.videos[known] for name, known in found.items()},
                unlabeled=[name for name in predicted if name not in found],
                unpredicted=[name for name in labels.videos if name not in used],
                matched_by=way.name,
            )
    known, name = (escape(next(iter(names), "")) for names in (labels.videos, predicted))
    raise NothingMatched(
        f"{labels.files[0]}: none of the {len(predicted)} predicted videos is among its {len(labels.videos)} labels; "
        f"the labels know e.g. '{known}', the predictions e.g. '{name}'"
    )


@dataclass(frozen=True)
class _Name:
    """A video's name, as labels or predictions write it, in parts: folders, file name."""

    written: str
    parts: tuple[str, ...]

    @staticmethod
    def of(written: str) -> _Name:
        # File systems of Macs take umlauts apart; Windows separates by \\.
        parts = re.split(r"[/\\]+", unicodedata.normalize("NFC", written))
        return _Name(written, tuple(part for part in parts if part not in ("", ".")) or ("",))

    @property
    def stem(self) -> str:
        return Path(self.parts[-1]).stem

    def shared_folders(self, other: _Name) -> int:
        """How many folders, counted from the file upwards, are the same."""
        pairs = zip(reversed(self.parts[:-1]), reversed(other.parts[:-1]))
        return next((count for count, (one, two) in enumerate(pairs) if one != two), self.common_depth(other))

    def common_depth(self, other: _Name) -> int:
        """How many folders both name."""
        return min(len(self.parts), len(other.parts)) - 1


@dataclass(frozen=True)
class _Way:
    """A way to compare names."""

    name: str
    with_suffix: bool
    with_folders: bool


_WAYS = (
    _Way("path", True, True),
    _Way("path without suffix", False, True),
    _Way("file name", True, False),
    _Way("file name without suffix", False, False),
)


def _match(predicted: Iterable[str], labels: Labels, way: _Way) -> dict[str, str]:
    """Predicted video -> name of its label."""
    by_name: dict[str, list[_Name]] = {}
    by_stem: dict[str, list[_Name]] = {}
    for known in map(_Name.of, labels.videos):
        by_name.setdefault(known.parts[-1], []).append(known)
        by_stem.setdefault(known.stem, []).append(known)
    found: dict[str, list[tuple[_Name, _Name]]] = {}
    for name in map(_Name.of, predicted):
        if way.with_suffix:
            candidates = by_name.get(name.parts[-1], [])
        else:  # a label without suffix may hold a dot: a.v2 for a.v2.mp4
            candidates = by_name.get(name.stem) or by_stem.get(name.stem, [])
        if way.with_folders:
            candidates = [known for known in candidates if name.shared_folders(known) == name.common_depth(known)]
        if candidates:
            known = _nearest(name, candidates, labels, "predicted video", "labels")
            found.setdefault(known.written, []).append((name, known))
    matched = {}
    for pairs in found.values():
        known = pairs[0][1]
        matched[_nearest(known, [name for name, _ in pairs], labels, "label", "predicted videos").written] = (
            known.written
        )
    return matched


def _nearest(name: _Name, candidates: Sequence[_Name], labels: Labels, one: str, others: str) -> _Name:
    """The candidate whose path is the same, or shares the most folders. Raises LabelError: two do."""

    def nearness(other: _Name) -> tuple[bool, int]:
        return name.parts == other.parts, name.shared_folders(other)

    ordered = sorted(candidates, key=nearness, reverse=True)
    if len(ordered) > 1 and nearness(ordered[0]) == nearness(ordered[1]):
        two = " and ".join(f"'{escape(other.written)}'" for other in ordered[:2])
        raise LabelError(
            f"{labels.files[0]}: the {one} '{escape(name.written)}' may be either of the {others} {two}; "
            "name folders in both, or rename one"
        )
    return ordered[0]


def _of_entries(entries: Mapping[str, Entry]) -> dict[str, VideoLabel]:
    ids = {entry.video_id for entry in entries.values()}
    return {name: VideoLabel(e.label, e.original_id(ids) or e.video_id) for name, e in entries.items()}


def _of_table(path: Path) -> dict[str, VideoLabel]:
    rows = read_label_table(path)
    if not any(_ORIGINAL in row.cells for row in rows):
        return {row.name: VideoLabel(row.label, row.name) for row in rows}
    return _of_entries({row.name: Entry(row.name, row.label, _original(row)) for row in rows})


def _original(row: LabelRow) -> str | None:
    return _Name.of(row.cells[_ORIGINAL]).parts[-1] or None if row.label == 1 else None
