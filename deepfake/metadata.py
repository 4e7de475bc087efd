"""DFDC's `metadata.json` -> video records, originals and (original, fake) pairs.

A data set is a folder of parts (`dfdc_train_part_N`, or any folder that holds a `metadata.json`), each of
which maps a video's file name to its label, split and, for fakes, the original it was made from.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from deepfake.paths import METADATA_NAME, is_plain_name

REAL, FAKE = "REAL", "FAKE"
LABEL_VALUES = {REAL: 0, FAKE: 1}


class MetadataError(ValueError):
    """A data set's metadata cannot be used; the message names the file, the key and what was expected."""


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
                "split by original instead"
            )
        return int(match[1])

    @property
    def identity(self) -> str:
        """The original's id: what a real video and all its fakes share."""
        return self.original if self.original is not None else self.video_id


@dataclass(frozen=True)
class Dataset:
    """All videos of a data root, by id, in a stable order."""

    videos: dict[str, VideoRecord]

    @property
    def originals(self) -> list[VideoRecord]:
        return [v for v in self.videos.values() if v.label == 0]

    @property
    def fakes(self) -> list[VideoRecord]:
        return [v for v in self.videos.values() if v.label == 1]

    @property
    def pairs(self) -> list[tuple[VideoRecord, VideoRecord]]:
        """(original, fake) for every fake whose original is a real video of the data set."""
        return [(self.videos[f.identity], f) for f in self.fakes if self._has_original(f)]

    @property
    def orphans(self) -> list[VideoRecord]:
        """Fakes whose original is not in the data set, or is itself a fake: no boxes can be had for them."""
        return [f for f in self.fakes if not self._has_original(f)]

    def _has_original(self, fake: VideoRecord) -> bool:
        original = self.videos.get(fake.identity)
        return original is not None and original.label == LABEL_VALUES[REAL]


def read_dataset(root: Path) -> Dataset:
    """All videos named by the `metadata.json` files in `root` and in the folders directly below it.

    Raises:
        MetadataError: none found, one malformed, or one id in two places.
    """
    root = Path(root)
    if not root.is_dir():
        raise MetadataError(f"{root}: no such folder; expected a data set in DFDC layout")
    files = [p for p in (root / METADATA_NAME, *sorted(root.glob(f"*/{METADATA_NAME}"))) if p.is_file()]
    if not files:
        raise MetadataError(
            f"{root}: no {METADATA_NAME} in it or in a folder below it; expected DFDC layout "
            f"({root.name}/dfdc_train_part_N/{METADATA_NAME} beside the videos)"
        )
    videos: dict[str, VideoRecord] = {}
    for file in files:
        for record in read_metadata(file):
            if record.video_id in videos:
                raise MetadataError(
                    f"{file}: video id {record.video_id!r} is also {videos[record.video_id].path}; "
                    "ids (file names without suffix) must be unique in a data set"
                )
            videos[record.video_id] = record
    return Dataset(videos)


def read_metadata(file: Path, need_originals: bool = True) -> list[VideoRecord]:
    """The records of one `metadata.json`, in its order.

    Args:
        need_originals: a fake that names no original is an error.

    Raises:
        MetadataError: not JSON, not a mapping, an unknown label, or a name that leaves the folder.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise MetadataError(f"{file}: not readable as JSON: {error}") from error
    if not isinstance(content, dict):
        raise MetadataError(f"{file}: expected a mapping from file name to label, found {type(content).__name__}")
    return [_record(file, name, entry, need_originals) for name, entry in content.items()]


def _record(file: Path, name: str, entry: object, need_original: bool) -> VideoRecord:
    if not is_plain_name(name):
        raise MetadataError(f"{file}: {name!r} is not a plain file name; names may not leave the folder")
    value = entry.get("label") if isinstance(entry, dict) else entry
    if not isinstance(entry, dict) or not isinstance(value, str) or value not in LABEL_VALUES:
        raise MetadataError(f"{file}: {name!r} has label {value!r}; expected {REAL!r} or {FAKE!r}")
    label = LABEL_VALUES[value]
    original = entry.get("original") if label == 1 else None
    wanted = label == 1 and (need_original or original is not None)
    if wanted and (not isinstance(original, str) or not is_plain_name(original)):
        raise MetadataError(
            f"{file}: {name!r} is fake and names {original!r} as its original; expected a plain file name"
        )
    return VideoRecord(
        video_id=Path(name).stem,
        path=file.parent / name,
        label=label,
        original=Path(original).stem if original is not None else None,
    )
