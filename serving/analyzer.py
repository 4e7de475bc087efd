"""Analyzes an uploaded file: is it short enough, what do the networks say, what does the report show.

The service and the page use it alike. A file is read in processes of their own: one that crashes the decoder harms no
other user.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from deepfake.faces.detectors.base import ALIGNING, DetectorSettings
from deepfake.media.video import LIMITS, ReadLimits, VideoError, length_of
from deepfake.models.precision import AUTO, choose_device
from deepfake.parallel.pool import IsCancelled, WorkerDied, run_in_subprocess
from deepfake.prediction.bounded_memory import bounded_memory
from deepfake.prediction.ensemble import Member
from deepfake.prediction.loading import NoUseForDetector, load_predictor
from deepfake.prediction.predictor import Predictor, failed_result
from deepfake.scoring.calibration import Calibration, DecisionRule, choose_rule
from deepfake.scoring.results import UNREADABLE, VideoResult
from deepfake.scoring.tables import details_entry, details_head
from serving.upload_options import UploadOptions

Progress = Callable[[float, str], None]
"""Called with the share of the work that is done, 0 to 1, and what is being done."""


class Unsuitable(ValueError):
    """The file is neither a video nor a picture that can be decoded; the message says why."""


class TooLong(ValueError):
    """The video is longer than allowed; the message says by how much."""


@dataclass(frozen=True)
class Analysis:
    """What was found in a file.

    Attributes:
        result: scores, faces, and the status where there is no score.
        details: the file's entry in the details, with models, settings and thresholds, as plain JSON values.
        report: the report as an HTML page of its own, if it was asked for.
    """

    result: VideoResult
    details: dict[str, Any]
    report: str | None = None


@dataclass(frozen=True)
class AnalyzerSettings:
    """How files are analyzed, whatever the ensemble.

    Attributes:
        device: `auto`, `cpu` or `cuda`.
        detector: finds the faces for networks that see aligned ones; None: as each network's recipe says.
        weights_dir: the folder of the detectors' weights, if they need any.
        precision: see `deepfake.prediction.precision_choice.choose_precision`.
        max_seconds: longer videos are refused.
        limits: of reading a file.
    """

    device: str = "auto"
    detector: DetectorSettings | None = None
    weights_dir: Path = Path("weights")
    precision: str = AUTO
    max_seconds: float = UploadOptions.max_seconds
    limits: ReadLimits = LIMITS

    @staticmethod
    def chosen(args: Namespace, uploads: UploadOptions) -> AnalyzerSettings:
        """Return what the options of `deepfake.cli.prediction_options` say, and those on uploads.

        Raises:
            ValueError: CUDA is asked for and not there.
        """
        return AnalyzerSettings(
            device=choose_device(args.device),
            detector=ALIGNING.get(args.detector),
            weights_dir=args.weights_dir,
            precision=args.precision,
            max_seconds=uploads.max_seconds,
            limits=uploads.limits(),
        )


class Analyzer:
    """Analyzes files with one ensemble, one at a time.

    Args:
        predictor: the ensemble, ready to score.
        rule: turns its scores into probabilities and verdicts.
        max_seconds: longer videos are refused.
        limits: of reading a file; the predictor's too.
    """

    def __init__(self, predictor: Predictor, rule: DecisionRule, max_seconds: float, limits: ReadLimits) -> None:
        self.models = [model.name for model in predictor.models]
        self._predictor, self._rule = predictor, rule
        self._max_seconds, self._limits = max_seconds, limits

    def analyze(
        self,
        file: Path,
        name: str,
        is_cancelled: IsCancelled | None = None,
        progress: Progress = lambda share, step: None,
        with_report: bool = False,
    ) -> Analysis:
        """Score a video or picture, and draw its report if asked to.

        Args:
            file: where it lies.
            name: what its user calls it; messages, details and report say this instead of `file`.
            is_cancelled: called several times a second until the file is scored.

        Raises:
            Unsuitable: it is no video or picture that can be decoded.
            TooLong: the video is longer than allowed.
            Cancelled: the work was cancelled.
        """
        progress(0.3, "finding and scoring faces")
        result = self._score(file, is_cancelled)
        result = replace(result, reason=named_as_uploaded(result.reason, file, name))
        if result.status == UNREADABLE:
            raise Unsuitable(result.reason)
        details = {**details_entry(name, result, self._rule), **details_head(self._predictor.run, self._rule)}
        if not with_report:
            return Analysis(result, details)
        progress(0.8, "drawing the report")
        return Analysis(result, details, self._report(file, name, result))

    def _score(self, file: Path, is_cancelled: IsCancelled | None) -> VideoResult:
        try:
            check_length(file, self._max_seconds, is_cancelled, self._limits)
        except (VideoError, WorkerDied, RuntimeError) as error:
            return failed_result(error)
        return self._predictor.predict(file, is_cancelled)

    def _report(self, file: Path, name: str, result: VideoResult) -> str:
        from visualize.report.highlights import Highlights
        from visualize.report.report import Reporter

        highlights = Highlights(self._predictor.models)
        with tempfile.TemporaryDirectory() as folder:
            reporter = Reporter(Path(folder), self._predictor.run, self._rule, highlights, self._limits)
            return reporter.write(name, file, result).read_text(encoding="utf-8")


def load_analyzer(members: Sequence[Member], settings: AnalyzerSettings, calibration: Calibration | None) -> Analyzer:
    """Load an ensemble's networks.

    Raises:
        ValueError: they, the device, the detector or the calibration cannot be used.
    """
    predictor = load_predictor(
        members, settings.device, settings.detector, settings.weights_dir, settings.precision, settings.limits
    )
    return Analyzer(predictor, choose_rule(calibration, predictor.run), settings.max_seconds, settings.limits)


class AnalyzersByName:
    """An analyzer for each of several ensembles, loaded when it is first asked for and kept.

    Args:
        ensembles: name -> members, whose checkpoints are there.
        settings: where networks see no aligned faces, its detector is left out.
        calibrations: for the ensembles that have one.
    """

    def __init__(
        self,
        ensembles: Mapping[str, Sequence[Member]],
        settings: AnalyzerSettings,
        calibrations: Mapping[str, Calibration],
    ) -> None:
        self.names = list(ensembles)
        self._ensembles, self._settings, self._calibrations = dict(ensembles), settings, dict(calibrations)
        self._loaded: dict[str, Analyzer] = {}
        self._lock = Lock()

    def get(self, name: str) -> Analyzer:
        """Return an ensemble's analyzer.

        Raises:
            ValueError: there is no such ensemble, or its networks cannot be used.
        """
        if name not in self._ensembles:
            raise ValueError(f"ensemble {name!r} unknown; expected one of {', '.join(self.names)}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            return self._loaded[name]

    def _load(self, name: str) -> Analyzer:
        load = partial(load_analyzer, self._ensembles[name], calibration=self._calibrations.get(name))
        try:
            return load(settings=self._settings)
        except NoUseForDetector:
            return load(settings=replace(self._settings, detector=None))


def check_length(
    file: Path, max_seconds: float, is_cancelled: IsCancelled | None = None, limits: ReadLimits = LIMITS
) -> None:
    """Read a file's header, or all of it where the header gives no length.

    Raises:
        TooLong: the video is.
        VideoError: it cannot be read, or is over a limit.
        Cancelled: the work was cancelled (`deepfake.parallel.pool.stream`).
        WorkerDied: the decoder crashed.
    """
    seconds = run_in_subprocess(partial(_length, limits=limits), file, is_cancelled)
    if seconds > max_seconds:
        raise TooLong(f"{seconds:.0f} seconds long; at most {max_seconds:.0f} are taken. Cut it first")


def _length(file: Path, limits: ReadLimits) -> float:
    with bounded_memory(file, limits):
        return length_of(file, limits)


def named_as_uploaded(error: Exception | str, file: Path, name: str) -> str:
    """Return an error's message with the upload's name in the place of where it lies."""
    text = str(error)
    for path in (file, file.resolve()):
        text = text.replace(str(path), name)
    for folder in (file.parent, file.resolve().parent):
        text = text.replace(f"{folder}/", "")
    return text
