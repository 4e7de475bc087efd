"""The videos of a data set, whatever its layout: one record each, and what is asked of all of them."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from deepfake.datasets.label_words import LABEL_VALUES, REAL, SPLITS, TRAIN
from deepfake.storage.names import MOST_BYTES, escape, is_plain_name

VIDEO, FRAMES, CROPS = "video", "frames", "crops"
"""What a record's path is: a video; a picture or a folder of them, whole frames; a folder of finished face crops."""
CONTENTS = (VIDEO, FRAMES, CROPS)

LONGEST_ID = MOST_BYTES - len(".json")
"""Bytes of a video id: the names of its files are longer."""

SPLIT_BY_ORIGINAL = 'FOLDS_ARGS="--split-by original --n-splits 5"'
"""For preprocess_data.sh, where a data set does not come in DFDC's parts; the arguments are generate_folds.py's."""


class DatasetError(ValueError):
    """A data set cannot be used; the message names the file, the key and what was expected."""


@dataclass(frozen=True)
class VideoRecord:
    """One video of a data set.

    Attributes:
        video_id: unique in the data set, a plain file name, the same whatever part of the data set is chosen.
        path: the video, or what `content` says.
        label: 0 for real, 1 for fake.
        original: id of the video that a fake was made from; None if it is not known.
        group: what splits must keep together has the same one: an original and its fakes, the two people of a pair.
            The original's id by default.
        method: what made a fake; None for reals, and where it is not known.
        compression: raw, c23 or c40, where a data set has several.
        split: the official one: train, val or test; None if there is none.
        mask: a video or folder of the manipulated pixels, for fakes.
        content: VIDEO, FRAMES or CROPS.
        source: where a data set has several collections of reals: the one that a real is from, or that a fake's
            original is from.
    """

    video_id: str
    path: Path
    label: int
    original: str | None = None
    group: str = ""
    method: str | None = None
    compression: str | None = None
    split: str | None = None
    mask: Path | None = None
    content: str = VIDEO
    source: str | None = None

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.identity)

    @property
    def part(self) -> int:
        """N of `..._N`, the folder that holds the video.

        Raises:
            DatasetError: the folder's name ends in no number.
        """
        match = re.search(r"(\d+)$", self.path.parent.name)
        if match is None:
            raise DatasetError(
                f"{self.path.parent}: the folder's name ends in no part number (dfdc_train_part_N); "
                f"split by original instead ({SPLIT_BY_ORIGINAL})"
            )
        return int(match[1])

    @property
    def is_cut_out(self) -> bool:
        """Whether its pictures are finished face crops: nothing is to be detected in them."""
        return self.content == CROPS

    @property
    def identity(self) -> str:
        """The original's id: what a real video and all its fakes share."""
        return self.original if self.original is not None else self.video_id


