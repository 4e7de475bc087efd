"""The tables of a prediction: the submission, the details, and what is said of them at the end of a run.

The submission is Kaggle's `filename,label`; only there a video without a score gets a number, the neutral one. The
details never do. In tables (.csv) names are escaped where they must be (`to_cell`); JSON holds them as they are.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepfake.faces.boxes import FRAME_SPACE
from deepfake.media.files import absolute
from deepfake.scoring.aggregation import NEUTRAL_SCORE
from deepfake.scoring.calibration import DecisionRule, Uncalibrated
from deepfake.scoring.results import VideoResult
from deepfake.storage import atomic
from deepfake.storage.disk_full import out_of_space
from deepfake.storage.json_files import read_mapping
from deepfake.storage.names import escape, one_line, to_cell
from deepfake.storage.schema import OTHERS_IGNORED, Probability, from_plain
from deepfake.storage.tables import read_table

UNCALIBRATED = Uncalibrated()
DETAILS_FORMAT = 1
DETAILS_SUFFIXES = (".csv", ".json")
_MOST_SHOWN = 10
"""Videos that are named at the end of a run, for each kind of trouble."""
_DECIMALS = {"score": 6, "box": 4, "time": 3}


@dataclass(frozen=True)
class Details:
    """The scores of a details file, and how they were made.

    Attributes:
        scores: of each video by name; None for one without a score.
        models: what the run's description said of each; None if unknown (a .csv does not hold it).
        crop_recipes: likewise.
    """

    scores: dict[str, float | None]
    models: list[dict[str, Any]] | None = None
    crop_recipes: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class _ScoredVideo:
    """What is read back of one video's entry."""

    filename: str
    score: Probability | None


@dataclass(frozen=True)
class _DetailsFile:
    """What is read back of a .json file."""

    __pydantic_config__ = OTHERS_IGNORED

    videos: list[_ScoredVideo]
    models: list[dict[str, Any]]
    crop_recipes: list[dict[str, Any]]


def check_outputs(output: Path, details: Path | None) -> None:
    """Raise ValueError if the tables cannot be written under these names; before any work."""
    if details is not None:
        _check_suffix(details)
    for path in (output, details):
        if path is not None and path.is_dir():
            raise ValueError(f"{path}: is a folder; expected the name of a file to write")
    if details is not None and absolute(details) == absolute(output):
        raise ValueError(f"{output}: named for both the submission and the details")


def write_tables(
    output: Path,
    details: Path | None,
    results: Mapping[str, VideoResult],
    run: Mapping[str, Any],
    rule: DecisionRule = UNCALIBRATED,
) -> None:
    """Write the submission and, if asked for, the details."""
    write_submission(output, results, rule)
    if details is not None:
        write_details(details, results, run, rule)


def write_submission(path: Path, results: Mapping[str, VideoResult], rule: DecisionRule = UNCALIBRATED) -> None:
    """Write `filename,label`, atomically; the label is the probability, NEUTRAL_SCORE for a video without a score."""
    rows = [
        [name, f"{NEUTRAL_SCORE if result.score is None else rule.apply(result.score):.6f}"]
        for name, result in results.items()
    ]
    _write(path, _table(["filename", "label"], rows))


def write_details(
    path: Path, results: Mapping[str, VideoResult], run: Mapping[str, Any], rule: DecisionRule = UNCALIBRATED
) -> None:
    """Write what is known of every video, atomically, as the suffix says: .csv, or .json with every face.

    Args:
        run: what is known of the run: `models` (each with a `name`), `crop_recipes`, `settings`.
        rule: adds probability and verdict to the scores, which stay as the networks gave them.

    Raises:
        ValueError: another suffix.
    """
    _check_suffix(path)
    names = [model["name"] for model in run["models"]]
    if path.suffix.lower() == ".csv":
        _write(path, _details_table(results, names, rule))
    else:
        videos = [details_entry(name, result, rule) for name, result in results.items()]
        _write(path, json.dumps({**details_head(run, rule), "videos": videos}, indent=1, allow_nan=False))


def details_head(run: Mapping[str, Any], rule: DecisionRule = UNCALIBRATED) -> dict[str, Any]:
    """Return what the details say of all videos: the run, the thresholds, how to read boxes; plain JSON values."""
    note = "boxes are x1, y1, x2, y2 in pixels of the full frame"
    thresholds = {"real_below": rule.real_below, "fake_above": rule.fake_above, "source": rule.source}
    return {"format": DETAILS_FORMAT, "space": FRAME_SPACE, "note": note, "thresholds": thresholds, **run}


def details_entry(name: str, result: VideoResult, rule: DecisionRule = UNCALIBRATED) -> dict[str, Any]:
    """Return what the details say of one video, plain JSON values."""
    return {"filename": name, **decide(result.score, rule), **video_to_json(result)}


