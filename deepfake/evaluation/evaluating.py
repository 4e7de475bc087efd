"""Scores of a data set's videos -> figures: overall and by what the videos differ in, with intervals and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from deepfake.datasets.records import Dataset, VideoRecord
from deepfake.evaluation.protocols import DROP, ERROR, NEUTRAL
from deepfake.evaluation.recorded import ScoredVideo
from deepfake.scoring.aggregation import NEUTRAL_SCORE
from deepfake.scoring.detection_metrics import RESAMPLES, SEED, LabeledScores, measure_with_intervals
from deepfake.scoring.reliability import Estimate
from deepfake.storage.schema import Probability, read_json_as, write_json_as

EVALUATION_FORMAT = 1
OVERALL = "overall"
FRAME_AUC = "frame_auc"
FACE_SIZES = (64, 128, 256)
"""Pixels at which face sizes are divided."""
MANY_PERSONS = 3


@dataclass(frozen=True)
class MeasureOptions:
    """How figures are made of scores."""

    bootstrap: Annotated[int, Ge(1), Doc("resamples of the groups, for 95 % intervals")] = RESAMPLES
    seed: Annotated[int, Ge(0), Doc("of the resamples")] = SEED


@dataclass(frozen=True)
class Cell:
    """The figures of some of the videos.

    Attributes:
        by: what the videos are chosen by; OVERALL for all.
        name: the value that they share.
        too_few: why intervals say little; empty if they do not.
        metrics: name -> value, low, high.
    """

    by: str
    name: str
    reals: int
    fakes: int
    groups: int
    frames: int
    too_few: str
    metrics: dict[str, tuple[float, float, float]]

    @property
    def auc(self) -> float | None:
        return self.metrics["auc"][0] if "auc" in self.metrics else None


@dataclass(frozen=True)
class EvaluatedVideo:
    """One video: its label, and its score, which NEUTRAL makes 0.5 where there was none."""

    video_id: str
    name: str
    label: Literal[0, 1]
    group: str
    score: Probability
    reason: str = ""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        name: of the run.
        protocol: what a number means nothing without: key -> value.
        warnings, notes: sentences.
        cells: OVERALL first, then each breakdown, worst first.
        videos: all that count.
        threshold: score over which the calibration says fake; None without one.
    """

    name: str
    protocol: dict[str, str]
    warnings: list[str]
    notes: list[str]
    cells: list[Cell]
    videos: list[EvaluatedVideo]
    threshold: float | None = None

    @property
    def protocol_line(self) -> str:
        return protocol_line(self.protocol)

    def labeled_scores(self) -> LabeledScores:
        """Return the videos as arrays."""
        groups = np.unique([video.group for video in self.videos], return_inverse=True)[1].reshape(-1)
        labels = np.array([video.label for video in self.videos], np.int64)
        return LabeledScores(labels, np.array([video.score for video in self.videos]), groups, self.threshold)


def protocol_line(protocol: Mapping[str, str]) -> str:
    """Return a protocol in one line."""
    return "; ".join(f"{key}: {value}" for key, value in protocol.items())


@dataclass
class _Rows:
    """The videos that count, side by side."""

    records: list[VideoRecord] = field(default_factory=list)
    found: list[ScoredVideo] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def arrays(self, threshold: float | None) -> LabeledScores:
        groups = np.unique([record.group for record in self.records], return_inverse=True)[1].reshape(-1)
        labels = np.array([record.label for record in self.records], np.int64)
        return LabeledScores(labels, np.array(self.scores), groups, threshold)


