"""One file, one report: what a page or a service asks of the predictor, for several users at a time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock

from deepfake.faces.detectors.base import ALIGNING, DetectorSettings
from deepfake.media.video import LIMITS, ReadLimits
from deepfake.models.precision import AUTO, choose_device
from deepfake.parallel.pool import IsCancelled
from deepfake.prediction.ensemble import Member
from deepfake.prediction.loading import NoUseForDetector, load_predictor
from deepfake.prediction.predictor import Predictor
from deepfake.scoring.calibration import choose_rule, read_calibration
from deepfake.scoring.results import VideoResult
from serving.uploads import check_length, named_as_uploaded
from visualize.report.highlights import Highlights
from visualize.report.report import Reporter

Told = Callable[[float, str], None]
"""Told how far the work is: 0..1, and what is being done."""


@dataclass(frozen=True)
class Report:
    """What came of one file: the result, and its report as an HTML page of its own."""

    result: VideoResult
    page: str


class Analyst:
    """Scores files with one of several ensembles, which are loaded when first asked for and stay.

    Args:
        ensembles: name -> members, whose checkpoints are there.
        weights_dir: the folder of the detectors' weights, if they need any.
        device: `auto`, `cpu` or `cuda`.
        detector: a name of ALIGNING, for networks that see aligned faces.
        precision: see `deepfake.prediction.precision_choice.choose_precision`.
        max_seconds: longer videos are refused.
        timeout: seconds that an upload may take to be scored, waiting aside.
        limits: of reading an upload.
        calibration: an ensemble's name and its calibration file.

    Raises:
        ValueError: the calibration or the device cannot be used.
    """

    def __init__(
        self,
        ensembles: Mapping[str, Sequence[Member]],
        weights_dir: Path = Path("weights"),
        device: str = "auto",
        detector: str | None = None,
        precision: str = AUTO,
        max_seconds: float = 600,
        timeout: float = 300,
        limits: ReadLimits = LIMITS,
        calibration: tuple[str, Path] | None = None,
    ) -> None:
        self.names = list(ensembles)
        self._ensembles = dict(ensembles)
        self._weights_dir = weights_dir
        self._device = choose_device(device)
        self._detector = detector
        self._precision = precision
        self._max_seconds = max_seconds
        self.timeout = timeout
        self._limits = limits
        self._is_stopped = Event()
        self._calibrated = calibration[0] if calibration else None
        self._calibration = read_calibration(calibration[1]) if calibration else None
        self._loaded: dict[str, Predictor] = {}
        # One network at a time has the machine: more at once are slower, and may not fit into memory.
        self._lock = Lock()

    def report(self, file: Path, name: str, ensemble: str, tell: Told = lambda share, what: None) -> Report:
        """Scores one video or picture.

        Args:
            file: where it is.
            name: what the report calls it.
            ensemble: one of `names`.
            tell: is told about the progress.

        Raises:
            ValueError: no such ensemble, or a network that cannot be used.
            TooLong: the video is.
            VideoError: it cannot be read; other users' files are not touched by that.
            Cancelled: it takes too long, or the server is being stopped.
        """
        if ensemble not in self._ensembles:
            raise ValueError(f"ensemble {ensemble!r} unknown; expected one of {', '.join(self.names)}")
        check_length(file, self._max_seconds, self._time_limit(), self._limits)
        with self._lock:
            tell(0.1, "loading the networks")
            predictor = self._predictor(ensemble)
            rule = choose_rule(self._calibration if ensemble == self._calibrated else None, predictor.run)
            tell(0.3, "finding and scoring faces")
            result = predictor.predict(file, self._time_limit())
            result = replace(result, reason=named_as_uploaded(result.reason, file, name))
            tell(0.8, "drawing the report")
            with tempfile.TemporaryDirectory() as folder:
                reporter = Reporter(Path(folder), predictor.run, rule, Highlights(predictor.models), self._limits)
                page = reporter.write(name, file, result)
                return Report(result, page.read_text(encoding="utf-8"))

    def stop(self) -> None:
        """Give up what is being scored, and all that follows."""
        self._is_stopped.set()

    def _time_limit(self) -> IsCancelled:
        """From now on."""
        deadline = time.monotonic() + self.timeout
        return lambda: self._is_stopped.is_set() or time.monotonic() > deadline

    def _predictor(self, ensemble: str) -> Predictor:
        if ensemble not in self._loaded:
            detector = ALIGNING[self._detector] if self._detector else None
            try:
                self._loaded[ensemble] = self._load(ensemble, detector)
            except NoUseForDetector:
                self._loaded[ensemble] = self._load(ensemble, None)
        return self._loaded[ensemble]

    def _load(self, ensemble: str, detector: DetectorSettings | None) -> Predictor:
        members = self._ensembles[ensemble]
        return load_predictor(members, self._device, detector, self._weights_dir, self._precision, self._limits)
