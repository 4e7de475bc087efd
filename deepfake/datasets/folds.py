"""Which fold a video belongs to, the check that no original and fake are apart, and `folds.csv`."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd

from deepfake.datasets.data_root import DataRoot, diff_name, landmark_name, parse_crop_name
from deepfake.datasets.label_words import LABEL_VALUES, TEST, TRAIN, VAL
from deepfake.datasets.records import SPLIT_BY_ORIGINAL, Dataset, VideoRecord, families_of
from deepfake.storage.names import is_plain_name
from deepfake.storage.tables import read_table, write_table

N_SPLITS = 16
SEED = 777
DFDC_PARTS = 50

MOST_UNEVEN = 4
"""The largest fold may have this many times the videos of the smallest; DFDC's last fold has five parts, not three."""

_SHOWN_FOLDS = 4


@dataclass(frozen=True)
class FoldRow:
    """One crop in the fold table. `label` is 1 for fake; `original` is the id of the video that the boxes came from."""

    video: str
    file: str
    label: int
    original: str
    frame: int
    fold: int


COLUMNS: dict[str, type] = get_type_hints(FoldRow)


@dataclass(frozen=True)
class CropFiles:
    """The files that belong to one row of the fold table."""

    crop: Path
    landmarks: Path
    diff: Path

    @staticmethod
    def of(layout: DataRoot, row: Any) -> CropFiles:
        """Raises ValueError if the row does not name a crop below the data root."""
        parsed = parse_crop_name(row.file)
        if parsed is None or not all(is_plain_name(name) for name in (row.video, row.original)):
            raise ValueError(f"fold table: {row.video}/{row.file} (original {row.original}) does not name a crop")
        return CropFiles(
            crop=layout.crops / row.video / row.file,
            landmarks=layout.landmarks / row.original / landmark_name(*parsed),
            diff=layout.diffs / row.video / diff_name(*parsed),
        )


class FoldError(ValueError):
    """Folds cannot be made; the message says why."""


