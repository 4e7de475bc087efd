"""Videos -> scores, with an ensemble of networks: processes find faces while this one scores."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from deepfake.datasets.run_records import plain
from deepfake.faces.tracking import drop_strays, link_persons
from deepfake.media.video import LIMITS, ReadLimits, VideoError
from deepfake.models.precision import (
    AUTO,
    FLOAT32,
    PORTRAITS,
    REDUCED_TOLERANCE,
    VIDEOS,
    PrecisionCheck,
    fastest_precision,
)
from deepfake.parallel.pool import IsCancelled, WorkerDied, raise_if_cancelled
from deepfake.prediction.face_collector import FaceCollector, FaceSource, VideoFaces
from deepfake.prediction.face_scorer import FaceScorer, Scorer, ScoringError
from deepfake.prediction.face_stream import stream_faces
from deepfake.prediction.precision_check import (
    FEWEST_TO_TRY,
    THOROUGH_BELOW,
    checked_videos,
    example_videos,
    portrait_examples,
    try_precision,
    video_examples,
)
from deepfake.prediction.scoring_model import ScoringModel, describe_run, exported_precision, make_scorer
from deepfake.scoring.aggregation import AGGREGATIONS, MAX_PERSON, OF_FAMILY, ensemble_score, max_person_score
from deepfake.scoring.results import (
    CRASHED,
    FAILED,
    NO_FACE,
    OK,
    UNREADABLE,
    PersonScore,
    ScoreCheck,
    ScoredFace,
    VideoResult,
    most_scored,
)

log = logging.getLogger(__name__)


class Predictor:
    """An ensemble with its detectors, made ready once for any number of videos; one call at a time.

    A video's score is the weighted mean over models of each model's aggregated face scores.

    Args:
        device: where to score, and on CUDA where to detect.
        precision: a name in PRECISIONS, or AUTO for the device's fastest if the networks keep their scores in it
            (`deepfake.prediction.precision_check`), and float32 for one to four videos. Exported files compute as they
            were made to, and AUTO alone goes with them.
        compiled: whether torch's networks are compiled, for a minute or more each.
        weights_dir: the folder of the detectors' weights, if they need any.
        aggregate: one of `deepfake.scoring.aggregation.AGGREGATE_CHOICES`.
        workers: processes that decode and, without CUDA, detect ahead of the scoring.
        videos: all that the run scores, in a stable order: AUTO tries reduced precision on the faces of some of them,
            which are found once and kept until `predict_all` scores them, and has `predict_all` score others in float32
            too. Without any it tries two portraits.
        begun: `run` of a stopped run that this one may continue: if all else is the same, AUTO chooses as that did.

        limits: what reading one video may take; one over a limit is unreadable.

    Attributes:
        run: what its results depend on (`describe_run`).
        check: what AUTO found of reduced precision; None if it tried none.
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
        workers: int = 1,
        videos: Sequence[Path] = (),
        begun: Mapping[str, Any] | None = None,
        limits: ReadLimits = LIMITS,
    ) -> None:
        self.models = models
        self._device = device
        self._aggregate = aggregate
        self._workers = workers
        self._collector = FaceCollector([model.view for model in models], device, weights_dir, limits)
        self._found: dict[Path, VideoFaces | Exception] = {}
        self._checked: frozenset[Path] = frozenset()
        self.check: PrecisionCheck | None = None
        self.scorers: dict[str, FaceScorer] = {}
        describe = partial(describe_run, models, device, aggregate=aggregate, compiled=compiled)
        videos = list(dict.fromkeys(videos))
        if models[0].exported is not None:
            precision = exported_precision(models, precision)
        elif precision == AUTO:
            precision = fastest_precision(device)
            if precision != FLOAT32:  # else there is nothing to try
                self.check = _check_of(begun, precision, describe) or self._try(precision, videos)
                precision = FLOAT32 if self.check is None else self.check.chosen
            if precision != FLOAT32:
                self._checked = frozenset(checked_videos(videos))
        if compiled or not self.scorers:
            self.scorers = {model.name: make_scorer(model, precision, compiled) for model in models}
        self.run = describe(precision, check=self.check)

    def predict_all(
        self, videos: Sequence[Path], is_cancelled: IsCancelled | None = None
    ) -> Generator[tuple[Path, VideoResult], None, None]:
        """Yields each video once, in the order of completion, with its result; a video that cannot be scored has a
        status that says why.

        Raises:
            Cancelled: the work was cancelled (`deepfake.parallel.pool.stream`); checked between networks too.
        """
        once = list(dict.fromkeys(videos))
        known = [path for path in once if path in self._found]
        further = [path for path in once if path not in self._found]
        for path in known:
            yield path, self._result(path, self._found.pop(path), is_cancelled)
        for path, outcome in stream_faces(further, self._collector, self._device, self._workers, is_cancelled):
            yield path, self._result(path, outcome, is_cancelled)

    def predict(self, video: Path, is_cancelled: IsCancelled | None = None) -> VideoResult:
        """One video's result; see `predict_all`."""
        with contextlib.closing(self.predict_all([video], is_cancelled)) as results:
            ((_, result),) = results
        return result

    def _try(self, precision: str, videos: Sequence[Path]) -> PrecisionCheck | None:
        """Whether the models keep their scores in reduced precision; if so, these are their scorers. None if the videos
        are too few to try it."""
        if not videos:
            examples = portrait_examples(self._collector)
            check, scorers = try_precision(self.models, precision, PORTRAITS, examples, thorough=True)
        elif len(videos) < FEWEST_TO_TRY:
            return None
        else:
            examples = video_examples(self._find(example_videos(videos)))
            thorough = len(videos) < THOROUGH_BELOW
            check, scorers = try_precision(self.models, precision, VIDEOS, examples, thorough)
        if check.kept:
            self.scorers = scorers
        return check

    def _find(self, videos: Sequence[Path]) -> list[VideoFaces]:
        """Find the faces of videos and keep them until they are scored; those that can be read, in order."""
        stream = stream_faces(videos, self._collector, self._device, self._workers)
        with contextlib.closing(stream), tqdm(desc="finding faces", total=len(videos), leave=False) as bar:
            for path, outcome in stream:
                self._found[path] = outcome
                bar.update()
        return [found for path in videos if isinstance(found := self._found.get(path), VideoFaces)]

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
    """Scorers in float32 that are made when they are called and not kept: the memory of one network at a time."""

    def once(model: ScoringModel) -> Scorer:
        return lambda images: make_scorer(model, FLOAT32)(images)

    return {model.name: once(model) for model in models}


