"""An owner's data samples: folders that list crops and labels; written, read, and checked against what they say.

sample.json  owner, kind, the data root, how its faces were found, and how many crops and videos there are
folds.csv    the crops, a part of the data root's fold table
crops/ ...   the crops' files themselves, in samples that were made to travel (`copy`)
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import COLUMNS, CropFiles, read_folds
from deepfake.storage import atomic
from deepfake.storage.names import is_plain_name
from deepfake.storage.schema import read_json_as
from deepfake.storage.tables import write_table
from federated.samples.splitting import KINDS
from training.datasets.crop_reading import CropReader, FolderCrops, as_rows

FORMAT = 1
SAMPLE_JSON = "sample.json"
INSIDE = "."
"""The `root` of a sample that holds its files itself."""


class SampleError(ValueError):
    """A data sample cannot be used; the message names the folder and the reason."""


@dataclass(frozen=True)
class Description:
    """What a sample says of itself.

    Attributes:
        owner, kind: whose it is; one of `federated.samples.splitting.KINDS`.
        root: the data root with the files, or `INSIDE`.
        crops_dir: the crops' folder below it.
        detection: the settings in the data set's box files, None without any.
        crops, videos, real_crops, fake_crops, originals: how many.
    """

    owner: str
    kind: str
    root: str
    crops_dir: str
    detection: dict[str, Any] | None
    crops: int
    videos: int
    real_crops: int
    fake_crops: int
    originals: int

    @staticmethod
    def of(table: pd.DataFrame, owner: str, kind: str, root: str, crops_dir: str, detection: Any) -> Description:
        return Description(owner, kind, root, crops_dir, detection, **counts(table))


def counts(table: pd.DataFrame) -> dict[str, int]:
    """How many crops, videos and originals a fold table has."""
    return {
        "crops": len(table),
        "videos": table["video"].nunique(),
        "real_crops": int((table["label"] == 0).sum()),
        "fake_crops": int((table["label"] == 1).sum()),
        "originals": table["original"].nunique(),
    }


class OwnersCrops:
    """A `CropReader` over several samples; a video belongs to one of them."""

    def __init__(self, reader_of: dict[str, CropReader]) -> None:
        self._reader_of = reader_of

    def name(self, row: Any) -> str:
        return self._reader_of[row.video].name(row)

    def image(self, row: Any) -> np.ndarray:
        return self._reader_of[row.video].image(row)

    def points(self, row: Any) -> np.ndarray | None:
        return self._reader_of[row.video].points(row)

    def mask(self, row: Any, shape: tuple[int, int]) -> np.ndarray:
        return self._reader_of[row.video].mask(row, shape)

    def has_points(self, rows: pd.DataFrame) -> np.ndarray:
        return self._by_video(rows, lambda reader, own: reader.has_points(own))

    def has_mask(self, rows: pd.DataFrame) -> np.ndarray:
        return self._by_video(rows, lambda reader, own: reader.has_mask(own))

    def _by_video(self, rows: pd.DataFrame, has: Callable[[CropReader, pd.DataFrame], np.ndarray]) -> np.ndarray:
        found = np.zeros(len(rows), bool)
        for video, places in rows.groupby("video").indices.items():
            found[places] = has(self._reader_of[video], rows.iloc[places])
        return found

    def expect(self, rows: pd.DataFrame) -> None:
        """Nothing has to be fetched."""


@dataclass(frozen=True)
class OwnerData:
    """Samples as algorithm and metrics take them.

    Attributes:
        table: their crops (columns of the fold table), one sample after the other.
        crops: reads these rows' files.
        owner: whose they are; several names, joined, for pooled data.
        detection: how faces were found.
        fingerprint: changes with the samples' content.
    """

    table: pd.DataFrame
    crops: CropReader
    owner: str
    kind: str
    detection: dict[str, Any] | None
    fingerprint: str


def write_sample(folder: Path, table: pd.DataFrame, description: Description, copy: bool = False) -> None:
    """Writes a sample; with `copy` its crops, landmarks and masks, too. It appears whole or not at all.

    Raises:
        SampleError: a row names no crop.
        OSError: a crop is missing, or the disk is full.
    """
    layout = DataRoot(Path(description.root), description.crops_dir)
    files = [_files(layout, row, folder) for row in as_rows(table)]
    with atomic.atomic_folder(folder) as partial:
        if copy:
            _copy(files, layout.root, partial)
        content = {"format": FORMAT, **asdict(description), **({"root": INSIDE} if copy else {})}
        (partial / SAMPLE_JSON).write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
        write_table(DataRoot(partial).folds_csv, COLUMNS, table[list(COLUMNS)].to_numpy().tolist())


def check_sample(folder: Path, description: Description, table: pd.DataFrame) -> None:
    """Raises SampleError unless the table is what the description says, has reals and fakes, and its crops are there
    (of each video one is looked for)."""
    for name, found in counts(table).items():
        if found != (declared := getattr(description, name)):
            raise SampleError(f"{folder}: {found} {name.replace('_', ' ')}, but its description says {declared}")
    if description.crops == 0:
        raise SampleError(f"{folder}: {description.owner} has no faces to {description.kind} with")
    _check_labels(table, description.owner, description.kind)
    layout = _layout(folder, description)
    for row in as_rows(table):
        _files(layout, row, folder)
    for row in as_rows(table.drop_duplicates("video")):
        if not (crop := _files(layout, row, folder).crop).is_file():
            raise SampleError(f"{folder}: {crop}: no such file; is {layout.root} where it was?")


def open_samples(folders: Sequence[Path | str]) -> OwnerData:
    """Samples of one kind, of one owner or pooled.

    Raises:
        SampleError: one of them is damaged, does not fit its description (`check_sample`), holds a video of another,
            or is of another kind or detector.
    """
    if not folders:
        raise SampleError("no data samples given")
    parts = [_read(Path(folder)) for folder in folders]
    first = parts[0][0]
    tables, owners = [], []
    reader_of: dict[str, CropReader] = {}
    for folder, (description, table) in zip(folders, parts):
        if description.kind != first.kind:
            raise SampleError(f"{folder}: to {description.kind} with, and {folders[0]} to {first.kind}")
        if description.detection != first.detection:
            raise SampleError(f"{folder}: its faces were found with other settings than those of {folders[0]}")
        if twice := sorted(set(table["video"]) & reader_of.keys()):
            raise SampleError(f"{folder}: video {twice[0]} is in another sample, too")
        reader = FolderCrops(_layout(Path(folder), description))
        reader_of.update(dict.fromkeys(table["video"].unique(), reader))
        tables.append(table)
        owners.append(description.owner)
    table = pd.concat(tables, ignore_index=True)
    named = "+".join(dict.fromkeys(owners))
    return OwnerData(table, OwnersCrops(reader_of), named, first.kind, first.detection, _fingerprint(folders))


def _read(folder: Path) -> tuple[Description, pd.DataFrame]:
    description = _description(folder / SAMPLE_JSON)
    try:
        table = read_folds(DataRoot(folder).folds_csv)
    except ValueError as error:
        raise SampleError(str(error)) from error
    check_sample(folder, description, table)
    return description, table


def _description(path: Path) -> Description:
    description = read_json_as(path, Description, "description of a data sample", SampleError, FORMAT)
    for name in (description.owner, description.crops_dir):
        if not is_plain_name(name):  # the owner's names a log
            raise SampleError(f"{path}: {name!r} is not a plain name")
    if description.kind not in KINDS:
        raise SampleError(f"{path}: kind {description.kind!r}; expected {' or '.join(KINDS)}")
    return description


def _layout(folder: Path, description: Description) -> DataRoot:
    # Joined to an absolute path, a folder is forgotten.
    return DataRoot(folder / description.root, description.crops_dir)


def _files(layout: DataRoot, row: Any, folder: Path) -> CropFiles:
    try:
        return CropFiles.of(layout, row)
    except ValueError as error:
        raise SampleError(f"{folder}: {error}") from error


def _copy(files: Sequence[CropFiles], root: Path, target: Path) -> None:
    for crop in files:
        for path in (crop.crop, crop.landmarks, crop.diff):
            if path == crop.crop or path.exists():  # a crop has to be there
                copied = target / path.relative_to(root)
                copied.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copied)


def _check_labels(table: pd.DataFrame, owner: str, kind: str) -> None:
    labels = set(table["label"])
    if not labels <= {0, 1}:
        raise SampleError(f"{owner}: labels {sorted(labels)} to {kind} with; expected 0 for real and 1 for fake")
    if len(labels) == 1:
        there, missing = ("fake", "real") if labels == {1} else ("real", "fake")
        raise SampleError(
            f"{owner}: only {there} videos to {kind} with; a network that is shown one class learns to name it, and "
            f"its mistakes cannot be measured. Give {owner} {missing} ones, or leave the owner out"
        )


def _fingerprint(folders: Sequence[Path | str]) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for path in (Path(folder) / SAMPLE_JSON, DataRoot(Path(folder)).folds_csv):
            digest.update(path.read_bytes())
    return digest.hexdigest()
