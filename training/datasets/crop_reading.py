"""The files of one crop as arrays, from a data root or from shards: the same bytes, so the same samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from deepfake.datasets.data_root import DataRoot, diff_name, landmark_name, parse_crop_name
from deepfake.datasets.folds import CropFiles, FoldRow
from deepfake.datasets.shard_reader import ShardReader, first_uses
from deepfake.datasets.shards import ShardRow
from deepfake.faces.landmarks import parse_landmarks, read_landmarks
from deepfake.media.images import ImageError, decode_gray, decode_image, read_gray, read_image


def as_rows(table: pd.DataFrame) -> list[FoldRow]:
    """The rows of a fold table or of an index of shards, in a form that goes to other processes."""
    kind = ShardRow if "shard" in table.columns else FoldRow
    return [kind(*values) for values in zip(*(table[column.name] for column in fields(kind)))]


class CropReader(Protocol):
    """Reads what belongs to a row of the fold table; raises ImageError if a file is broken."""

    def name(self, row: Any) -> str:
        """The crop's file, for messages."""
        ...

    def image(self, row: Any) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        ...

    def points(self, row: Any) -> np.ndarray | None:
        """The landmarks, (5, 2) int16; None if the step that makes them found none."""
        ...

    def mask(self, row: Any, shape: tuple[int, int]) -> np.ndarray:
        """The difference mask, (H, W) uint8; zeros where the step that makes them made none."""
        ...

    def has_points(self, rows: pd.DataFrame) -> np.ndarray:
        """(n,) bool: which rows have landmarks."""
        ...

    def has_mask(self, rows: pd.DataFrame) -> np.ndarray:
        """(n,) bool: which rows have a difference mask."""
        ...

    def expect(self, rows: pd.DataFrame) -> None:
        """Tells which rows are going to be read, in order."""
        ...


class FolderCrops:
    """A `CropReader` of a data root."""

    def __init__(self, layout: DataRoot) -> None:
        self._layout = layout

    def name(self, row: Any) -> str:
        return str(self._files(row).crop)

    def image(self, row: Any) -> np.ndarray:
        return read_image(self._files(row).crop)

    def points(self, row: Any) -> np.ndarray | None:
        file = self._files(row).landmarks
        return _as_image_error(read_landmarks, file) if file.exists() else None

    def mask(self, row: Any, shape: tuple[int, int]) -> np.ndarray:
        file = self._files(row).diff
        return _of_shape(read_gray(file), shape, str(file)) if file.exists() else np.zeros(shape, np.uint8)

    def has_points(self, rows: pd.DataFrame) -> np.ndarray:
        return _listed(rows, "original", self._layout.landmarks, landmark_name)

    def has_mask(self, rows: pd.DataFrame) -> np.ndarray:
        return _listed(rows, "video", self._layout.diffs, diff_name)

    def expect(self, rows: pd.DataFrame) -> None:
        """Nothing has to be fetched."""

    def _files(self, row: Any) -> CropFiles:
        return CropFiles.of(self._layout, row)


class ShardCrops:
    """A `CropReader` of shards; rows have the columns of `deepfake.datasets.shards.ShardRow`."""

    def __init__(self, reader: ShardReader) -> None:
        self._reader = reader

    def name(self, row: Any) -> str:
        return f"{row.shard}:{row.video}/{row.file}"

    def image(self, row: Any) -> np.ndarray:
        return decode_image(self._reader.read(row.shard, row.crop_at, row.crop_size), self.name(row))

    def points(self, row: Any) -> np.ndarray | None:
        if not row.points_size:
            return None
        data = self._reader.read(row.shard, row.points_at, row.points_size)
        return _as_image_error(lambda bytes_: parse_landmarks(bytes_, f"{self.name(row)}: landmarks"), data)

    def mask(self, row: Any, shape: tuple[int, int]) -> np.ndarray:
        if not row.mask_size:
            return np.zeros(shape, np.uint8)
        source = f"{self.name(row)}: mask"
        return _of_shape(decode_gray(self._reader.read(row.shard, row.mask_at, row.mask_size), source), shape, source)

    def has_points(self, rows: pd.DataFrame) -> np.ndarray:
        return rows["points_size"].to_numpy() > 0

    def has_mask(self, rows: pd.DataFrame) -> np.ndarray:
        return rows["mask_size"].to_numpy() > 0

    def expect(self, rows: pd.DataFrame) -> None:
        self._reader.expect(first_uses(rows["shard"]))


def _listed(rows: pd.DataFrame, column: str, folder: Path, name: Callable[[int, int], str]) -> np.ndarray:
    """(n,) bool: for which rows `folder` has the file, in a folder that the column names.

    Each folder is listed once: asking for a million files one by one takes minutes.
    """
    found = np.zeros(len(rows), bool)
    files = rows["file"].to_numpy()
    for video, positions in rows.groupby(column).indices.items():
        inside = folder / str(video)
        names = {path.name for path in inside.iterdir()} if inside.is_dir() else set()
        crops = [parse_crop_name(file) for file in files[positions]]
        found[positions] = [crop is not None and name(*crop) in names for crop in crops]
    return found


def _as_image_error(read: Any, source: Path | bytes) -> np.ndarray:
    """Broken landmarks count as a broken crop: another sample takes its place."""
    try:
        return read(source)
    except ValueError as error:
        raise ImageError(str(error)) from error


def _of_shape(mask: np.ndarray, shape: tuple[int, int], source: str) -> np.ndarray:
    if mask.shape != shape:
        raise ImageError(f"{source}: {mask.shape} pixels beside a crop of {shape}; generate the diffs again")
    return mask
