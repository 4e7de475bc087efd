"""What a prediction says of each video: the record, the submission table, the details.

The submission is Kaggle's `filename,label`; only there a video without a score gets a number, the neutral one. The
details never do. In tables (.csv) names are escaped where they must be (`to_cell`); JSON holds them as they are.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deepfake.faces.boxes import FRAME_SPACE
from deepfake.media.files import FoundVideos
from deepfake.scoring.aggregation import NEUTRAL_SCORE
from deepfake.scoring.calibration import Judge, Uncalibrated
from deepfake.storage import atomic
from deepfake.storage.disk_full import out_of_space
from deepfake.storage.journal import Journal
from deepfake.storage.json_files import read_mapping
from deepfake.storage.names import escape, one_line, to_cell
from deepfake.storage.tables import read_table

OK = "ok"
NO_FACE = "no_face"
UNREADABLE = "unreadable"
CRASHED = "crashed"
FAILED = "failed"

STATUSES = {
    OK: "scored",
    NO_FACE: "read, but no face found",
    UNREADABLE: "not a video that can be decoded",
    CRASHED: "the process that read it died",
    FAILED: "another error; see the reason",
}
"""Every status that a video can have."""

LASTING = (OK, NO_FACE, UNREADABLE)
"""Statuses that another attempt on the same file would give again."""

UNCALIBRATED = Uncalibrated()
DETAILS_FORMAT = 1
DETAILS_SUFFIXES = (".csv", ".json")
_SHOWN_MISSING = 10
_DECIMALS = {"score": 6, "box": 4, "time": 3}


@dataclass(frozen=True)
class ScoredFace:
    """A face in a video.

    Attributes:
        frame: index in the video.
        box: x1, y1, x2, y2 in full-frame pixels; may reach over the frame's edge.
        confidence: the detector's, 0..1.
        crop_size: (height, width) of the crop that was scored.
        recipe: which of the run's crop recipes found it.
        scores: probability of fake by model; empty for faces beyond those that are scored.
        person: whose face it is, counted from 0 (`deepfake.faces.tracking`); None for what is probably no face.
        landmarks: its five landmarks in full-frame pixels, if the detector gives them (`deepfake.faces.boxes.Face`).
    """

    frame: int
    box: tuple[float, float, float, float]
    confidence: float | None
    crop_size: tuple[int, int]
    recipe: int
    scores: dict[str, float]
    person: int | None
    landmarks: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True)
class PersonScore:
    """One person's share of a video.

    Attributes:
        person: as in `ScoredFace.person`.
        score: probability of fake from this person's faces alone; None if none was scored.
        faces: how many were scored; of several recipes, by the one with the most.
    """

    person: int
    score: float | None
    faces: int


@dataclass(frozen=True)
class ScoreCheck:
    """How a video's score in reduced precision compares with float32's.

    Attributes:
        difference: of the score, or of a network's, whichever is larger; None if a score was not a number.
        kept: whether the score is that of reduced precision; otherwise it is float32's.
    """

    difference: float | None
    kept: bool


@dataclass(frozen=True)
class VideoResult:
    """What was found of one video.

    Attributes:
        status: one of STATUSES.
        score: probability of fake, None without one.
        reason: why there is no score.
        model_scores: the video's score by model.
        frames: indices of the frames that were looked at.
        size: the frames' (height, width).
        faces: all faces found.
        seconds: time spent on decoding, detecting and scoring.
        persons: the persons whom the faces belong to.
        precision_check: of a video that was scored in reduced precision and in float32.
        times: when each of the frames is shown, in seconds from the file's start.
        doubts: what is missing in the file or in doubt, in plain words.
    """

    status: str
    score: float | None = None
    reason: str = ""
    model_scores: dict[str, float] = field(default_factory=dict)
    frames: list[int] = field(default_factory=list)
    size: tuple[int, int] | None = None
    faces: list[ScoredFace] = field(default_factory=list)
    seconds: float = 0.0
    persons: list[PersonScore] = field(default_factory=list)
    precision_check: ScoreCheck | None = None
    times: list[float] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def scored_faces(self) -> int:
        """Faces that a model scored; of several crop recipes, by the one with the most."""
        return most_scored(self.faces)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, exact."""
        return asdict(self)

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> VideoResult:
        """The inverse of `to_dict`, after JSON."""
        values = dict(content)
        faces = [_face_from_dict(face) for face in values.pop("faces")]
        persons = [PersonScore(**person) for person in values.pop("persons")]
        size = values.pop("size")
        if values["status"] not in STATUSES:
            raise ValueError(f"status {values['status']!r}; expected one of {', '.join(STATUSES)}")
        if values["score"] is not None and not 0 <= values["score"] <= 1:
            raise ValueError(f"score {values['score']!r}; expected a number from 0 to 1")
        check = values.pop("precision_check", None)
        return VideoResult(
            **values,
            faces=faces,
            persons=persons,
            size=None if size is None else tuple(size),
            precision_check=None if check is None else ScoreCheck(**check),
        )