@dataclass(frozen=True)
class Dataset:
    """All videos of a data set, by id, in a stable order.

    Attributes:
        videos: by id.
        rejected: names that cannot be videos of it, as they are written there, with the reason.
        missing: files that its own lists name and that are not there, with the list. Only DFDC's metadata.json keeps
            such videos as records.
        unpaired: ids of fakes whose original is known but not there, with its id. They stand for themselves.
        notes: what else is worth knowing, a sentence each.
        layout: the name of its layout.
        because: what that was recognized by; empty where it was chosen by name.
    """

    videos: dict[str, VideoRecord]
    rejected: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    unpaired: dict[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    layout: str = ""
    because: str = ""

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

    @property
    def methods(self) -> list[str]:
        """The names of what made its fakes."""
        return sorted({v.method for v in self.videos.values() if v.method is not None})

    @property
    def compressions(self) -> list[str]:
        return sorted({v.compression for v in self.videos.values() if v.compression is not None})

    @property
    def splits(self) -> list[str]:
        """Its official splits, in the order train, val, test."""
        there = {v.split for v in self.videos.values()}
        return [split for split in SPLITS if split in there]

    @property
    def has_official_split(self) -> bool:
        """Whether it says what to train on, and what to validate or test on."""
        return TRAIN in self.splits and len(self.splits) > 1

    def select(
        self,
        methods: Collection[str] | None = None,
        compressions: Collection[str] | None = None,
        splits: Collection[str] | None = None,
    ) -> Dataset:
        """Return the videos of some methods, compressions and official splits. None takes all; names in any case.

        Choosing methods keeps the reals of the collections that their originals come from, all reals where none of
        these is there. A fake whose original is left out stands for itself.

        Raises:
            DatasetError: a name that no video has; the message lists the known ones.
        """
        videos = list(self.videos.values())
        if methods is not None:
            chosen = _known("method", methods, self.methods)
            sources = {v.source for v in videos if v.method in chosen} & {v.source for v in self.originals}
            videos = [
                v for v in videos if v.method in chosen or (v.label == 0 and (not sources or v.source in sources))
            ]
        if compressions is not None:
            chosen = _known("compression", compressions, self.compressions)
            videos = [v for v in videos if v.compression in chosen]
        if splits is not None:
            chosen = _known("split", splits, self.splits)
            videos = [v for v in videos if v.split in chosen]
        left = {v.video_id for v in videos}
        lost = {v.video_id for v in videos if v.original in self.videos and v.original not in left}
        kept = [replace(v, original=None) if v.video_id in lost else v for v in videos]
        return replace(self, videos={v.video_id: v for v in kept})


def _known(kind: str, names: Iterable[str], known: Sequence[str]) -> set[str]:
    """The names as the data set writes them. Raises DatasetError: one that it does not have."""
    by_name = {name.casefold(): name for name in known}
    for name in names:
        if name.casefold() not in by_name:
            there = f"expected one of {', '.join(known)}" if known else f"the data set names no {kind}"
            raise DatasetError(f"{kind} {name!r:.100} unknown; {there}")
    return {by_name[name.casefold()] for name in names}


def families_of(made_from: Mapping[str, str]) -> dict[str, str]:
    """Return video id -> the id of the first original, which fakes and fakes of these share.

    Args:
        made_from: video id -> what it was made from (itself, for an original).
    """

    def first(video_id: str) -> str:
        line = [video_id]
        while (original := made_from.get(line[-1], line[-1])) not in line:
            line.append(original)
        # It ends in a video that is its own original, or in a circle that names no first one.
        return min(line[line.index(original) :])

    return {video_id: first(video_id) for video_id in made_from}


def id_fault(video_id: str, name: str, original: str = "") -> str | None:
    """Say why no file can have this name, or no output be named after it; None if both can.

    Args:
        name: of the video's file.
        original: file name or id of its original.
    """
    if not is_plain_name(name):
        return f"'{escape(name)}' is not a plain file name; names may not leave the folder"
    for text, most in ((video_id, LONGEST_ID), (name, MOST_BYTES), (original, MOST_BYTES)):
        size = len(os.fsencode(text))
        if size > most:
            return f"{shorten(text)}: a name of {size} bytes; at most {most} fit on the disk"
    return None


def shorten(value: object, length: int = 80) -> str:
    """Return a value as an error shows it."""
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}..."


def build(
    videos: Iterable[VideoRecord],
    rejected: Mapping[str, str] | None = None,
    missing: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Dataset:
    """Return the data set of some videos: originals that are not among its reals are dropped and listed as unpaired.

    Raises:
        DatasetError: one id twice.
    """
    by_id: dict[str, VideoRecord] = {}
    for video in videos:
        if video.video_id in by_id:
            raise DatasetError(
                f"{video.path}: video id {video.video_id!r} is also {by_id[video.video_id].path}; "
                "ids must be unique in a data set"
            )
        by_id[video.video_id] = video
    reals = {video.video_id for video in by_id.values() if video.label == 0}
    unpaired = {v.video_id: v.original for v in by_id.values() if v.original is not None and v.original not in reals}
    by_id |= {video_id: replace(by_id[video_id], original=None) for video_id in unpaired}
    return Dataset(by_id, dict(rejected or {}), dict(missing or {}), unpaired, tuple(notes))
