"""The sheet of one frame of an original and its fake: boxes, crops, landmarks, mask, all as they are on disk.

What is missing leaves its cell empty, with the reason and the step that makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from deepfake.datasets.data_root import (
    CROP_SUFFIXES,
    DataRoot,
    crop_name,
    diff_name,
    landmark_name,
    list_crops,
    parse_crop_name,
)
from deepfake.datasets.manipulation_masks import DATASET
from deepfake.datasets.records import VIDEO, VideoRecord
from deepfake.datasets.stages import DIFFS
from deepfake.faces.boxes import MARGIN, BoxFile, Face, crop_window
from deepfake.faces.landmarks import read_landmarks
from deepfake.faces.ssim_mask import CHANGED
from deepfake.media.images import read_gray, read_image
from deepfake.media.video import LIMITS, ReadLimits, VideoError, frame_times, iter_frames
from deepfake.parallel.workers import read_failures
from visualize.dataset.pairs import Pair
from visualize.dataset.sheets import Cell, Color, Dot, Outline, Row, Sheet

BOX_COLOR: Color = (255, 176, 0)
WINDOW_COLOR: Color = (0, 196, 255)
LANDMARK_COLOR: Color = (57, 255, 20)
LEGEND = (
    (BOX_COLOR, "face box"),
    (WINDOW_COLOR, f"crop: the box and 1/{MARGIN} of it on each side"),
    (LANDMARK_COLOR, "landmarks"),
)

FRAME_HEIGHT, CROP_HEIGHT = 620, 340
COLUMNS = 5
_TINT = 0.85
_NAMES = {0: "real", 1: "fake"}


@dataclass(frozen=True)
class Source:
    """Where a sheet's facts come from.

    Attributes:
        layout: the data set's files.
        boxes: the pair's boxes, or why there are none.
        folds: video id -> fold, or why there are none.
        limits: of reading a video.
    """

    layout: DataRoot
    boxes: BoxFile | str
    folds: Mapping[str, int] | str
    limits: ReadLimits = LIMITS


def make_pair_sheet(source: Source, pair: Pair, frame: int) -> Sheet:
    """The sheet of frame `frame`: both frames, then a row for each of its faces."""
    faces = _faces(source, pair, frame)
    return Sheet(
        title=_title(pair),
        lines=[_facts(source, pair, frame, len(faces))],
        warnings=_warnings(source, pair),
        legend=LEGEND,
        rows=[
            Row([_frame_cell(record, source, frame) for record in pair.records], FRAME_HEIGHT),
            *(_face_row(source, pair, frame, number, face) for number, face in faces.items()),
        ],
    )


def changed_share(mask: np.ndarray) -> float:
    """Share of a mask's pixels that show a change, 0..1."""
    return float(np.mean(mask > CHANGED))


