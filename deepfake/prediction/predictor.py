"""Videos -> scores, with an ensemble of networks: processes find faces while this one scores."""

from __future__ import annotations

import contextlib
import copy
import logging
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deepfake.faces.tracking import drop_strays, track_faces
from deepfake.media.video import VideoError
from deepfake.models.precision import FLOAT32, REDUCED_TOLERANCE
from deepfake.parallel.pool import IsCancelled, WorkerDied, raise_if_cancelled
from deepfake.prediction.face_collector import FaceSource, VideoFaces
from deepfake.prediction.face_scorer import Scorer, ScoringError
from deepfake.prediction.face_stream import FaceFinder
from deepfake.prediction.precision_check import checked_result
from deepfake.prediction.precision_choice import PrecisionChoice
from deepfake.prediction.scoring_model import ScoringModel, describe_run, make_scorer
from deepfake.scoring.aggregation import AGGREGATIONS, MAX_PERSON, OF_FAMILY, ensemble_score, max_person_score
from deepfake.scoring.results import (
    CRASHED,
    FAILED,
    NO_FACE,
    OK,
    UNREADABLE,
    PersonScore,
    ScoredFace,
    VideoResult,
    most_scored,
)
from deepfake.synthesis.perturbations.perturbation import Perturbation

log = logging.getLogger(__name__)


class Predictor:
    """An ensemble with its detectors, made ready once for any number of videos; one call at a time.

    A video's score is the weighted mean over models of each model's aggregated face scores.
    `deepfake.prediction.loading.build_predictor` makes one.

    Attributes:
        run: what its results depend on (`describe_run`).
        check: what was found of reduced precision; None if it was not tried.
        scorers: each model's, by name.
    """

    def __init__(
        self,
        models: Sequence[ScoringModel],
        faces: FaceFinder,
        choice: PrecisionChoice,
        aggregate: str = OF_FAMILY,
        compiled: bool = False,
    ) -> None:
        """
        Args:
            faces: finds the models' faces.
            choice: what they compute in.
            aggregate: one of `deepfake.scoring.aggregation.AGGREGATE_CHOICES`.
            compiled: whether torch's networks are compiled, for a minute or more each.
        """
        self.models = models
        self.check = choice.check
        self.run = describe_run(models, faces.device, choice.precision, aggregate, compiled, choice.check)
        self._faces = faces
        self._checked = choice.checked
        self._aggregate = aggregate
        self.scorers = choice.scorers
        if compiled or not self.scorers:
            self.scorers = {model.name: make_scorer(model, choice.precision, compiled) for model in models}

    def perturbed(self, perturbation: Perturbation) -> Predictor:
        """Return one that scores videos as a perturbation leaves them, with the same networks in the same precision.

        Its `run` names the perturbation, so that its results are never taken for those of other videos.
        """
        other = copy.copy(self)
        other._faces = self._faces.perturbed(perturbation)
        other.run = {**self.run, "settings": {**self.run["settings"], "perturbation": asdict(perturbation)}}
        return other

    def predict_all(
        self, videos: Sequence[Path], is_cancelled: IsCancelled | None = None
    ) -> Generator[tuple[Path, VideoResult], None, None]:
        """Yield each video once, in the order of completion, with its result; a video that cannot be scored has a
        status that says why.

        Raises:
            Cancelled: `is_cancelled` has returned True, asked between networks too (`deepfake.parallel.pool.stream`).
        """
        for path, outcome in self._faces.stream(videos, is_cancelled):
            yield path, self._result(path, outcome, is_cancelled)

    def predict(self, video: str | Path, is_cancelled: IsCancelled | None = None) -> VideoResult:
        """Return one video's result; see `predict_all`."""
        with contextlib.closing(self.predict_all([Path(video)], is_cancelled)) as results:
            ((_, result),) = results
        return result

    def _result(self, path: Path, outcome: VideoFaces | Exception, is_cancelled: IsCancelled | None) -> VideoResult:
        if not isinstance(outcome, VideoFaces):
            return failed_result(outcome)
        score = partial(score_video, outcome, self.models, aggregate=self._aggregate, is_cancelled=is_cancelled)
        result = score(self.scorers)
        if not self._is_checked(path, result):
            return result
        exact = score(float32_scorers(self.models))
        return exact if exact.score is None else self._compare(path, result, exact)

    def _is_checked(self, path: Path, result: VideoResult) -> bool:
        """Whether a video is scored in float32 too, where AUTO reduced the precision: if it is its turn, or if it has
        no score otherwise."""
        if self.check is None or not self.check.kept:
            return False
        return result.status == FAILED or (result.status == OK and path in self._checked)

    def _compare(self, path: Path, reduced: VideoResult, exact: VideoResult) -> VideoResult:
        checked = checked_result(reduced, exact)
        assert checked.precision_check is not None and self.check is not None
        if not checked.precision_check.kept:
            off = checked.precision_check.difference
            log.warning(
                "%s: its score in %s %s; it has float32's score, but others may be off too: see --precision float32",
                path.name,
                self.check.precision,
                "is no number" if off is None else f"is off by {off:.2g}, more than {REDUCED_TOLERANCE:g}",
            )
        return checked