def _face_from_dict(content: Mapping[str, Any]) -> ScoredFace:
    points = content["landmarks"]
    tuples = {name: tuple(content[name]) for name in ("box", "crop_size")}
    landmarks = None if points is None else tuple((x, y) for x, y in points)
    return ScoredFace(**{**content, **tuples, "landmarks": landmarks})


def most_scored(faces: Iterable[ScoredFace]) -> int:
    """How many of these faces a model scored; of several crop recipes, by the one with the most."""
    return max(Counter(face.recipe for face in faces if face.scores).values(), default=0)


@dataclass(frozen=True)
class Details:
    """What a later judgement needs of a details file.

    Attributes:
        scores: of each video by name; None for one without a score.
        models: what the run's description said of each; None if unknown (a .csv does not hold it).
        crop_recipes: likewise.
    """

    scores: dict[str, float | None]
    models: list[dict[str, Any]] | None = None
    crop_recipes: list[dict[str, Any]] | None = None


class ResultJournal(Journal):
    """The results of a run that is under way, beside its output. A video that has changed is scored again."""

    def __init__(self, output: Path, run: Mapping[str, Any], videos: Iterable[Path]) -> None:
        super().__init__(output, dict(run))
        self._keys = {path: _file_key(path) for path in videos}

    def results(self) -> dict[Path, VideoResult]:
        """The results that an earlier, stopped run of the same kind has left.

        Raises:
            ValueError: the journal is damaged.
        """
        finished = self.read()
        try:
            return {path: VideoResult.from_dict(finished[key]) for path, key in self._keys.items() if key in finished}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{self.path}: damaged ({error!r}); remove it to start over") from error

    def record(self, path: Path, result: VideoResult) -> None:
        """Records a result, unless another attempt might give a better one. Raises OutOfSpace."""
        if result.status in LASTING:
            self.add(self._keys[path], result.to_dict())


def name_videos(found: FoundVideos) -> dict[str, Path]:
    """Return videos by the name that tables call them, in a stable order; each once, even where links lead to it twice.

    The name is the file's; where several share one, the path below the given folder, and where that is shared too, the
    path as given.

    Raises:
        ValueError: there is none.
    """
    places: dict[str, tuple[Path, Path]] = {}
    for path, source in found.sources.items():
        places.setdefault(_place(path), (path, source))
    if not places:
        left_out = found.left_out.summary()
        raise ValueError(f"{found.searched}: no video or picture in it{left_out and f' ({left_out})'}")
    videos = list(places.values())
    names = [path.name for path, _ in videos]
    below = [path.relative_to(source).as_posix() if path != source else path.name for path, source in videos]
    for longer in (below, [str(path) for path, _ in videos]):
        count = Counter(names)
        names = [name if count[name] == 1 else other for name, other in zip(names, longer)]
    return dict(zip(names, (path for path, _ in videos)))


def write_submission(path: Path, results: Mapping[str, VideoResult], judge: Judge = UNCALIBRATED) -> None:
    """Writes `filename,label`, atomically; the label is the probability, NEUTRAL_SCORE for a video without a score."""
    rows = [
        [name, f"{NEUTRAL_SCORE if result.score is None else judge.apply(result.score):.6f}"]
        for name, result in results.items()
    ]
    _write(path, _table(["filename", "label"], rows))


def write_details(
    path: Path, results: Mapping[str, VideoResult], run: Mapping[str, Any], judge: Judge = UNCALIBRATED
) -> None:
    """Writes what is known of every video, atomically, as the suffix says: .csv, or .json with every face.

    Args:
        run: what is known of the run: `models` (each with a `name`), `crop_recipes`, `settings`.
        judge: adds probability and verdict to the scores, which stay as the networks gave them.

    Raises:
        ValueError: another suffix.
    """
    _check_suffix(path)
    names = [model["name"] for model in run["models"]]
    if path.suffix.lower() == ".csv":
        _write(path, _details_table(results, names, judge))
    else:
        videos = [details_entry(name, result, judge) for name, result in results.items()]
        _write(path, json.dumps({**details_head(run, judge), "videos": videos}, indent=1, allow_nan=False))


