"""The precision that a run computes in: the one asked for, or the device's fastest if scores stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deepfake.models.precision import AUTO, FLOAT32, fastest_precision
from deepfake.prediction.face_scorer import FaceScorer
from deepfake.prediction.face_stream import FaceFinder
from deepfake.prediction.precision_check import PORTRAITS, VIDEOS, PrecisionCheck
from deepfake.prediction.precision_trial import example_videos, portrait_examples, try_precision, video_examples
from deepfake.prediction.scoring_model import ScoringModel, exported_precision

FEWEST_TO_TRY = 5
"""Fewer videos are scored in float32 in less time than a trial and the scoring in reduced precision take: a face in
float32 costs two to four times as much, and a trial takes half of their faces."""
THOROUGH_BELOW = 16
"""With fewer videos all trials are thorough: a run in which one video counts for much."""

CHECK_EVERY = 16
"""One video in so many is scored in float32 too while a run goes."""


@dataclass(frozen=True)
class PrecisionChoice:
    """What a run computes in, and why.

    Attributes:
        precision: a name in PRECISIONS; of exported files what `exported_precision` returns.
        check: what was found of reduced precision; None if it was not tried.
        checked: the videos that are scored in float32 too while the run goes.
        scorers: each model's in `precision`, by name, where the trial has made them; otherwise empty.
    """

    precision: str = FLOAT32
    check: PrecisionCheck | None = None
    checked: frozenset[Path] = frozenset()
    scorers: dict[str, FaceScorer] = field(default_factory=dict)


def choose_precision(
    models: Sequence[ScoringModel],
    faces: FaceFinder,
    asked: str = AUTO,
    videos: Sequence[Path] = (),
    earlier: PrecisionCheck | None = None,
) -> PrecisionChoice:
    """Return the precision to compute in, after a trial if there has to be one.

    Args:
        faces: finds the models' faces; it keeps those of the trial until they are scored.
        asked: a name in PRECISIONS, or AUTO for the device's fastest if the networks keep their scores in it, and
            float32 for one to four videos. Exported files compute as they were made to, and AUTO alone goes with them.
        videos: all that the run scores, in a stable order: a trial takes the faces of some of them, and others are
            scored in float32 too. Without any it takes two portraits.
        earlier: what a stopped run that this one continues has found: then there is no other trial.

    Raises:
        ValueError: see `exported_precision`.
    """
    if models[0].exported is not None:
        return PrecisionChoice(exported_precision(models, asked))
    if asked != AUTO:
        return PrecisionChoice(asked)
    precision = fastest_precision(faces.device)
    if precision == FLOAT32:  # nothing to try
        return PrecisionChoice()
    once = list(dict.fromkeys(videos))
    check, scorers = earlier, dict[str, FaceScorer]()
    if check is None or check.precision != precision:
        if once and len(once) < FEWEST_TO_TRY:
            return PrecisionChoice()
        check, scorers = _try(models, faces, precision, once)
    if not check.kept:
        return PrecisionChoice(check=check)
    return PrecisionChoice(precision, check, frozenset(checked_videos(once)), scorers)


def checked_videos(videos: Sequence[Path]) -> list[Path]:
    """Return the videos that are scored in float32 too while a run goes: the same ones for the same list."""
    return list(videos[CHECK_EVERY - 1 :: CHECK_EVERY])


def _try(
    models: Sequence[ScoringModel], faces: FaceFinder, precision: str, videos: Sequence[Path]
) -> tuple[PrecisionCheck, dict[str, FaceScorer]]:
    if not videos:
        return try_precision(models, precision, PORTRAITS, portrait_examples(faces.collector), thorough=True)
    examples = video_examples(faces.keep(example_videos(videos)))
    return try_precision(models, precision, VIDEOS, examples, thorough=len(videos) < THOROUGH_BELOW)
