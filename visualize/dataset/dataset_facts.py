"""Figures of a preprocessed data set: videos, crops, folds, face sizes, failures, disk use.

Quick on a large one: no video and no picture is decoded. Face sizes come from the box files, without those the
crops' sizes from the headers of some crops.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from deepfake.datasets.data_root import FAILURES_DIR, DataRoot, list_crops, parse_crop_name
from deepfake.datasets.folds import read_folds
from deepfake.datasets.progress import State, look_at
from deepfake.datasets.records import Dataset, VideoRecord
from deepfake.datasets.stages import STAGES
from deepfake.faces.boxes import read_boxes
from deepfake.parallel.workers import Failure, read_failures
from deepfake.storage import atomic

MOST_HEADERS = 2000
"""Crops whose headers are read where there are no box files."""


@dataclass(frozen=True)
class Part:
    """The videos of one folder, which is named from the one above all of them."""

    name: str
    reals: int
    fakes: int
    missing: int
    bytes: int


@dataclass(frozen=True)
class FolderUse:
    """What a folder holds: `pictures` counts crops by video (of other folders: all files)."""

    name: str
    files: int
    bytes: int
    pictures: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class FoldCount:
    """One fold of the fold table."""

    fold: int
    real_videos: int
    fake_videos: int
    real_crops: int
    fake_crops: int


@dataclass(frozen=True)
class Folds:
    """The fold table's figures, or in `problem` why there are none.

    Attributes:
        leaks: originals and fakes that are in two folds.
        rows: crops in the table.
        on_disk: crops on disk of the videos in the table.
    """

    problem: str = ""
    counts: list[FoldCount] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    rows: int = 0
    on_disk: int = 0


@dataclass(frozen=True)
class Faces:
    """Sizes of faces, or of crops where there are no box files.

    Attributes:
        from_boxes: the sizes are those of boxes; else those of crops, a margin wider.
        sides: longer side of each, in pixels.
        scores: of the detector, 0..1, where it gave some.
        per_frame: number of faces -> number of frames.
        frame_sizes: (width, height) -> number of videos.
        detectors: how the boxes were made -> number of videos.
        files: files that were read.
        damaged: what is wrong with files that could not be.
    """

    from_boxes: bool
    sides: np.ndarray
    scores: np.ndarray
    per_frame: Counter[int]
    frame_sizes: Counter[tuple[int, int]]
    detectors: Counter[str]
    files: int
    damaged: list[str]


@dataclass(frozen=True)
class Facts:
    """All that the page of a data set tells."""

    root: Path
    dataset: Dataset
    parts: list[Part]
    missing_videos: list[str]
    progress: list[State]
    crops: FolderUse
    disk: list[FolderUse]
    folds: Folds
    faces: Faces
    failures: dict[str, list[Failure]]
    damaged_lists: list[str]

    def crops_of(self, label: int) -> list[int]:
        """The number of crops of each video of a label that has a folder of crops."""
        videos = self.dataset.videos
        return [n for video, n in self.crops.pictures.items() if video in videos and videos[video].label == label]


def gather_facts(layout: DataRoot, dataset: Dataset, folds_csv: Path) -> Facts:
    """Counts what there is below a data root. Damage is listed in the facts and stops nothing."""
    crops = measure_folder("crops", layout.crops, crops_only=True)
    others = ("boxes", "landmarks", "diffs", "images", "compressed")
    folders = [crops, *(measure_folder(name, getattr(layout, name)) for name in others)]
    parts, missing = _parts(dataset)
    videos = FolderUse("videos", len(dataset.videos) - len(missing), sum(part.bytes for part in parts))
    failures, damaged = _failures(layout)
    return Facts(
        root=layout.root,
        dataset=dataset,
        parts=parts,
        missing_videos=missing,
        progress=[look_at(stage, layout, dataset) for stage in STAGES if stage.needed],
        crops=crops,
        disk=[videos, *(folder for folder in folders if folder.files)],
        folds=_folds(dataset, folds_csv, crops),
        faces=_faces_from_boxes(layout, dataset) or _sizes_from_crops(layout, crops),
        failures=failures,
        damaged_lists=damaged,
    )


def measure_folder(name: str, folder: Path, crops_only: bool = False) -> FolderUse:
    """Counts files and bytes of a folder with all below it; links to folders are not followed."""
    files, size, pictures = 0, 0, {}
    walk = os.walk(folder)
    for here, _, names in tqdm(walk, desc=f"counting {name}", unit="folder", disable=None, leave=False):
        files += len(names)
        size += sum(Path(here, file).lstat().st_size for file in names)
        if Path(here).parent == folder:
            pictures[Path(here).name] = sum(not crops_only or parse_crop_name(file) is not None for file in names)
    return FolderUse(name, files, size, pictures)


def _parts(dataset: Dataset) -> tuple[list[Part], list[str]]:
    """The folders of the videos by name, and the ids of videos without a file."""
    by_folder: dict[Path, list[VideoRecord]] = {}
    for video in dataset.videos.values():
        by_folder.setdefault(video.path.parent, []).append(video)
    above = os.path.commonpath([folder.parent for folder in by_folder]) if by_folder else ""
    parts, missing = [], []
    for folder, videos in sorted(by_folder.items()):
        sizes = [_size(video.path) for video in videos]
        absent = [video.video_id for video, size in zip(videos, sizes) if size is None]
        fakes = sum(video.label for video in videos)
        size = sum(size or 0 for size in sizes)
        parts.append(Part(folder.relative_to(above).as_posix(), len(videos) - fakes, fakes, len(absent), size))
        missing += absent
    return parts, missing


def _size(path: Path) -> int | None:
    """The bytes of a video, or of a folder of pictures; None if it is not there."""
    try:
        return sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size
    except OSError:
        return None


def _folds(dataset: Dataset, folds_csv: Path, crops: FolderUse) -> Folds:
    if not folds_csv.exists():
        return Folds(f"There is no {folds_csv.name} yet: run generate_folds.py.")
    try:
        table = read_folds(folds_csv)
    except ValueError as error:
        return Folds(str(error))
    fold_of = dict(zip(table["video"], table["fold"]))
    leaks = sorted(
        fake.video_id
        for original, fake in dataset.pairs
        if len({fold_of[video.video_id] for video in (original, fake) if video.video_id in fold_of}) > 1
    )
    counts = [_count_fold(int(fold), rows) for fold, rows in table.groupby("fold")]
    on_disk = sum(crops.pictures.get(video, 0) for video in fold_of)
    return Folds("", counts, leaks, len(table), on_disk)


def _count_fold(fold: int, rows: pd.DataFrame) -> FoldCount:
    reals, fakes = rows[rows["label"] == 0], rows[rows["label"] == 1]
    return FoldCount(fold, reals["video"].nunique(), fakes["video"].nunique(), len(reals), len(fakes))


def _faces_from_boxes(layout: DataRoot, dataset: Dataset) -> Faces | None:
    """What the originals' box files say; None if there is no box file."""
    sides: list[float] = []
    scores: list[float] = []
    per_frame, frame_sizes, detectors = Counter[int](), Counter[tuple[int, int]](), Counter[str]()
    files, damaged = 0, []
    for video in tqdm(dataset.sources, desc="reading boxes", unit="video", disable=None, leave=False):
        file = layout.boxes_file(video.video_id)
        if not file.exists():
            continue
        files += 1
        try:
            boxes = read_boxes(file)
        except ValueError as error:
            damaged.append(str(error))
            continue
        per_frame.update(len(faces) for faces in boxes.frames.values())
        found = [face for faces in boxes.frames.values() for face in faces]
        sides += [max(face.box[2] - face.box[0], face.box[3] - face.box[1]) for face in found]
        scores += [face.score for face in found if face.score is not None]
        if boxes.size is not None:
            frame_sizes[boxes.size[1], boxes.size[0]] += 1
        detectors[_describe(boxes.settings)] += 1
    if not files:
        return None
    return Faces(True, np.array(sides), np.array(scores), per_frame, frame_sizes, detectors, files, damaged)


