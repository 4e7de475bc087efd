"""Which fold a video belongs to, the check that no original and fake are apart, and `folds.csv`."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import get_type_hints

import pandas as pd

from deepfake.metadata import VideoRecord
from deepfake.tables import read_table, write_table

N_SPLITS = 16
SEED = 777
DFDC_PARTS = 50


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
                f"{video.path.parent}: part {video.part} of a data set of {parts} parts; split by original instead"
            )
        folds[video.video_id] = min(video.part // size, n_splits - 1)
    return folds


def folds_by_original(videos: Iterable[VideoRecord], n_splits: int = N_SPLITS, seed: int = SEED) -> dict[str, int]:
    """Video id -> fold: originals are shuffled and dealt out, each with all its fakes. Fold sizes differ by one.

    Raises:
        FoldError: fewer originals than splits.
    """
    videos = list(videos)
    identities = sorted({video.identity for video in videos})
    if not 1 <= n_splits <= len(identities):
        raise FoldError(f"{n_splits} splits of {len(identities)} originals: expected 1 to {len(identities)}")
    random.Random(seed).shuffle(identities)
    dealt = {identity: i % n_splits for i, identity in enumerate(identities)}
    return {video.video_id: dealt[video.identity] for video in videos}


def check_leaks(folds: dict[str, int], pairs: Iterable[tuple[VideoRecord, VideoRecord]]) -> None:
    """Raises FoldError if an original and one of its fakes are in two folds."""
    for original, fake in pairs:
        if folds[original.video_id] != folds[fake.video_id]:
            raise FoldError(
                f"{fake.path}: in fold {folds[fake.video_id]}, but its original {original.path} is in fold "
                f"{folds[original.video_id]}; split by original instead"
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
