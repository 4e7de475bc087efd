"""One upload, one answer: what the service says of a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepfake.media.video import LIMITS, ReadLimits, VideoError
from deepfake.parallel.pool import IsCancelled, WorkerDied
from deepfake.prediction.predictor import Predictor, failed_result
from deepfake.scoring.calibration import DecisionRule
from deepfake.scoring.results import UNREADABLE, VideoResult
from deepfake.scoring.tables import details_entry, details_head
from serving.uploading import Upload
from serving.uploads import check_length, named_as_uploaded


class Unsuitable(ValueError):
    """The upload is neither a video nor a picture that can be decoded; the message says why."""


@dataclass(frozen=True)
class Answer:
    """What came of an upload: the result, and all that is said of it as plain JSON values."""

    result: VideoResult
    content: dict[str, Any]


class Answerer:
    """Scores uploads, one at a time.

    Args:
        predictor: the ensemble.
        rule: reads its scores.
        max_seconds: longer videos are refused.
        limits: of reading an upload; the predictor's too.
    """

    def __init__(
        self, predictor: Predictor, rule: DecisionRule, max_seconds: float, limits: ReadLimits = LIMITS
    ) -> None:
        self.models = [model.name for model in predictor.models]
        self._predictor = predictor
        self._rule = rule
        self._max_seconds, self._limits = max_seconds, limits

    def __call__(self, upload: Upload, is_cancelled: IsCancelled) -> Answer:
        """
        Raises:
            Unsuitable: no video or picture.
            TooLong: the video is.
            Cancelled: the answer was cancelled.
        """
        result = self._score(upload.file, is_cancelled)
        result = replace(result, reason=named_as_uploaded(result.reason, upload.file, upload.name))
        if result.status == UNREADABLE:
            raise Unsuitable(result.reason)
        entry = details_entry(upload.name, result, self._rule)
        return Answer(result, {**entry, **details_head(self._predictor.run, self._rule)})

    def _score(self, file: Path, is_cancelled: IsCancelled) -> VideoResult:
        try:
            check_length(file, self._max_seconds, is_cancelled, self._limits)
        except (VideoError, WorkerDied, RuntimeError) as error:
            return failed_result(error)
        return self._predictor.predict(file, is_cancelled)