def details_head(run: Mapping[str, Any], judge: Judge = UNCALIBRATED) -> dict[str, Any]:
    """What the details say of all videos: the run, the thresholds, how to read boxes; plain JSON values."""
    note = "boxes are x1, y1, x2, y2 in pixels of the full frame"
    thresholds = {"real_below": judge.real_below, "fake_above": judge.fake_above, "source": judge.source}
    return {"format": DETAILS_FORMAT, "space": FRAME_SPACE, "note": note, "thresholds": thresholds, **run}


def details_entry(name: str, result: VideoResult, judge: Judge = UNCALIBRATED) -> dict[str, Any]:
    """What the details say of one video, plain JSON values."""
    return {"filename": name, **judged(result.score, judge), **video_to_json(result)}


def read_details(path: Path) -> Details:
    """Reads the scores that `write_details` wrote.

    Raises:
        ValueError: missing, another suffix or format, a video named twice, or a score outside 0..1.
    """
    _check_suffix(path)
    if path.suffix.lower() == ".csv":
        table = read_table(path, {"filename": str, "status": str, "score": str}, "table of details")
        return Details(_scores(path, zip(table["filename"], table["score"])))
    content = read_mapping(path, "details")
    if content.get("format", DETAILS_FORMAT) != DETAILS_FORMAT:
        raise ValueError(f"{path}: format: expected {DETAILS_FORMAT}; found {content['format']!r}")
    try:
        videos = [(video["filename"], video["score"]) for video in content["videos"]]
        described = {key: content[key] for key in ("models", "crop_recipes")}
        for key, value in described.items():
            if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
                raise TypeError(f"{key}: expected a list of mappings; found {value!r:.100}")
        return Details(_scores(path, videos), **described)
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path}: not the details of a prediction: {type(error).__name__}: {error}") from error


def write_tables(
    output: Path,
    details: Path | None,
    results: Mapping[str, VideoResult],
    run: Mapping[str, Any],
    judge: Judge = UNCALIBRATED,
) -> None:
    """Writes the submission and, if asked for, the details."""
    write_submission(output, results, judge)
    if details is not None:
        write_details(details, results, run, judge)


def with_checks(run: Mapping[str, Any], results: Mapping[str, VideoResult]) -> dict[str, Any]:
    """Return what is known of a run with what its checked videos showed, for its tables and reports.

    Args:
        run: as `describe_run` gives it. The journal keeps that, which is known before the first score.
    """
    checks = {name: result.precision_check for name, result in results.items() if result.precision_check is not None}
    before = run["settings"]["precision_check"]
    if before is None or not checks:
        return dict(run)
    farthest = max(checks, key=lambda name: _off(checks[name]))
    found = {
        "checked": len(checks),
        "replaced": sum(not check.kept for check in checks.values()),
        "checked_difference": checks[farthest].difference,
        "farthest": farthest,
    }
    return {**run, "settings": {**run["settings"], "precision_check": {**before, **found}}}


def _off(check: ScoreCheck) -> float:
    return math.inf if check.difference is None else check.difference


def judged(score: float | None, judge: Judge) -> dict[str, Any]:
    """Probability, rounded, and verdict; None without a score."""
    if score is None:
        return {"probability": None, "verdict": None}
    probability = judge.apply(score)
    return {"probability": round(probability, _DECIMALS["score"]), "verdict": judge.verdict(probability)}


def check_outputs(output: Path, details: Path | None) -> None:
    """Before any work: raises ValueError if the tables cannot be written under these names."""
    if details is not None:
        _check_suffix(details)
    for path in (output, details):
        if path is not None and path.is_dir():
            raise ValueError(f"{path}: is a folder; expected the name of a file to write")
    if details is not None and _place(details) == _place(output):
        raise ValueError(f"{output}: named for both the submission and the details")


def list_missing(results: Mapping[str, VideoResult]) -> list[str]:
    """A line for each of the first videos that have no score."""
    missing = [(name, result) for name, result in results.items() if result.score is None]
    told = [f"no score: {name}: {result.status}: {result.reason}" for name, result in missing[:_SHOWN_MISSING]]
    lines = [f"  {one_line(line)}\n" for line in told]
    more = len(missing) - _SHOWN_MISSING
    return [*lines, f"  ... and {more} more; --details lists all\n"] if more > 0 else lines