def overlay(crop: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The crop in gray, (H, W, 3) uint8 RGB, with the (H, W) mask in color over it: the stronger, the more opaque."""
    gray = np.repeat(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.float32)
    color = cv2.cvtColor(cv2.applyColorMap(mask, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    opacity = _TINT * np.sqrt(mask.astype(np.float32) / 255)[..., None]
    return np.rint(gray * (1 - opacity) + color * opacity).astype(np.uint8)


def _warnings(source: Source, pair: Pair) -> list[str]:
    notes = [source.boxes] if isinstance(source.boxes, str) else []
    if pair.fake is None:
        notes.append("the data set has no fake of it")
    return notes


def _title(pair: Pair) -> str:
    if pair.fake is None:
        return f"{pair.name} (real)"
    if pair.fake.original is None:
        return f"{pair.fake.video_id} (fake), original not named"
    return f"{pair.fake.video_id} (fake), made from {pair.identity}" + (" (real)" if pair.original else "")


def _facts(source: Source, pair: Pair, frame: int, faces: int) -> str:
    seconds, fold = _seconds(pair, frame, source.limits), _fold(source.folds, pair)
    facts = [f"frame {frame}", seconds, f"{faces} face{'s' * (faces != 1)}", fold]
    if isinstance(source.boxes, BoxFile):
        notes = source.boxes.settings
        known = [str(notes[name]) for name in ("detector", "preset", "layout") if name in notes]
        known += [f"one frame in {notes['every']}"] if "every" in notes else []
        facts.append(f"boxes: {', '.join(known) or 'unknown detector'}")
    return "   ·   ".join(fact for fact in facts if fact)


def _seconds(pair: Pair, frame: int, limits: ReadLimits) -> str:
    for record in pair.records:
        try:
            times = frame_times(record.path, limits)
        except VideoError:
            continue
        if frame < len(times) and record.content == VIDEO:
            return f"at {times[frame]:.2f} s"
    return ""


def _fold(folds: Mapping[str, int] | str, pair: Pair) -> str:
    if isinstance(folds, str):
        return folds
    found = {record.video_id: folds[record.video_id] for record in pair.records if record.video_id in folds}
    if not found:
        return "in no fold"
    if len(set(found.values())) == 1:
        return f"fold {next(iter(found.values()))}"
    return "in different folds: " + ", ".join(f"{video} in {fold}" for video, fold in found.items())


def _faces(source: Source, pair: Pair, frame: int) -> dict[int, Face | None]:
    """The frame's faces by number; without boxes those with crops, without either the first alone."""
    if isinstance(source.boxes, BoxFile):
        return dict(enumerate(source.boxes.frames.get(frame, [])))
    folders = [source.layout.crops / record.video_id for record in pair.records]
    names = [parse_crop_name(path.name) for folder in folders if folder.is_dir() for path in list_crops(folder)]
    return dict.fromkeys(sorted({name[1] for name in names if name is not None and name[0] == frame}) or [0])


def _frame_cell(record: VideoRecord, source: Source, frame: int) -> Cell:
    title = f"{_NAMES[record.label]}: {record.path.name}"
    picture = _or_reason(lambda: _read_frame(record, frame, source.limits))
    if isinstance(picture, str):
        return Cell(title, picture)
    height, width = picture.shape[:2]
    root = source.layout.root
    place = record.path.relative_to(root) if record.path.is_relative_to(root) else record.path
    notes = [f"{place}   {width} x {height} pixels"]
    boxes = source.boxes
    if isinstance(boxes, str):
        return Cell(title, picture, notes)
    if boxes.size is not None and boxes.size != (height, width):
        notes.append(f"its boxes, not drawn, are for {boxes.size[1]} x {boxes.size[0]} pixels")
        return Cell(title, picture, notes)
    return Cell(title, picture, notes, _box_marks(boxes.frames.get(frame, []), height, width))


def _box_marks(faces: Sequence[Face], height: int, width: int) -> list[Outline]:
    marks = []
    for number, face in enumerate(faces):
        label = str(number) if len(faces) > 1 else ""
        marks.append(Outline(crop_window(face.box, height, width), WINDOW_COLOR, label))
        marks.append(Outline(face.box, BOX_COLOR))
    return marks


def _face_row(source: Source, pair: Pair, frame: int, number: int, face: Face | None) -> Row:
    """The cells of what a face's pair can have: a lone original has no fake crop and no mask."""
    layout, cells = source.layout, []
    crops = {record.label: _read_crop(layout, record, frame, number) for record in pair.records}
    cells += [_crop_cell(layout, record, frame, number, crops[record.label]) for record in pair.records]
    if pair.original is not None:
        cells.append(_landmark_cell(crops[0], _read_points(layout, pair.original, frame, number)))
    mask: np.ndarray | str = ""
    fake = pair.fake
    if fake is not None and (pair.original is not None or (layout.diffs / fake.video_id).is_dir()):
        mask = _read_mask(layout, fake, frame, number)
        cells += [_mask_cell(layout, fake, mask), _overlay_cell(crops[1], mask)]
    return Row(cells, CROP_HEIGHT, _face_heading(number, face, list(crops.values()), mask), columns=COLUMNS)


def _face_heading(number: int, face: Face | None, crops: Sequence[np.ndarray | str], mask: np.ndarray | str) -> str:
    facts = [f"face {number}"]
    if face is not None:
        x1, y1, x2, y2 = face.box
        facts.append(f"box {x2 - x1:.0f} x {y2 - y1:.0f} pixels at ({x1:.0f}, {y1:.0f})")
        facts.append("detector score " + ("not known" if face.score is None else f"{face.score:.4f}"))
    sizes = {f"{crop.shape[1]} x {crop.shape[0]}" for crop in crops if not isinstance(crop, str)}
    if sizes:
        facts.append(f"crop {' and '.join(sorted(sizes))} pixels")
    if not isinstance(mask, str):
        facts.append(f"{changed_share(mask):.1%} of the pixels changed")
    return "   ·   ".join(facts)


def _crop_cell(layout: DataRoot, record: VideoRecord, frame: int, number: int, crop: np.ndarray | str) -> Cell:
    title = f"{_NAMES[record.label]} crop"
    if isinstance(crop, str):
        return Cell(title, crop)
    file = _find_crop(layout, record, frame, number)
    size = f"{crop.shape[1]} x {crop.shape[0]} pixels"
    return Cell(title, crop, [str(file.relative_to(layout.root)) if file else "", size])


def _landmark_cell(crop: np.ndarray | str, points: np.ndarray | str) -> Cell:
    title = "landmarks (real crop)"
    if isinstance(points, str) or isinstance(crop, str):
        return Cell(title, points if isinstance(points, str) else "there is no real crop to draw them on")
    return Cell(title, crop, marks=[Dot((float(x), float(y)), LANDMARK_COLOR) for x, y in points])


def _overlay_cell(crop: np.ndarray | str, mask: np.ndarray | str) -> Cell:
    title = "mask over the fake crop"
    if isinstance(crop, str) or isinstance(mask, str):
        return Cell(title, "it takes a fake crop and its mask")
    if crop.shape[:2] != mask.shape:
        return Cell(title, f"mask of {mask.shape[1]} x {mask.shape[0]} pixels, crop of {crop.shape[1]} x "
                           f"{crop.shape[0]}: run generate_diffs.py --overwrite")  # fmt: skip
    return Cell(title, overlay(crop, mask))


def _mask_cell(layout: DataRoot, fake: VideoRecord, mask: np.ndarray | str) -> Cell:
    settings = [run.header.settings for run in DIFFS.runs(layout)] if fake.mask is not None else []
    is_given = bool(settings) and settings[-1].get("masks") == DATASET
    title, unit = ("mask of the data set", "0 to 255") if is_given else ("SSIM mask", "255 · (1 − SSIM)")
    if isinstance(mask, str):
        return Cell(title, mask)
    share = f"{changed_share(mask):.1%} above {CHANGED}: changed"
    return Cell(title, mask, [f"{unit}, {mask.min()} to {mask.max()}", share])


def _read_frame(record: VideoRecord, index: int, limits: ReadLimits) -> np.ndarray:
    for frame in iter_frames(record.path, [index], limits=limits):
        return frame.image
    raise VideoError(f"{record.path}: the video ends before frame {index}")


def _read_crop(layout: DataRoot, record: VideoRecord, frame: int, number: int) -> np.ndarray | str:
    file = _find_crop(layout, record, frame, number)
    if file is not None:
        return _or_reason(lambda: read_image(file))
    return _why_missing(layout, layout.crops / record.video_id, "crop", "extract_crops", record.video_id)


def _find_crop(layout: DataRoot, record: VideoRecord, frame: int, number: int) -> Path | None:
    files = (layout.crops / record.video_id / crop_name(frame, number, suffix) for suffix in CROP_SUFFIXES)
    return next((file for file in files if file.exists()), None)


def _read_points(layout: DataRoot, original: VideoRecord, frame: int, number: int) -> np.ndarray | str:
    folder = layout.landmarks / original.video_id
    file = folder / landmark_name(frame, number)
    if file.exists():
        return _or_reason(lambda: read_landmarks(file))
    if folder.is_dir():
        return f"generate_landmarks.py found no face in this crop ({folder.name} has no {file.name})"
    return _why_missing(layout, folder, "landmarks", "generate_landmarks", original.video_id)


def _read_mask(layout: DataRoot, fake: VideoRecord, frame: int, number: int) -> np.ndarray | str:
    file = layout.diffs / fake.video_id / diff_name(frame, number)
    if file.exists():
        return _or_reason(lambda: read_gray(file))
    return _why_missing(layout, file.parent, "mask", "generate_diffs", fake.video_id)


def _why_missing(layout: DataRoot, folder: Path, what: str, step: str, video_id: str) -> str:
    """Why a video's file that a step makes is not there, and what to do."""
    if folder.is_dir():
        return f"{folder.relative_to(layout.root)} has no {what} of this face: run {step}.py --overwrite"
    try:
        failed = {failure.key: failure.reason for failure in read_failures(layout.failures_file(step))}
    except ValueError:
        failed = {}  # the list says more if it can be read; what to do is the same
    if video_id in failed:
        return f"{step}.py failed: {failed[video_id]}"
    return f"no {what} of {video_id}: run {step}.py"


def _or_reason(read: Callable[[], np.ndarray]) -> np.ndarray | str:
    """What `read` gives, or the message of its error."""
    try:
        return read()
    except ValueError as error:
        return str(error)
