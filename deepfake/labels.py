"""Which videos are fake: labels to judge scores by, from a data set in DFDC layout, a metadata.json or a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deepfake.metadata import LABEL_VALUES, VideoRecord, read_dataset, read_metadata
from deepfake.paths import METADATA_NAME
from deepfake.tables import TableError, read_table

COLUMNS: dict[str, type] = {"filename": str, "label": str}
_VALUES = {**LABEL_VALUES, **{str(value): value for value in LABEL_VALUES.values()}}


@dataclass(frozen=True)
class VideoLabel:
    """`label` is 0 for real and 1 for fake; `identity` is what an original and all its fakes share."""

    label: int
    identity: str


@dataclass(frozen=True)
class Labels:
    """Labels by the videos' file names, and the files that they were read from."""

    videos: dict[str, VideoLabel]
    files: list[Path]


def read_labels(path: Path) -> Labels:
    """Reads a folder in DFDC layout, a metadata.json, or a .csv with `filename,label` (0, 1, REAL or FAKE).

    A table names no originals: each of its videos has an identity of its own.

    Raises:
        ValueError: missing, of another kind, malformed, an unknown label, or one name twice.
    """
    if path.is_dir():
        records = read_dataset(path).videos.values()
        return Labels(_of_records(records), sorted({video.path.parent / METADATA_NAME for video in records}))
    if path.suffix.lower() == ".json":
        return Labels(_of_records(read_metadata(path, need_originals=False)), [path])
    if path.suffix.lower() == ".csv":
        return Labels(_of_table(path), [path])
    raise ValueError(f"{path}: expected labels: a {METADATA_NAME}, a .csv with filename,label, or a folder of videos")


def _of_records(records: Iterable[VideoRecord]) -> dict[str, VideoLabel]:
    return {video.path.name: VideoLabel(video.label, video.identity) for video in records}


def _of_table(path: Path) -> dict[str, VideoLabel]:
    found: dict[str, VideoLabel] = {}
    for name, value in read_table(path, COLUMNS, "table of labels").itertuples(index=False):
        label = _VALUES.get(value.strip().upper())
        if label is None:
            raise TableError(f"{path}: {name!r} has label {value!r}; expected one of {', '.join(_VALUES)}")
        if name in found:
            raise TableError(f"{path}: {name!r} is there twice")
        found[name] = VideoLabel(label, name)
    return found