def read_details(path: Path) -> Details:
    """Read the scores that `write_details` wrote.

    Raises:
        ValueError: missing, another suffix or format, a video named twice, or a score outside 0..1.
    """
    _check_suffix(path)
    if path.suffix.lower() == ".csv":
        table = read_table(path, {"filename": str, "status": str, "score": str}, "table of details")
        cells = zip(table["filename"], table["score"])
        return Details(_by_name(path, ((name, _score(path, name, cell)) for name, cell in cells)))
    content = read_mapping(path, "details")
    file_format = DETAILS_FORMAT if "format" in content else None  # early files have none
    kept = from_plain(_DetailsFile, content, f"{path}: not the details of a prediction", file_format=file_format)
    scores = _by_name(path, ((video.filename, video.score) for video in kept.videos))
    return Details(scores, kept.models, kept.crop_recipes)


def join_details(paths: Sequence[Path]) -> Details:
    """Read the scores of several details files as one.

    Raises:
        ValueError: a video in two, or scores of different models; or see `read_details`.
    """
    joined: Details | None = None
    for path in paths:
        details = read_details(path)
        if joined is None:
            joined = details
            continue
        twice = sorted(joined.scores.keys() & details.scores.keys())
        if twice:
            raise ValueError(f"{path}: {twice[0]!r} is in {paths[0]} or another file, too; name each video once")
        if (joined.models, joined.crop_recipes) != (details.models, details.crop_recipes):
            raise ValueError(f"{path}: scores of other models, or found otherwise, than those in {paths[0]}")
        joined = Details({**joined.scores, **details.scores}, joined.models, joined.crop_recipes)
    assert joined is not None
    return joined


def decide(score: float | None, rule: DecisionRule) -> dict[str, Any]:
    """Return the `probability`, rounded, and the `verdict` by a rule; None for both without a score."""
    if score is None:
        return {"probability": None, "verdict": None}
    probability = rule.apply(score)
    return {"probability": round(probability, _DECIMALS["score"]), "verdict": rule.verdict(probability)}


def list_missing(results: Mapping[str, VideoResult]) -> list[str]:
    """Return a line for each of the first videos that have no score."""
    missing = [(name, result) for name, result in results.items() if result.score is None]
    return _first_lines([f"no score: {name}: {result.status}: {result.reason}" for name, result in missing])


def list_doubts(results: Mapping[str, VideoResult]) -> list[str]:
    """Return a line for each of the first videos whose file is in doubt."""
    return _first_lines([f"in doubt: {name}: {doubt}" for name, result in results.items() for doubt in result.doubts])


def _first_lines(lines: Sequence[str]) -> list[str]:
    shown = [f"  {one_line(line)}\n" for line in lines[:_MOST_SHOWN]]
    more = len(lines) - len(shown)
    return [*shown, f"  ... and {more} more; --details lists all\n"] if more else shown


def summarize(results: Mapping[str, VideoResult], output: Path, without_page: int = 0) -> str:
    """Return one line: how many videos have a score, have none and why, or have no page in the report."""
    missing = Counter(result.status for result in results.values() if result.score is None)
    line = f"{len(results)} videos: {len(results) - missing.total()} scored, {missing.total()} without a score"
    if missing:
        kinds = ", ".join(f"{count} {status}" for status, count in sorted(missing.items()))
        line += f" ({kinds}; {NEUTRAL_SCORE} in the submission)"
    if without_page:
        line += f"; {without_page} without a page in the report, which the same command writes again"
    return f"{line}: {escape(str(output))}"


def video_to_json(result: VideoResult) -> dict[str, Any]:
    """Return a video's entry in the details, rounded."""
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


def _details_table(results: Mapping[str, VideoResult], models: Sequence[str], rule: DecisionRule) -> str:
    rows = []
    for name, result in results.items():
        said = decide(result.score, rule)
        scores = [_decimal(result.score), *(_decimal(result.model_scores.get(model)) for model in models)]
        counts = [result.scored_faces, len(result.frames)]
        facts = [f"{result.seconds:.3f}", result.reason, _decimal(said["probability"]), said["verdict"] or ""]
        facts.append("; ".join(result.doubts))
        rows.append([name, result.status, scores[0], *counts, *scores[1:], *facts])
    known = ["filename", "status", "score", "faces", "frames", *models, "seconds", "reason", "probability", "verdict"]
    known.append("doubts")
    return _table(known, rows)


def _check_suffix(details: Path) -> None:
    if details.suffix.lower() not in DETAILS_SUFFIXES:
        raise ValueError(f"{details}: details are written as {' or '.join(DETAILS_SUFFIXES)}; end the name in one")


def _by_name(path: Path, videos: Iterable[tuple[str, float | None]]) -> dict[str, float | None]:
    scores: dict[str, float | None] = {}
    for name, score in videos:
        if name in scores:
            raise ValueError(f"{path}: {name!r} is there twice")
        scores[name] = score
    return scores


def _score(path: Path, name: str, cell: str) -> float | None:
    """Return the score in a cell of a table; an empty one has none."""
    try:
        score = float(cell) if cell else None
    except ValueError:
        score = math.nan
    if not 0 <= (score or 0) <= 1:
        raise ValueError(f"{path}: {name!r} has score {cell!r}; expected a number from 0 to 1")
    return score


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
