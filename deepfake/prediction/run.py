"""A prediction of many videos that can be stopped at any time and continued later."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from deepfake.datasets.run_records import plain
from deepfake.prediction.precision_check import PrecisionCheck
from deepfake.prediction.predictor import Predictor
from deepfake.prediction.scoring_model import ScoringModel, describe_run
from deepfake.scoring.result_journal import ResultJournal
from deepfake.scoring.results import VideoResult


class PredictionRun:
    """Scores videos and keeps each result in a journal beside the run's output, until the run is complete.

    Attributes:
        results: what is known so far.
    """

    def __init__(self, predictor: Predictor, videos: Sequence[Path], output: Path) -> None:
        """
        Args:
            videos: all that the run scores.
            output: the file that the run makes; the journal stands beside it.
        """
        self.results: dict[Path, VideoResult] = {}
        self._predictor = predictor
        self._videos = videos
        self._journal = ResultJournal(output, predictor.run, videos)

    def resume(self) -> int:
        """Take over the results that an earlier, stopped run of the same kind has left; return how many.

        Raises:
            ValueError: its journal is damaged.
        """
        self.results = self._journal.results()
        return len(self.results)

    def predict(self) -> Generator[tuple[Path, VideoResult], None, None]:
        """Yield each video that has no result yet with its result, in the order of completion, once it is recorded.

        Raises:
            OutOfSpace: the disk is full.
        """
        left = [path for path in self._videos if path not in self.results]
        with contextlib.closing(self._predictor.predict_all(left)) as stream, self._journal:
            for path, result in stream:
                self.results[path] = result
                self._journal.record(path, result)
                yield path, result

    def finish(self) -> None:
        """Remove the journal: the output is written."""
        self._journal.remove()


def earlier_check(
    begun: Mapping[str, Any] | None, models: Sequence[ScoringModel], device: str, aggregate: str, compiled: bool
) -> PrecisionCheck | None:
    """Return what a stopped run found of reduced precision; None if this one would not be the same with it.

    Args:
        begun: the description of that run (`deepfake.storage.journal.begun_run`).
        models, device, aggregate, compiled: of this one, as for `describe_run`.
    """
    content = (begun or {}).get("settings", {}).get("precision_check")
    if content is None or content.keys() != {field.name for field in fields(PrecisionCheck)}:
        return None
    check = PrecisionCheck(**content)
    same = plain(describe_run(models, device, check.chosen, aggregate, compiled, check)) == begun
    return check if same else None