def float32_scorers(models: Sequence[ScoringModel]) -> dict[str, Scorer]:
    """Return scorers in float32 that are made when they are called and not kept: one network's memory at a time."""

    def once(model: ScoringModel) -> Scorer:
        return lambda images: make_scorer(model, FLOAT32)(images)

    return {model.name: once(model) for model in models}


def warm_up(models: Sequence[ScoringModel], scorers: Mapping[str, Scorer]) -> None:
    """Run each network on a black picture, so that nobody waits for what is made only once."""
    for model in models:
        scorers[model.name](np.zeros((1, model.view.size, model.view.size, 3), np.uint8))


def score_video(
    faces: VideoFaces,
    models: Sequence[ScoringModel],
    scorers: Mapping[str, Scorer],
    aggregate: str = OF_FAMILY,
    is_cancelled: IsCancelled | None = None,
) -> VideoResult:
    """Score the faces of one video; models for which no face was found have no say.

    Args:
        aggregate: one of `deepfake.scoring.aggregation.AGGREGATE_CHOICES`.
        is_cancelled: called before each network.

    Raises:
        Cancelled: the work was cancelled.
    """
    start = time.monotonic()
    by_face: dict[FaceSource, list[dict[str, float]]] = {
        source: [{} for _ in found] for source, found in faces.found.items()
    }
    try:
        for model in models:
            raise_if_cancelled(is_cancelled)
            scores = scorers[model.name](faces.images[model.view])
            for entry, value in zip(by_face[model.source], scores.tolist()):
                entry[model.name] = value
    except ScoringError as error:
        return _result(faces, start, status=FAILED, reason=f"{model.name}: {error}", faces=_scored_faces(faces, {}))
    found = _scored_faces(faces, by_face)
    persons = _persons(found, models, aggregate)
    model_scores = _model_scores(found, models, aggregate)
    if not model_scores:
        return _result(faces, start, status=NO_FACE, reason="no face was found", faces=found, persons=persons)
    if aggregate == MAX_PERSON:
        score = max_person_score([(p.score, p.faces) for p in persons if p.score is not None])
    else:
        score = _weighted(model_scores, models)
    return _result(faces, start, status=OK, score=score, model_scores=model_scores, faces=found, persons=persons)


def _result(video: VideoFaces, start: float, **found: Any) -> VideoResult:
    seconds = video.seconds + time.monotonic() - start
    read: dict[str, Any] = {"frames": video.frames, "times": video.times, "doubts": video.doubts, "size": video.size}
    return VideoResult(**read, seconds=seconds, **found)


def _model_scores(faces: Sequence[ScoredFace], models: Sequence[ScoringModel], aggregate: str) -> dict[str, float]:
    """What each model that has scored a face says of all of them together."""
    scores = {}
    for model in models:
        own = [face.scores[model.name] for face in faces if model.name in face.scores]
        if own:
            rule = aggregate if aggregate in AGGREGATIONS else model.aggregation
            scores[model.name] = float(AGGREGATIONS[rule](own))
    return scores


def _weighted(model_scores: Mapping[str, float], models: Sequence[ScoringModel]) -> float:
    weights = [model.weight for model in models if model.name in model_scores]
    return ensemble_score(list(model_scores.values()), weights)


def _persons(faces: Sequence[ScoredFace], models: Sequence[ScoringModel], aggregate: str) -> list[PersonScore]:
    found = []
    for person in sorted({face.person for face in faces if face.person is not None}):
        own = [face for face in faces if face.person == person]
        scores = _model_scores(own, models, aggregate)
        found.append(PersonScore(person, _weighted(scores, models) if scores else None, most_scored(own)))
    return found


def failed_result(error: Exception) -> VideoResult:
    """Return the result of a video whose reading ended with an error."""
    if isinstance(error, VideoError):
        return VideoResult(UNREADABLE, reason=str(error))
    return VideoResult(CRASHED if isinstance(error, WorkerDied) else FAILED, reason=str(error))


def _scored_faces(faces: VideoFaces, by_face: Mapping[FaceSource, Sequence[dict[str, float]]]) -> list[ScoredFace]:
    """All faces with their scores, if they have any, and the persons whom they belong to."""
    found = [(i, source, face) for i, (source, own) in enumerate(faces.found.items()) for face in own]
    tracks = track_faces([(face.frame, i, face.face.box) for i, _, face in found])
    persons = drop_strays(tracks, [face.frame for _, _, face in found], [face.face.score for _, _, face in found])
    scores = [entry for source in faces.found for entry in by_face.get(source, [{}] * len(faces.found[source]))]
    return [
        ScoredFace(f.frame, f.face.box, f.face.score, f.crop_size, i, entry, person, f.face.landmarks)
        for (i, _, f), entry, person in zip(found, scores, persons)
    ]
