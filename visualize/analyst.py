"""One file, one report: what a page or a service asks of the predictor, for several users at a time."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import kernel_utils
from deepfake.calibration import Judge, Uncalibrated, check_models, read_calibration
from deepfake.detectors.base import ALIGNING
from deepfake.ensemble import Member
from deepfake.processes import apart
from deepfake.results import VideoResult
from deepfake.video import count_frames, probe
from visualize.highlights import Highlights
from visualize.report import Reporter

Told = Callable[[float, str], None]
"""Told how far the work is: 0..1, and what is being done."""


class TooLong(ValueError):
    """A video is longer than allowed; the message says by how much."""


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
        max_seconds: longer videos are refused.
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
        max_seconds: float = 600,
        calibration: tuple[str, Path] | None = None,
    ) -> None:
        self.names = list(ensembles)
        self._ensembles = dict(ensembles)
        self._weights_dir = weights_dir
        self._device = kernel_utils.choose_device(device)
        self._precision = kernel_utils.choose_precision("auto", self._device)
        self._detector = detector
        self._max_seconds = max_seconds
        self._calibrated = calibration[0] if calibration else None
        self._calibration = read_calibration(calibration[1]) if calibration else None
        self._loaded: dict[str, list[kernel_utils.ScoringModel]] = {}
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
        """
        if ensemble not in self._ensembles:
            raise ValueError(f"ensemble {ensemble!r} unknown; expected one of {', '.join(self.names)}")
        self._check_length(file)
        with self._lock:
            tell(0.1, "loading the networks")
            models = self._models(ensemble)
            run = kernel_utils.describe_run(models, self._device, self._precision)
            judge = self._judge(ensemble, run)
            tell(0.3, "finding and scoring faces")
            stream = kernel_utils.predict_videos(
                [file], models, device=self._device, precision=self._precision, weights_dir=self._weights_dir
            )
            with contextlib.closing(stream):
                ((_, result),) = stream
            tell(0.8, "drawing the report")
            with tempfile.TemporaryDirectory() as folder:
                page = Reporter(Path(folder), run, judge, Highlights(models)).write(name, file, result)
                return Report(result, page.read_text(encoding="utf-8"))

    def _models(self, ensemble: str) -> list[kernel_utils.ScoringModel]:
        if ensemble not in self._loaded:
            members = self._ensembles[ensemble]
            detector = ALIGNING[self._detector] if self._detector else None
            try:
                self._loaded[ensemble] = kernel_utils.load_models(members, self._device, detector)
            except kernel_utils.NoUseForDetector:
                self._loaded[ensemble] = kernel_utils.load_models(members, self._device)
        return self._loaded[ensemble]

    def _judge(self, ensemble: str, run: dict) -> Judge:
        if self._calibration is None or ensemble != self._calibrated:
            return Uncalibrated()
        check_models(self._calibration, run["models"], run["crop_recipes"])
        return self._calibration

    def _check_length(self, file: Path) -> None:
        seconds = apart(_seconds, file)
        if seconds > self._max_seconds:
            raise TooLong(f"{seconds:.0f} seconds long; at most {self._max_seconds:.0f} are taken. Cut it first")


def _seconds(file: Path) -> float:
    """How long a video is; 0 for a picture."""
    info = probe(file)
    return (info.frames or count_frames(file)) / info.fps if info.fps > 0 else 0.0


def told(error: Exception, file: Path, name: str) -> str:
    """An error's message in the user's words: the name of the upload instead of where it lies."""
    return str(error).replace(str(file), name)
