"""Recorded scores: what predict_folder.py writes of each video, and tables of any other detector."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepfake.checkpoints.trained_groups import TrainedGroups
from deepfake.datasets.label_words import NAME_KEYS
from deepfake.datasets.labels import LabelError, Labels, NothingMatched, VideoLabel, match_labels
from deepfake.datasets.records import VIDEO, Dataset, VideoRecord
from deepfake.evaluation.protocols import RECORDED, Face, Protocol, frame_scores, video_score
from deepfake.media.image_files import PICTURE_SUFFIXES
from deepfake.media.picture_folder import picture_files
from deepfake.scoring.tables import DETAILS_FORMAT, read_details
from deepfake.storage.json_files import read_mapping
from deepfake.storage.names import from_cell
from deepfake.storage.schema import OTHERS_IGNORED, Probability, from_plain
from deepfake.storage.tables import TableError

SCORE_KEYS = ("probability", "score", "prob", "fake_probability", "prediction", "pred", "fake", "label")
"""What tables call the probability of fake; the first that is there counts. `label` is Kaggle's."""
ID_KEYS = (*NAME_KEYS, "video_id", "id")
FRAME_KEY = "frame"


@dataclass(frozen=True)
class ScoredVideo:
    """What is known of one video.

    Attributes:
        score: probability of fake; None without one.
        reason: why there is none.
        frames: (k,) probability of fake of its frames, if they were recorded.
        face_size: median side of its faces in pixels, if recorded.
        persons: how many people it shows, if recorded.
    """

    score: float | None
    reason: str = ""
    frames: np.ndarray = field(default_factory=lambda: np.empty(0))
    face_size: float | None = None
    persons: int | None = None


