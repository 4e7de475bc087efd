"""The parts that DFDC comes in: a downloaded archive unpacked and checked, and its videos removed when they are done.

A part is whole or not there: DATA_ROOT/dfdc_train_part_N appears once all of the archive was read, its checksums agree
and it holds the videos that its metadata.json names.
"""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
from pathlib import Path, PurePosixPath

from deepfake.datasets.data_root import DataRoot, is_there, part_folder
from deepfake.datasets.layouts.dfdc import read_metadata
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import DatasetError
from deepfake.datasets.stages import STAGES
from deepfake.storage import atomic
from deepfake.storage.disk_full import out_of_space
from deepfake.storage.names import is_plain_name
from deepfake.storage.own_folders import METADATA_NAME


class PartError(ValueError):
    """An archive is not a part of the data set; the message tells the cure."""


def listed_size(listing: str, name: str) -> int | None:
    """A file's size in bytes by Kaggle's list of files (CSV: name, size, ...); None if that gives none.

    Older clients print rounded sizes, which tell nothing.
    """
    for row in csv.reader(io.StringIO(listing)):
        if len(row) > 1 and row[0] == name and row[1].isdecimal():
            return int(row[1])
    return None


def unpack_part(archive: Path, folder: Path, size: int | None = None) -> int:
    """Unpacks a part's zip file into its folder, atomically, and returns how many videos it has.

    Args:
        size: of the archive in bytes, if known.

    Raises:
        PartError: incomplete or damaged, without metadata.json, or without a video that it names.
        OutOfSpace: the disk is full.
    """
    if not archive.is_file():
        raise PartError(f"{archive}: no such file; download it again")
    if size is not None and archive.stat().st_size != size:
        raise PartError(f"{archive}: {archive.stat().st_size} bytes, but {size} are listed; download it again")
    try:
        with out_of_space(folder), zipfile.ZipFile(archive) as file, atomic.atomic_folder(folder) as unpacked:
            for entry in file.infolist():
                if not entry.is_dir():
                    _unpack(file, entry, unpacked)
            return check_part(unpacked)
    except (zipfile.BadZipFile, EOFError, DatasetError) as error:
        reason = str(error).replace(str(atomic.partial_path(folder)), archive.name)
        raise PartError(f"{archive}: damaged ({reason}); remove it and download it again") from error


def _unpack(file: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    """One file, without the folders that it is in; its checksum is compared on the way."""
    name = PurePosixPath(entry.filename).name
    if not is_plain_name(name):
        raise DatasetError(f"{entry.filename!r} is not a plain file name")
    with file.open(entry) as source, (folder / name).open("xb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def check_part(folder: Path) -> int:
    """How many videos a part has.

    Raises:
        DatasetError: no metadata.json, a bad one, or a video that it names is missing or empty.
    """
    videos = read_metadata(folder / METADATA_NAME)
    for video in videos:
        if not video.path.is_file() or video.path.stat().st_size == 0:
            raise DatasetError(f"{METADATA_NAME} names {video.path.name}, which is missing or empty")
    return len(videos)


def has_videos(root: Path, number: int) -> bool:
    """Whether videos of a part are still there."""
    return any(is_there(video.path) for video in read_metadata(part_folder(root, number) / METADATA_NAME))


def remove_done_videos(root: Path, number: int, crops_name: str = "crops") -> tuple[int, int]:
    """Removes the videos of a part that every step has done; metadata.json stays.

    Returns how many were removed, and how many were left because a step has not done them.
    """
    layout, dataset = DataRoot(root, crops_name), read_dataset(root)
    own = [video for video in dataset.videos.values() if video.path.parent == part_folder(root, number)]
    undone = {
        video.video_id
        for stage in STAGES
        if stage.needed
        for video in stage.videos(dataset)
        if not is_there(stage.output_of(layout, video.video_id))
    }
    undone |= {video.video_id for video in dataset.orphans}
    there = [video for video in own if is_there(video.path)]
    done = [video for video in there if video.video_id not in undone]
    for video in done:
        video.path.unlink()
    return len(done), len(there) - len(done)