def list_doubts(results: Mapping[str, VideoResult]) -> list[str]:
    """Return a line for each of the first videos whose file is in doubt."""
    told = [f"in doubt: {name}: {doubt}" for name, result in results.items() for doubt in result.doubts]
    lines = [f"  {one_line(line)}\n" for line in told]
    more = len(lines) - _SHOWN_MISSING
    return [*lines[:_SHOWN_MISSING], f"  ... and {more} more; --details lists all\n"] if more > 0 else lines


def summarise(results: Mapping[str, VideoResult], output: Path, without_page: int = 0) -> str:
    """One line: how many videos have a score, how many have none, and why; and how many have no page in the report."""
    missing = Counter(result.status for result in results.values() if result.score is None)
    line = f"{len(results)} videos: {len(results) - missing.total()} scored, {missing.total()} without a score"
    if missing:
        kinds = ", ".join(f"{count} {status}" for status, count in sorted(missing.items()))
        line += f" ({kinds}; {NEUTRAL_SCORE} in the submission)"
    if without_page:
        line += f"; {without_page} without a page in the report, which the same command writes again"
    return f"{line}: {escape(str(output))}"


def _file_key(path: Path) -> str:
    """Tells whether a video is the same file as before: its place, size and time of change."""
    try:
        facts = path.stat()
    except OSError:  # reading it will tell why
        return _place(path)
    return f"{_place(path)} {facts.st_size} {facts.st_mtime_ns}"


def _place(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100  (links to one file are videos of their own)


def _check_suffix(details: Path) -> None:
    if details.suffix.lower() not in DETAILS_SUFFIXES:
        raise ValueError(f"{details}: details are written as {' or '.join(DETAILS_SUFFIXES)}; end the name in one")


def _scores(path: Path, videos: Iterable[tuple[str, Any]]) -> dict[str, float | None]:
    """The scores as numbers; an empty text is none."""
    scores: dict[str, float | None] = {}
    for name, value in videos:
        if name in scores:
            raise ValueError(f"{path}: {name!r} is there twice")
        if isinstance(value, bool):
            value = str(value)
        try:
            scores[name] = None if value is None or value == "" else float(value)
        except (TypeError, ValueError, OverflowError):
            scores[name] = math.nan
        if not 0 <= (scores[name] or 0) <= 1:
            raise ValueError(f"{path}: {name!r} has score {value!r}; expected a number from 0 to 1")
    return scores


def _details_table(results: Mapping[str, VideoResult], models: Sequence[str], judge: Judge) -> str:
    rows = []
    for name, result in results.items():
        said = judged(result.score, judge)
        scores = [_decimal(result.score), *(_decimal(result.model_scores.get(model)) for model in models)]
        counts = [result.scored_faces, len(result.frames)]
        facts = [f"{result.seconds:.3f}", result.reason, _decimal(said["probability"]), said["verdict"] or ""]
        facts.append("; ".join(result.doubts))
        rows.append([name, result.status, scores[0], *counts, *scores[1:], *facts])
    known = ["filename", "status", "score", "faces", "frames", *models, "seconds", "reason", "probability", "verdict"]
    known.append("doubts")
    return _table(known, rows)


def video_to_json(result: VideoResult) -> dict[str, Any]:
    """A video's entry in the details, rounded."""
    content = result.to_dict()
    content["score"] = None if result.score is None else round(result.score, _DECIMALS["score"])
    content["model_scores"] = _rounded(result.model_scores)
    content["times"] = [round(seconds, _DECIMALS["time"]) for seconds in result.times]
    content["seconds"] = round(result.seconds, 3)
    if (check := content["precision_check"]) is not None and check["difference"] is not None:
        check["difference"] = round(check["difference"], _DECIMALS["score"])
    for person in content["persons"]:
        person["score"] = None if person["score"] is None else round(person["score"], _DECIMALS["score"])
    for face in content["faces"]:
        face["box"] = [round(value, _DECIMALS["box"]) for value in face["box"]]
        if face["landmarks"] is not None:
            face["landmarks"] = [[round(value, _DECIMALS["box"]) for value in point] for point in face["landmarks"]]
        face["confidence"] = None if face["confidence"] is None else round(face["confidence"], _DECIMALS["score"])
        face["scores"] = _rounded(face["scores"])
    return content


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: round(score, _DECIMALS["score"]) for name, score in scores.items()}


def _decimal(score: float | None) -> str:
    return "" if score is None else f"{score:.6f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(to_cell, header))
    writer.writerows([to_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    with out_of_space(path):
        atomic.write_text(path, text)