@dataclass(frozen=True)
class RecordedRun:
    """Scores by the names that they were recorded under, and what is known of how they were made.

    Attributes:
        trained: network -> the groups of videos that it was trained on, None if not known; empty for other detectors.
    """

    videos: dict[str, ScoredVideo]
    facts: dict[str, str]
    trained: dict[str, TrainedGroups | None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Face:
    __pydantic_config__ = OTHERS_IGNORED

    frame: int
    box: tuple[float, float, float, float]
    scores: dict[str, Probability]
    person: int | None = None


@dataclass(frozen=True)
class _Video:
    __pydantic_config__ = OTHERS_IGNORED

    filename: str
    score: Probability | None
    status: str = ""
    reason: str = ""
    frames: list[int] = field(default_factory=list)
    faces: list[_Face] = field(default_factory=list)


@dataclass(frozen=True)
class _Details:
    __pydantic_config__ = OTHERS_IGNORED

    videos: list[_Video]
    models: list[dict[str, Any]]
    crop_recipes: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    training: dict[str, str] = field(default_factory=dict)
    trained_groups: dict[str, str | None] = field(default_factory=dict)


def read_recorded(path: Path, protocol: Protocol) -> RecordedRun:
    """Read the details that predict_folder.py wrote, and score its videos by a protocol.

    Raises:
        ValueError: missing, of another format, a video twice, or a .csv with a protocol that takes faces' scores.
    """
    if path.suffix.lower() == ".csv":
        if protocol.aggregation != RECORDED:
            raise ValueError(f"{path}: a .csv holds no faces; aggregation {protocol.aggregation} takes the .json")
        scores = read_details(path).scores
        return RecordedRun({name: ScoredVideo(score) for name, score in scores.items()}, {"details": path.name})
    content = read_mapping(path, "details")
    file_format = DETAILS_FORMAT if "format" in content else None
    details = from_plain(_Details, content, f"{path}: not the details of a prediction", file_format=file_format)
    weights = {str(model.get("name")): float(model.get("weight", 1)) for model in details.models}
    videos: dict[str, ScoredVideo] = {}
    for video in details.videos:
        if video.filename in videos:
            raise ValueError(f"{path}: {video.filename!r} is there twice")
        unknown = {name for face in video.faces for name in face.scores} - weights.keys()
        if unknown:
            raise ValueError(f"{path}: {video.filename!r}: faces scored by {min(unknown)!r}, which is not in models")
        videos[video.filename] = _scored(video, weights, protocol)
    trained = {name: _trained(path, details.trained_groups.get(name)) for name in weights}
    return RecordedRun(videos, _facts(details), trained)


def _trained(path: Path, digests: str | None) -> TrainedGroups | None:
    try:
        return None if digests is None else TrainedGroups(digests)
    except ValueError as error:
        raise ValueError(f"{path}: trained_{error}") from error


def _scored(video: _Video, weights: Mapping[str, float], protocol: Protocol) -> ScoredVideo:
    seen = video.frames or [face.frame for face in video.faces]
    chosen = set(protocol.choose(seen))
    own = [face for face in video.faces if face.frame in chosen]
    sides = [math.sqrt(max(f.box[2] - f.box[0], 0) * max(f.box[3] - f.box[1], 0)) for f in own]
    faces = [Face(face.frame, side, face.scores) for face, side in zip(own, sides)]
    frames = frame_scores(faces, weights, protocol.aggregation)
    score = video.score
    if protocol.aggregation != RECORDED:
        score = video_score(faces, frames, weights, protocol.aggregation) if len(frames) else None
    reason = "" if score is not None else video.reason or video.status or "no scored face"
    persons = len({face.person for face in own if face.person is not None}) if own else None
    return ScoredVideo(score, reason, frames, float(np.median(sides)) if sides else None, persons)


def _facts(details: _Details) -> dict[str, str]:
    recipes = details.crop_recipes
    detectors = [str(recipe.get("detector", "unknown")) for recipe in recipes]
    crops = [
        " ".join(f"{key} {recipe[key]}" for key in ("kind", "margin", "size", "template") if key in recipe)
        for recipe in recipes
    ]
    frames = [_words(recipe.get("frames", "unknown")) for recipe in recipes]
    models = [f"{model.get('name')} ({str(model.get('sha256', 'unknown'))[:12]})" for model in details.models]
    return {
        "recorded frames": "; ".join(frames) or "unknown",
        "detector": "; ".join(detectors) or "unknown",
        "crop": "; ".join(crops) or "unknown",
        "recorded aggregation": "; ".join(sorted({str(m.get("aggregation", "unknown")) for m in details.models})),
        "precision": str(details.settings.get("precision", "unknown")),
        "checkpoints": ", ".join(models),
        "training": "; ".join(f"{name}: {facts}" for name, facts in details.training.items()) or "not recorded",
    }


def _words(value: object) -> str:
    """A choice of frames as an ensemble's file names it, without the signs of JSON."""
    return ", ".join(f"{key} {v}" for key, v in value.items()) if isinstance(value, Mapping) else str(value)


def read_other(path: Path) -> RecordedRun:
    """Read a table of any detector: a name and a probability of fake, a row a video, or several rows a video's frames.

    Raises:
        TableError: missing, no table, without a column of names or of scores, or a score outside 0..1.
    """
    try:
        header = path.read_text(encoding="utf-8-sig").partition("\n")[0]
        separator = max(",;\t", key=header.count)
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: not a table of scores: {error}") from error
    columns = {str(name).strip().casefold(): name for name in table.columns}
    name_at, score_at = (next((columns[k] for k in keys if k in columns), None) for keys in (ID_KEYS, SCORE_KEYS))
    if name_at is None or score_at is None:
        raise TableError(
            f"{path}: found the columns {', '.join(columns)[:200]}; expected one of {', '.join(ID_KEYS)} and one of "
            f"{', '.join(SCORE_KEYS)}"
        )
    names = [from_cell(str(cell).strip()) for cell in table[name_at]]
    cells = table[score_at].str.strip()
    values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
    wrong = (cells != "").to_numpy() & ~((values >= 0) & (values <= 1))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise TableError(
            f"{path}: {names[at]!r} has score {cells.iloc[at]!r}; expected a probability of fake from 0 to 1"
        )
    by_name: dict[str, list[float]] = {}
    for name, value in zip(names, values.tolist()):
        by_name.setdefault(name, []).append(value)
    of_frames = len(by_name) < len(names) or FRAME_KEY in columns
    return RecordedRun({n: _of_rows(v, of_frames) for n, v in by_name.items()}, {"scores": path.name})


def _of_rows(values: Sequence[float], of_frames: bool) -> ScoredVideo:
    known = np.array([value for value in values if not math.isnan(value)])
    score = float(known.mean()) if len(known) else None
    return ScoredVideo(score, "" if len(known) else "no score", known if of_frames else np.empty(0))


@dataclass(frozen=True)
class Matched:
    """Attributes:
    videos: id in the data set -> what is known of it.
    names: id -> the name it was recorded under.
    unknown: recorded names that the data set does not have.
    matched_by: what names were compared by.
    """

    videos: dict[str, ScoredVideo]
    names: dict[str, str]
    unknown: list[str]
    matched_by: str


def match_run(run: RecordedRun, dataset: Dataset, root: Path) -> Matched:
    """Find the videos of a data set that scores were recorded of: by id, path or file name, whichever finds more.

    Scores of the pictures in a folder that is a video are joined as its frames; where the pictures themselves are not
    there, by the folders in their names.

    Raises:
        LabelError: none found, or a name that may be one of several videos.
    """
    run = _join_pictures(run, dataset, root)
    try:
        return _match(run, dataset, root)
    except NothingMatched:
        folders: dict[str, list[float]] = {}
        for name, video in run.videos.items():
            folders.setdefault(name.replace("\\", "/").rpartition("/")[0], []).append(_number(video))
        if "" in folders:
            raise
        return _match(_of_folders(folders, run.facts), dataset, root)


def _join_pictures(run: RecordedRun, dataset: Dataset, root: Path) -> RecordedRun:
    """The scores of pictures in folders that are videos, as these videos'; others as they are."""
    pictures = [name for name in run.videos if name.lower().endswith(PICTURE_SUFFIXES)]
    still = [video for video in dataset.videos.values() if video.content != VIDEO]
    folders = {_below(video.path, root) for video in still if video.path.is_dir()}
    if not pictures or not folders:
        return run
    owners = {
        _below(file, root): VideoLabel(video.label, _below(video.path, root))
        for video in still
        for file in _files(video)
    }
    try:
        found = match_labels(pictures, Labels(owners, [root])).videos
    except NothingMatched:
        return run
    joined: dict[str, list[float]] = {}
    for name, owner in found.items():
        if owner.identity in folders:
            joined.setdefault(owner.identity, []).append(_number(run.videos[name]))
    others = {name: v for name, v in run.videos.items() if name not in found or found[name].identity not in folders}
    return RecordedRun({**others, **_of_folders(joined, run.facts).videos}, run.facts)


def _files(video: VideoRecord) -> list[Path]:
    """The picture that a video is, or those in its folder."""
    return picture_files(video.path) if video.path.is_dir() else [video.path]


def _number(video: ScoredVideo) -> float:
    return math.nan if video.score is None else video.score


def _of_folders(scores: Mapping[str, Sequence[float]], facts: dict[str, str]) -> RecordedRun:
    return RecordedRun({name: _of_rows(values, True) for name, values in scores.items()}, facts)


def _match(run: RecordedRun, dataset: Dataset, root: Path) -> Matched:
    by_id = {name: name for name in run.videos if name in dataset.videos}
    paths = {_below(video.path, root): video for video in dataset.videos.values()}
    labels = Labels({path: VideoLabel(v.label, v.video_id) for path, v in paths.items()}, [root])
    try:
        found = match_labels(run.videos, labels)
        names, matched_by = {label.identity: name for name, label in found.videos.items()}, found.matched_by
    except LabelError:
        if not by_id:
            raise
        names, matched_by = {}, ""
    if len(by_id) > len(names):
        names, matched_by = by_id, "id"
    used = set(names.values())
    return Matched(
        {video_id: run.videos[name] for video_id, name in names.items()},
        names,
        [name for name in run.videos if name not in used],
        matched_by,
    )


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