def evaluate(
    dataset: Dataset,
    videos: Mapping[str, ScoredVideo],
    names: Mapping[str, str],
    no_face: str,
    options: MeasureOptions,
    protocol: Mapping[str, str],
    name: str = "evaluation",
    threshold: float | None = None,
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Evaluation:
    """Measure the scores of a data set's videos.

    Args:
        videos, names: by id in the data set: what was found, and the name it was recorded under.
        no_face: a name of `deepfake.evaluation.protocols.NO_FACE_RULES`.
        protocol: see `Evaluation`.
        threshold: score over which a calibration says fake.

    Raises:
        ValueError: a video without a score where `no_face` is ERROR, or no video that counts.
    """
    rows, said = _counted(dataset, videos, no_face)
    if not rows.records:
        raise ValueError(f"none of {len(videos)} videos has a score: {'; '.join(said) or 'none was predicted'}")
    whole = rows.arrays(threshold)
    cells = [_cell(OVERALL, "all", np.ones(len(rows.records), bool), whole, rows, options)]
    for by, chosen in breakdowns(rows.records, rows.found).items():
        found = [_cell(by, value, mask, whole, rows, options) for value, mask in chosen.items()]
        cells += sorted(found, key=lambda cell: (cell.auc is None, cell.auc or 0.0, cell.name))
    evaluated = [
        EvaluatedVideo(r.video_id, names.get(r.video_id, r.video_id), 1 if r.label else 0, r.group, score, f.reason)
        for r, f, score in zip(rows.records, rows.found, rows.scores)
    ]
    return Evaluation(name, dict(protocol), list(warnings), [*notes, *said], cells, evaluated, threshold)


def _counted(dataset: Dataset, videos: Mapping[str, ScoredVideo], no_face: str) -> tuple[_Rows, list[str]]:
    rows, missing = _Rows(), Counter[str]()
    for video_id, record in dataset.videos.items():
        found = videos.get(video_id)
        if found is None:
            continue
        if found.score is None:
            if no_face == ERROR:
                raise ValueError(f"{record.path}: no score: {found.reason or 'unknown'}; see --no-face")
            missing[found.reason or "unknown reason"] += 1
            if no_face == DROP:
                continue
        rows.records.append(record)
        rows.found.append(found)
        rows.scores.append(NEUTRAL_SCORE if found.score is None else found.score)
    notes = []
    if missing:
        kinds = ", ".join(f"{count} {reason}" for reason, count in missing.most_common(3))
        how = "count as 0.5" if no_face == NEUTRAL else "are left out"
        notes.append(f"{missing.total()} videos without a score {how} ({kinds})")
    if lacking := len(dataset.videos.keys() - videos.keys()):
        notes.append(f"{lacking} of the data set's {len(dataset.videos)} videos are not among the predictions")
    return rows, notes


def _cell(by: str, name: str, chosen: np.ndarray, whole: LabeledScores, rows: _Rows, options: MeasureOptions) -> Cell:
    of = whole.take(chosen)
    figures = measure_with_intervals(of, options.bootstrap, options.seed)
    places = np.flatnonzero(chosen)
    counts = [len(rows.found[place].frames) for place in places]
    if sum(counts):
        frames = LabeledScores(
            np.repeat(of.labels, counts),
            np.concatenate([rows.found[place].frames for place in places]),
            np.repeat(of.groups, counts),
        )
        # Of frames the order alone: the rest would say the same as of videos.
        found = measure_with_intervals(frames, options.bootstrap, options.seed, ("auc",))
        figures |= {FRAME_AUC: found["auc"]} if "auc" in found else {}
    fakes = int(of.labels.sum())
    plain = {metric: _plain(figure) for metric, figure in figures.items()}
    groups = len(np.unique(of.groups))
    return Cell(by, name, len(of.labels) - fakes, fakes, groups, sum(counts), of.too_few, plain)


def _plain(figure: Estimate) -> tuple[float, float, float]:
    return figure.value, figure.low, figure.high


def breakdowns(records: Sequence[VideoRecord], found: Sequence[ScoredVideo]) -> dict[str, dict[str, np.ndarray]]:
    """Return what the videos differ in -> value -> mask (n,): the fakes of each method with all reals, else the videos
    that share a value. What all share, or none has, is left out."""
    reals = np.array([record.label == 0 for record in records])
    keys: dict[str, Callable[[VideoRecord, ScoredVideo], str | None]] = {
        "method": lambda record, _: record.method if record.label else None,
        "compression": lambda record, _: record.compression,
        "split": lambda record, _: record.split,
        "face size": lambda _, video: None if video.face_size is None else size_class(video.face_size),
        "persons": lambda _, video: _persons(video),
    }
    tables: dict[str, dict[str, np.ndarray]] = {}
    for by, key in keys.items():
        values = np.array([key(record, video) or "" for record, video in zip(records, found)], object)
        distinct = sorted(set(values) - {""})
        if len(distinct) > (by != "method"):
            tables[by] = {value: (values == value) | (reals if by == "method" else False) for value in distinct}
    return tables


def size_class(side: float) -> str:
    """Return the class of a face's side in pixels."""
    for low, high in zip((0, *FACE_SIZES), FACE_SIZES):
        if side < high:
            return f"{low} to {high} px"
    return f"{FACE_SIZES[-1]} px and more"


def _persons(video: ScoredVideo) -> str | None:
    if video.persons is None:
        return None
    return f"{MANY_PERSONS} and more" if video.persons >= MANY_PERSONS else str(video.persons)


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write an evaluation as JSON, atomically."""
    write_json_as(path, evaluation, EVALUATION_FORMAT, indent=1)


def read_evaluation(path: Path) -> Evaluation:
    """Read what `write_evaluation` wrote. Raises ValueError: missing, or of another format."""
    return read_json_as(path, Evaluation, "evaluation", file_format=EVALUATION_FORMAT)
