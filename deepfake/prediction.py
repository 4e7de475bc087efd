"""Videos -> scores, with an ensemble of networks: processes find faces while this one scores."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepfake.face_scorer import FaceScorer, Scorer, ScoringError
from deepfake.face_stream import stream_faces
from deepfake.faces import FaceCollector, FaceSource, VideoFaces
from deepfake.persons import link_persons
from deepfake.precision import AUTO, FLOAT32
from deepfake.precision_check import agreeing_scorers
from deepfake.processes import Unwanted, WorkerDied, check_wanted
from deepfake.results import (
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
from deepfake.scoring import AGGREGATIONS, MAX_PERSON, OF_FAMILY, ensemble_score, max_person_score
from deepfake.scoring_models import ScoringModel, describe_run, exported_precision, make_scorer
from deepfake.video import VideoError


class Predictor:
    """An ensemble with its detectors, made ready once for any number of videos; one call at a time.

    A video's score is the weighted mean over models of each model's aggregated face scores.

    Args:
        device: where to score, and on CUDA where to detect.
        precision: a name in PRECISIONS, or AUTO for the device's fastest if the networks keep their scores in it
            (`deepfake.precision_check`). Exported files compute as they were made to, and AUTO alone goes with them.
        compiled: whether torch's networks are compiled, for a minute or more each.
        weights_dir: the folder of the detectors' weights, if they need any.
        aggregate: one of `deepfake.scoring.AGGREGATE_CHOICES`.

    Attributes:
        run: what its results depend on (`describe_run`).
        scorers: each model's, by name.

    Raises:
        ValueError: a detector's weights are missing or not its own.
    """

    def __init__(
        self,
        models: Sequence[ScoringModel],
        *,
        device: str = "cpu",
        precision: str = FLOAT32,
        compiled: bool = False,
        weights_dir: Path = Path("weights"),
        aggregate: str = OF_FAMILY,
    ) -> None:
        self.models = models
        self._device = device
        self._aggregate = aggregate
        self._collector = FaceCollector([model.view for model in models], device, weights_dir)
        precision, self.scorers = _make_scorers(models, self._collector, device, precision, compiled)
        self.run = describe_run(models, device, precision, aggregate, compiled)

    def predict_all(
        self, videos: Sequence[Path], workers: int = 1, unwanted: Unwanted | None = None
    ) -> Generator[tuple[Path, VideoResult], None, None]:
        """Yields each video once, in the order of completion, with its result; a video that cannot be scored has a
        status that says why.

        Args:
            workers: processes that decode and, without CUDA, detect ahead of the scoring.

        Raises:
            GivenUp: the work is unwanted (`deepfake.processes.stream`); asked between networks too.
        """
        once = list(dict.fromkeys(videos))
        for path, outcome in stream_faces(once, self._collector, self._device, workers, unwanted):
            if isinstance(outcome, VideoFaces):
                yield path, score_video(outcome, self.models, self.scorers, self._aggregate, unwanted)
            else:
                yield path, failed_result(outcome)

    def predict(self, video: Path, unwanted: Unwanted | None = None) -> VideoResult:
        """One video's result; see `predict_all`."""
        with contextlib.closing(self.predict_all([video], unwanted=unwanted)) as results:
            ((_, result),) = results
        return result


def _make_scorers(
    models: Sequence[ScoringModel], collector: FaceCollector, device: str, precision: str, compiled: bool
) -> tuple[str, dict[str, FaceScorer]]:
    """In which precision the models compute, and each one's scorer by name."""
    if models[0].exported is not None:
        return exported_precision(models, precision), {model.name: make_scorer(model, FLOAT32) for model in models}
    if precision == AUTO:
        precision, scorers = agreeing_scorers(models, collector, device)
        if not compiled:
            return precision, scorers
    return precision, {model.name: make_scorer(model, precision, compiled) for model in models}


def warm_up(models: Sequence[ScoringModel], scorers: Mapping[str, Scorer]) -> None:
    """A black picture through each network: what is made once is made, before anybody waits for it."""
    for model in models:
        scorers[model.name](np.zeros((1, model.view.size, model.view.size, 3), np.uint8))


def score_video(
    faces: VideoFaces,
    models: Sequence[ScoringModel],
    scorers: Mapping[str, Scorer],
    aggregate: str = OF_FAMILY,
    unwanted: Unwanted | None = None,
) -> VideoResult:
    """Scores the faces of one video; models for which no face was found have no say.

    Args:
        aggregate: one of `deepfake.scoring.AGGREGATE_CHOICES`.
        unwanted: asked before each network.

    Raises:
        GivenUp: the work is unwanted.
    """
    start = time.monotonic()
    by_face: dict[FaceSource, list[dict[str, float]]] = {
        source: [{} for _ in found] for source, found in faces.found.items()
    }
    try:
        for model in models:
            check_wanted(unwanted)
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
    return VideoResult(frames=video.frames, size=video.size, seconds=seconds, **found)


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
    for person in sorted({face.person for face in faces}):
        own = [face for face in faces if face.person == person]
        scores = _model_scores(own, models, aggregate)
        found.append(PersonScore(person, _weighted(scores, models) if scores else None, most_scored(own)))
    return found


def failed_result(error: Exception) -> VideoResult:
    """The result of a video whose reading ended with an error."""
    if isinstance(error, VideoError):
        return VideoResult(UNREADABLE, reason=str(error))
    return VideoResult(CRASHED if isinstance(error, WorkerDied) else FAILED, reason=str(error))


def _scored_faces(faces: VideoFaces, by_face: Mapping[FaceSource, Sequence[dict[str, float]]]) -> list[ScoredFace]:
    """All faces with their scores, if they have any, and the persons whom they belong to."""
    found = [(i, source, face) for i, (source, own) in enumerate(faces.found.items()) for face in own]
    persons = link_persons([(face.frame, i, face.face.box) for i, _, face in found])
    scores = [entry for source in faces.found for entry in by_face.get(source, [{}] * len(faces.found[source]))]
    return [
        ScoredFace(f.frame, f.face.box, f.face.score, f.crop_size, i, entry, person, f.face.landmarks)
        for (i, _, f), entry, person in zip(found, scores, persons)
    ]
