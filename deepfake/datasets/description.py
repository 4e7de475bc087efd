"""What is in a data set, and what is wrong with it: counts, missing files, leaks between splits, copies."""

from __future__ import annotations

import hashlib
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from tqdm import tqdm

from deepfake.datasets.label_words import SPLITS
from deepfake.datasets.records import Dataset, VideoRecord

MISSING, REJECTED, UNREADABLE, EMPTY = "missing", "unusable name", "unreadable", "empty"
UNPAIRED, SPLIT_PAIR, SPLIT_GROUP, COPY = "unpaired", "pair in two splits", "group in two splits", "copy"
KINDS = {
    SPLIT_PAIR: "Originals and fakes of them in two splits",
    SPLIT_GROUP: "Groups in several splits",
    COPY: "The same file several times",
    MISSING: "Files that the data set's own lists name and that are not there",
    REJECTED: "Names that no video can have",
    UNREADABLE: "Files that cannot be read",
    EMPTY: "Empty files",
    UNPAIRED: "Fakes whose original is not there",
}
"""Kinds of findings, the worst first, and what each is."""
LEAKS = (SPLIT_PAIR, SPLIT_GROUP, COPY)

PART, LABEL_NAMES = "part", ("real", "fake")
COLUMNS = ("kind", "method", "compression", "split", "label", "videos", "groups", "bytes", "name", "detail")
"""Of the table: a row for each part, then one for each finding, which has its name and detail alone."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Part:
    """The videos of one method, compression, split and label, as far as they are there.

    Attributes:
        videos: how many.
        groups: how many these are of.
        bytes: size of their files; folders of pictures are not measured.
    """

    method: str | None
    compression: str | None
    split: str | None
    label: str
    videos: int
    groups: int
    bytes: int


@dataclass(frozen=True)
class Finding:
    """Something wrong: its kind, one of KINDS, what has it, and in what way."""

    kind: str
    name: str
    detail: str


@dataclass(frozen=True)
class Description:
    """What is in a data set.

    Attributes:
        dataset: whose.
        parts: reals first, then by method, compression and split.
        groups: how many there are.
        findings: in the order of KINDS.
    """

    dataset: Dataset
    parts: list[Part]
    groups: int
    findings: list[Finding]

    @property
    def by_kind(self) -> dict[str, list[Finding]]:
        """The findings of each kind that has some, the worst first."""
        found = {kind: [finding for finding in self.findings if finding.kind == kind] for kind in KINDS}
        return {kind: findings for kind, findings in found.items() if findings}

    def count(self, label: str) -> int:
        """Return how many videos of a label, real or fake, are there."""
        return sum(part.videos for part in self.parts if part.label == label)

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Iterate over the table's rows, as COLUMNS says."""
        yield from ((PART, *("" if value is None else value for value in astuple(part)), "", "") for part in self.parts)
        blank = ("",) * len(fields(Part))
        yield from ((finding.kind, *blank, finding.name, finding.detail) for finding in self.findings)


def describe(root: Path, dataset: Dataset) -> Description:
    """Return what is in a data set. Files of equal size are read to the end, others are not opened."""
    folder = root if root.is_dir() else root.parent
    named = {folder / name for name in dataset.missing}
    videos = [video for video in dataset.videos.values() if video.path not in named]
    sizes, unreadable = _measure(videos)
    there = [video for video in videos if video.video_id in sizes]
    copies, unread = _find_copies(there, sizes)
    unpaired = dataset.unpaired | {fake.video_id: fake.identity for fake in dataset.orphans}
    findings = [
        *_split_pairs(there, dataset),
        *_split_groups(there),
        *copies,
        *(Finding(MISSING, name, f"named by {_below(folder, file)}") for name, file in dataset.missing.items()),
        *(Finding(REJECTED, name, reason) for name, reason in dataset.rejected.items()),
        *unreadable,
        *unread,
        *(Finding(EMPTY, video.video_id, _below(folder, video.path)) for video in there if sizes[video.video_id] == 0),
        *(Finding(UNPAIRED, fake, f"of {original}") for fake, original in unpaired.items() if fake in dataset.videos),
    ]
    return Description(dataset, _parts(there, sizes), len({video.group for video in there}), findings)