def folds_by_part(videos: Iterable[VideoRecord], n_splits: int = N_SPLITS, parts: int = DFDC_PARTS) -> dict[str, int]:
    """Video id -> fold: `parts // n_splits` consecutive part folders a fold, the rest in the last (first place).

    Raises:
        FoldError: more splits than parts, or a part number that the data set cannot have.
    """
    if not 1 <= n_splits <= parts:
        raise FoldError(f"{n_splits} splits of {parts} parts: expected 1 to {parts}")
    size = parts // n_splits
    folds = {}
    for video in videos:
        if video.part >= parts:
            raise FoldError(
                f"{video.path.parent}: part {video.part} of a data set of {parts} parts; split by original instead "
                f"({SPLIT_BY_ORIGINAL})"
            )
        folds[video.video_id] = min(video.part // size, n_splits - 1)
    return folds


def families(videos: Iterable[VideoRecord]) -> dict[str, str]:
    """Video id -> its family: the first original or the group that it, its fakes and fakes of these share."""
    return families_of({video.video_id: video.group for video in videos})


def folds_by_original(videos: Iterable[VideoRecord], n_splits: int = N_SPLITS, seed: int = SEED) -> dict[str, int]:
    """Video id -> fold: originals are shuffled and dealt out, each with all its fakes.

    Folds differ by one original at most, also counting only those with real videos, or only those with fakes.

    Raises:
        FoldError: fewer originals than splits.
    """
    videos = list(videos)
    family_of = families(videos)
    labels = _labels_of(videos, family_of)
    originals = sorted(labels)
    if not 1 <= n_splits <= len(originals):
        raise FoldError(f"{n_splits} splits of {len(originals)} originals: expected 1 to {len(originals)}")
    random.Random(seed).shuffle(originals)
    # Reals alone, then reals with fakes, then fakes alone: what has a label stands in a row, so it is dealt out evenly.
    originals.sort(key=lambda original: min(labels[original]) + max(labels[original]))
    dealt = {original: i % n_splits for i, original in enumerate(originals)}
    return {video_id: dealt[family] for video_id, family in family_of.items()}


def _labels_of(videos: Iterable[VideoRecord], family_of: Mapping[str, str]) -> dict[str, set[int]]:
    """Return family -> the labels of its videos."""
    labels: dict[str, set[int]] = {}
    for video in videos:
        labels.setdefault(family_of[video.video_id], set()).add(video.label)
    return labels


def folds_by_official(videos: Iterable[VideoRecord], n_splits: int = N_SPLITS, seed: int = SEED) -> dict[str, int]:
    """Video id -> fold, for the official splits: val is fold 0 and train fold 1.

    Training validates on one fold and learns from all others, so test videos are in none, nor videos without a split.
    Without an official val, the videos of train are dealt out as `folds_by_original` does.

    Raises:
        FoldError: no video of train, or fewer originals than splits.
    """
    by_split: dict[str | None, list[VideoRecord]] = {}
    for video in videos:
        by_split.setdefault(video.split, []).append(video)
    if TRAIN not in by_split:
        raise FoldError("no video of the official split train; split by original instead")
    if VAL not in by_split:
        return folds_by_original(by_split[TRAIN], n_splits, seed)
    return {video.video_id: fold for fold, split in enumerate((VAL, TRAIN)) for video in by_split[split]}


def draw_share(families: Iterable[str], share: float, seed: int = SEED) -> set[str]:
    """`share` of the families, at random: at least one, and at least one is left.

    Raises:
        FoldError: a share that is none, or fewer than two families.
    """
    drawn = sorted(set(families))
    if not 0 < share < 1:
        raise FoldError(f"a share of {share}: expected more than 0 and less than 1")
    if len(drawn) < 2:
        raise FoldError(f"{len(drawn)} originals (with their fakes): two sets need 2 or more")
    random.Random(seed).shuffle(drawn)
    return set(drawn[: min(max(round(share * len(drawn)), 1), len(drawn) - 1)])


def draw_validation(videos: Sequence[VideoRecord], family_of: Mapping[str, str], share: float, seed: int) -> set[str]:
    """`draw_share` of the families of some videos; of reals and fakes separately where no family has both.

    Raises:
        FoldError: as `draw_share`.
    """
    labels = _labels_of(videos, family_of)
    kinds = [{family for family, its in labels.items() if its == {label}} for label in LABEL_VALUES.values()]
    if sum(map(len, kinds)) < len(labels) or min(map(len, kinds)) < 2:
        kinds = [set(labels)]
    return set().union(*(draw_share(kind, share, seed) for kind in kinds))


def describe_uneven(
    videos: Iterable[VideoRecord], folds: Mapping[str, int], n_splits: int, most_uneven: float = MOST_UNEVEN
) -> str | None:
    """Say in what the folds are too uneven to train and validate on each; None if they are not.

    Args:
        most_uneven: the largest fold may have this many times the videos of the smallest.
    """
    if n_splits == 1:
        return "with its only fold held out, no video is left to train on"
    counts = np.zeros((n_splits, 2), np.int64)
    for video in videos:
        counts[folds[video.video_id], video.label] += 1
    sizes = counts.sum(axis=1)
    used = np.flatnonzero(sizes)
    if len(used) < n_splits:
        shown = ", ".join(f"fold {fold}: {sizes[fold]}" for fold in used[:_SHOWN_FOLDS])
        return f"only {len(used)} of {n_splits} folds get videos ({shown}{', ...' * (len(used) > _SHOWN_FOLDS)})"
    for label, name in enumerate(("real", "fake")):
        if counts[:, label].min() == 0:
            return f"fold {counts[:, label].argmin()} gets no {name} video"
    least, most = sizes.argmin(), sizes.argmax()
    if sizes[most] > most_uneven * sizes[least]:
        return f"fold {most} gets {sizes[most]} videos, fold {least} only {sizes[least]}"
    return None


def most_even_splits(videos: Sequence[VideoRecord], most: int, seed: int = SEED) -> int | None:
    """Return into how many folds, 2 to `most`, `folds_by_original` deals the videos evenly; None if into no number."""
    for n_splits in range(min(most, len(set(families(videos).values()))), 1, -1):
        if describe_uneven(videos, folds_by_original(videos, n_splits, seed), n_splits) is None:
            return n_splits
    return None


def describe_split_leaks(dataset: Dataset) -> str | None:
    """Say which groups have videos in several official splits; None if none has."""
    splits: dict[str, set[str]] = {}
    for video in dataset.videos.values():
        if video.split is not None:
            splits.setdefault(video.group, set()).add(video.split)
    leaks = sorted(group for group, there in splits.items() if len(there) > 1)
    if not leaks:
        return None
    there = " and ".join(sorted(splits[leaks[0]]))
    return (
        f"{len(leaks)} of {len(splits)} groups (originals with their fakes, or persons) have videos in several "
        f"official splits, e.g. {leaks[0]!r:.100} in {there}; they are kept as published"
    )


def describe_test(dataset: Dataset, videos: Iterable[VideoRecord]) -> str | None:
    """Say how many of the videos that are trained on are of the official test set; None if none is."""
    count = sum(video.split == TEST for video in videos)
    if not count:
        return None
    others = " ".join(split for split in dataset.splits if split != TEST)
    cure = f"; --split {others} leaves them out" if others else ""
    return f"{count} videos of the official split test are in folds, and will be trained on{cure}"


def describe_unattributed(dataset: Dataset) -> str:
    """Say what fakes that name no original mean for a split by originals."""
    count = len(dataset.unattributed)
    return f"{count} fakes name no original; any of them may be split from the video it was made from"


def check_leaks(folds: Mapping[str, object], pairs: Iterable[tuple[VideoRecord, VideoRecord]]) -> None:
    """Raises FoldError if an original and one of its fakes are in two folds."""
    for original, fake in pairs:
        if folds[original.video_id] != folds[fake.video_id]:
            raise FoldError(
                f"{fake.path}: in fold {folds[fake.video_id]}, but its original {original.path} is in fold "
                f"{folds[original.video_id]}; split by original instead ({SPLIT_BY_ORIGINAL})"
            )


def write_folds(path: Path, rows: Sequence[FoldRow], seed: int = SEED) -> None:
    """Writes `folds.csv` atomically, the rows shuffled with `seed`: the same rows give the same file."""
    ordered = sorted(rows, key=astuple)
    random.Random(seed).shuffle(ordered)
    write_table(path, COLUMNS, [astuple(row) for row in ordered])


def read_folds(path: Path) -> pd.DataFrame:
    """The fold table with columns `COLUMNS`; video, file and original as str, the others as int.

    Raises:
        TableError: missing, not a table, or without one of the columns.
    """
    return read_table(path, COLUMNS, "fold table")