def checked_result(reduced: VideoResult, exact: VideoResult) -> VideoResult:
    """Compare a video's results in reduced precision and in float32, and return the one that counts.

    That is float32's if the score, or that of a network, differs by more than REDUCED_TOLERANCE, or if there is none in
    reduced precision.

    Args:
        reduced: with or without a score.
        exact: with a score.
    """
    difference = None
    if reduced.score is not None and exact.score is not None:
        pairs = [(reduced.score, exact.score)]
        pairs += [(reduced.model_scores[name], score) for name, score in exact.model_scores.items()]
        difference = max(abs(one - other) for one, other in pairs)
    kept = difference is not None and difference <= REDUCED_TOLERANCE
    return replace(reduced if kept else exact, precision_check=ScoreCheck(difference, kept))


def _check_of(
    begun: Mapping[str, Any] | None, precision: str, describe: Callable[..., dict[str, Any]]
) -> PrecisionCheck | None:
    """What a stopped run found of reduced precision, if this one would be the same with it."""
    content = (begun or {}).get("settings", {}).get("precision_check")
    if content is None or content.keys() != {field.name for field in fields(PrecisionCheck)}:
        return None
    check = PrecisionCheck(**content)
    return check if check.precision == precision and plain(describe(check.chosen, check=check)) == begun else None


def warm_up(models: Sequence[ScoringModel], scorers: Mapping[str, Scorer]) -> None:
    """A black picture through each network: what is made once is made, before anybody waits for it."""
    for model in models:
        scorers[model.name](np.zeros((1, model.view.size, model.view.size, 3), np.uint8))


def score_video(
    faces: VideoFaces,
    models: Sequence[ScoringModel],
    scorers: Mapping[str, Scorer],
    aggregate: str = OF_FAMILY,
    is_cancelled: IsCancelled | None = None,
) -> VideoResult:
    """Scores the faces of one video; models for which no face was found have no say.

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
    """The result of a video whose reading ended with an error."""
    if isinstance(error, VideoError):
        return VideoResult(UNREADABLE, reason=str(error))
    return VideoResult(CRASHED if isinstance(error, WorkerDied) else FAILED, reason=str(error))


def _scored_faces(faces: VideoFaces, by_face: Mapping[FaceSource, Sequence[dict[str, float]]]) -> list[ScoredFace]:
    """All faces with their scores, if they have any, and the persons whom they belong to."""
    found = [(i, source, face) for i, (source, own) in enumerate(faces.found.items()) for face in own]
    linked = link_persons([(face.frame, i, face.face.box) for i, _, face in found])
    persons = drop_strays(linked, [face.frame for _, _, face in found], [face.face.score for _, _, face in found])
    scores = [entry for source in faces.found for entry in by_face.get(source, [{}] * len(faces.found[source]))]
    return [
        ScoredFace(f.frame, f.face.box, f.face.score, f.crop_size, i, entry, person, f.face.landmarks)
        for (i, _, f), entry, person in zip(found, scores, persons)
    ]
