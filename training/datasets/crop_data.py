"""Where a classifier's crops come from: a data root, or shards in a folder or behind a URL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import read_folds
from deepfake.datasets.shard_reader import CACHE_GIB, ShardCache, ShardReader, default_cache_dir, is_packed, open_index
from deepfake.faces.boxes import first_settings
from training.datasets.crop_reading import CropReader, FolderCrops, ShardCrops
from training.datasets.shard_sampling import WINDOW

FOLDS_CSV = "folds.csv"


@dataclass(frozen=True)
class CropData:
    """A fold table (or an index of shards), what reads its rows' files, and how their faces were found.

    Attributes:
        source: names the table in messages.
        made_with: the settings in the data set's box files, None without any.
    """

    table: pd.DataFrame
    crops: CropReader
    source: str
    made_with: dict[str, Any] | None


def open_folder(root: Path, folds_csv: Path | None, crops_name: str) -> CropData:
    """A data root; its table is the one given, or its own, or the one in the current folder.

    Raises:
        ValueError: the table, or the first box file, cannot be used.
    """
    layout = DataRoot(root, crops_name)
    chosen = folds_csv or (layout.folds_csv if layout.folds_csv.exists() else Path(FOLDS_CSV))
    table = read_folds(chosen)
    return CropData(table, FolderCrops(layout), str(chosen), first_settings(layout.boxes, table["original"]))


def open_shards(location: str | Path, cache_dir: Path | None = None, cache_gib: float = CACHE_GIB) -> CropData:
    """Shards; copies of remote ones are kept in `cache_dir`, `cache_gib` at most.

    Raises:
        ValueError: the index cannot be read or used, or the cache is too small for the shards read at a time.
    """
    folder, index = open_index(location)
    limit = int(cache_gib * 2**30)
    needed = sum(sorted(shard.bytes for shard in index.shards)[-(WINDOW + 1) :])
    if folder.is_remote and limit < needed:
        raise ValueError(
            f"--cache-gib {cache_gib:g}: {WINDOW + 1} shards of {location} have to find room at a time, which takes "
            f"{needed / 2**30:.2g}"
        )
    reader = ShardReader(folder, index, ShardCache(cache_dir or default_cache_dir(), limit))
    return CropData(index.table, ShardCrops(reader), str(location), index.detection)


def open_data(
    location: str | Path, folds_csv: Path | None, crops_name: str, cache_dir: Path | None, cache_gib: float
) -> CropData:
    """What `--data-dir` names. Raises ValueError as the two above."""
    if not is_packed(location):
        return open_folder(Path(location), folds_csv, crops_name)
    if folds_csv is not None:
        raise ValueError(f"--folds-csv: {location} holds shards, which have a table of their own")
    return open_shards(location, cache_dir, cache_gib)