def _describe(settings: dict) -> str:
    if settings.get("layout") == "published":
        return "published layout"
    known = [str(settings[name]) for name in ("detector", "preset") if name in settings]
    if "every" in settings:
        known.append(f"one frame in {settings['every']}")
    return ", ".join(known) or "unknown"


def _sizes_from_crops(layout: DataRoot, crops: FolderUse) -> Faces:
    sides, damaged, files = [], [], 0
    for path in _some_crops(layout, sorted(video for video, count in crops.pictures.items() if count)):
        files += 1
        try:
            with Image.open(path) as picture:  # reads the header alone
                sides.append(max(picture.size))
        except (OSError, ValueError, Image.DecompressionBombError):
            damaged.append(f"{path}: not a picture, or truncated")
    return Faces(False, np.array(sides), np.array([]), Counter(), Counter(), Counter(), files, damaged)


def _some_crops(layout: DataRoot, videos: list[str]) -> Iterable[Path]:
    """At most `MOST_HEADERS` crops, spread evenly over the videos and over each one's crops."""
    chosen = videos[:: -(-len(videos) // MOST_HEADERS) or 1]
    each = MOST_HEADERS // max(len(chosen), 1)
    for video in chosen:
        files = list_crops(layout.crops / video)
        yield from files[:: -(-len(files) // each)]


def _failures(layout: DataRoot) -> tuple[dict[str, list[Failure]], list[str]]:
    """Step -> its failures, and what is wrong with lists that cannot be read."""
    failures, damaged = {}, []
    for path in atomic.whole_files(layout.root / FAILURES_DIR, "*.csv"):
        try:
            failures[path.stem] = read_failures(path)
        except ValueError as error:
            damaged.append(str(error))
    return failures, damaged