def _below(folder: Path, path: Path | str) -> str:
    """The path as seen from the data set's folder, if it is below it."""
    return str(Path(path).relative_to(folder)) if Path(path).is_relative_to(folder) else str(path)


def _measure(videos: Iterable[VideoRecord]) -> tuple[dict[str, int | None], list[Finding]]:
    """Video id -> bytes, None for a folder; and the files that are not there or not to be seen."""
    sizes: dict[str, int | None] = {}
    unreadable = []
    for video in videos:
        try:
            status = video.path.stat()
        except OSError as error:
            unreadable.append(_unreadable(video, error))
        else:
            sizes[video.video_id] = status.st_size if stat.S_ISREG(status.st_mode) else None
    return sizes, unreadable


def _unreadable(video: VideoRecord, error: OSError) -> Finding:
    return Finding(UNREADABLE, video.video_id, f"{video.path}: {error.strerror}")


def _parts(videos: Iterable[VideoRecord], sizes: dict[str, int | None]) -> list[Part]:
    parts: dict[tuple[int, str, str, int], list[VideoRecord]] = defaultdict(list)
    for video in videos:
        order = len(SPLITS) if video.split is None else SPLITS.index(video.split)
        parts[video.label, video.method or "", video.compression or "", order].append(video)
    return [
        Part(
            some[0].method, some[0].compression, some[0].split, LABEL_NAMES[some[0].label], len(some),
            len({video.group for video in some}), sum(sizes[video.video_id] or 0 for video in some),
        )
        for _, some in sorted(parts.items())
    ]  # fmt: skip


def _split_pairs(videos: Iterable[VideoRecord], dataset: Dataset) -> Iterator[Finding]:
    for fake in videos:
        original = dataset.videos.get(fake.original) if fake.original is not None else None
        if original is not None and len(_splits([original, fake])) > 1:
            detail = f"in {fake.split}, its original {original.video_id} in {original.split}"
            yield Finding(SPLIT_PAIR, fake.video_id, detail)


def _split_groups(videos: Iterable[VideoRecord]) -> Iterator[Finding]:
    groups: dict[str, list[VideoRecord]] = defaultdict(list)
    for video in videos:
        groups[video.group].append(video)
    for group, members in groups.items():
        if len(splits := _splits(members)) > 1:
            counts = Counter(video.split for video in members)
            yield Finding(SPLIT_GROUP, group, ", ".join(f"{counts[split]} in {split}" for split in splits))


def _splits(videos: Iterable[VideoRecord]) -> list[str]:
    """The official splits that some videos are in."""
    there = {video.split for video in videos}
    return [split for split in SPLITS if split in there]


def _find_copies(videos: list[VideoRecord], sizes: dict[str, int | None]) -> tuple[list[Finding], list[Finding]]:
    """The files of the same content as an earlier one, and those that cannot be read."""
    count = Counter(size for size in sizes.values() if size)
    alike = [video for video in videos if (size := sizes[video.video_id]) and count[size] > 1]
    first: dict[bytes, VideoRecord] = {}
    copies, unread = [], []
    for video in tqdm(alike, desc="comparing files of equal size", unit="file", leave=False, disable=None):
        try:
            digest = _digest(video.path)
        except OSError as error:
            unread.append(_unreadable(video, error))
            continue
        original = first.setdefault(digest, video)
        if original is not video:
            copies.append(Finding(COPY, video.video_id, _copy_detail(video, original)))
    return copies, unread


def _copy_detail(video: VideoRecord, first: VideoRecord) -> str:
    remarks = [f"the same file as {first.video_id}"]
    if video.label != first.label:
        remarks.append(f"this one {LABEL_NAMES[video.label]}, that one {LABEL_NAMES[first.label]}")
    if len(_splits([video, first])) > 1:
        remarks.append(f"this one in {video.split}, that one in {first.split}")
    return "; ".join(remarks)


def _digest(path: Path) -> bytes:
    """The checksum of a file's content."""
    checksum = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            checksum.update(chunk)
    return checksum.digest()
