"""What is found of reduced precision: on trial before a run, and on some of its videos while it goes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from deepfake.models.precision import FLOAT32, REDUCED_TOLERANCE
from deepfake.scoring.results import ScoreCheck, VideoResult

TRIAL_TOLERANCE = REDUCED_TOLERANCE / 2
"""Largest difference with which `auto` takes a reduced precision: a trial sees few faces, so it keeps a margin."""

VIDEOS, PORTRAITS = "videos", "portraits"
"""Where the faces of a trial are from."""


@dataclass(frozen=True)
class PrecisionCheck:
    """How scores in reduced precision compare with float32's: tried before a run, and checked while it goes.

    Differences are of probabilities, and None where there was no face to try, or where a score was not a number.

    Attributes:
        precision: what was tried, a name in PRECISIONS.
        source: where the faces are from, VIDEOS or PORTRAITS.
        videos: how many of them showed a face; each portrait is a video here.
        faces: how many faces were tried; of several networks, the fewest.
        video_difference: the largest difference of the mean over a video's faces, over all networks.
        face_difference: likewise of single faces, of the same network.
        spread: the root mean square of that network's single faces.
        network: the network with the largest difference; of a refusal, the one that was refused.
        kept: whether the run computes in `precision`: if `video_difference` and `spread` are within TRIAL_TOLERANCE.
        checked: how many videos of the run were scored in float32 too; 0 until it has ended.
        replaced: how many of them differed by more than REDUCED_TOLERANCE; their scores are float32's.
        checked_difference: the largest difference of the checked videos.
        farthest: the name of the video with that difference.
    """

    precision: str
    source: str
    videos: int
    faces: int
    video_difference: float | None = None
    face_difference: float | None = None
    spread: float | None = None
    network: str | None = None
    kept: bool = False
    checked: int = 0
    replaced: int = 0
    checked_difference: float | None = None
    farthest: str | None = None

    @property
    def chosen(self) -> str:
        """The precision that the run computes in."""
        return self.precision if self.kept else FLOAT32

    def summary(self) -> str:
        """Say what a run computes in and why, and what its checks found."""
        if self.kept:
            far = f"{self.video_difference:.2g} from float32's at most (single faces {self.face_difference:.2g})"
            return f"{self.precision}: scores of {self._examples()} are {far}{self._checks()}"
        if not self.faces:
            return f"float32: no face was found in {self.source} to try {self.precision} on"
        return f"float32: in {self.precision} scores of {self.network} {self._refusal()} ({self._examples()})"

    def warning(self) -> str | None:
        """Say that checked videos were off too far, and what to do; None if none was."""
        if not self.replaced:
            return None
        return (
            f"{self._replaced()}, more than {REDUCED_TOLERANCE:g}: these have float32's scores, but others may be off "
            f"too; --precision float32 scores all in float32"
        )

    def _refusal(self) -> str:
        if self.video_difference is None:
            return "are no numbers"
        if self.video_difference > TRIAL_TOLERANCE:
            return f"are off by {self.video_difference:.2g}, more than {TRIAL_TOLERANCE:g}"
        return f"of single faces are off by {self.spread:.2g} (root mean square), more than {TRIAL_TOLERANCE:g}"

    def _checks(self) -> str:
        if not self.checked:
            return ""
        if self.replaced:
            return f"; {self._replaced()}"
        return f"; {self.checked} video{'s' * (self.checked > 1)} checked later: {self.checked_difference:.2g} at most"

    def _replaced(self) -> str:
        far = "are no numbers" if self.checked_difference is None else f"differ by up to {self.checked_difference:.2g}"
        return f"scores of {self.replaced} of {self.checked} videos checked in float32 {far} ({self.farthest})"

    def _examples(self) -> str:
        videos = self.source if self.videos > 1 else self.source.removesuffix("s")
        return f"{self.faces} face{'s' * (self.faces > 1)} of {self.videos} {videos}"


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


def with_checks(run: Mapping[str, Any], results: Mapping[str, VideoResult]) -> dict[str, Any]:
    """Return what is known of a run with what its checked videos showed, for its tables and reports.

    Args:
        run: as `describe_run` gives it. The journal keeps that, which is known before the first score.
    """
    checks = {name: result.precision_check for name, result in results.items() if result.precision_check is not None}
    before = run["settings"]["precision_check"]
    if before is None or not checks:
        return dict(run)
    farthest = max(checks, key=lambda name: _off(checks[name]))
    found = {
        "checked": len(checks),
        "replaced": sum(not check.kept for check in checks.values()),
        "checked_difference": checks[farthest].difference,
        "farthest": farthest,
    }
    return {**run, "settings": {**run["settings"], "precision_check": {**before, **found}}}


def without_checks(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's description as it was before its first score; the inverse of `with_checks`."""
    check = run["settings"]["precision_check"]
    if check is None:
        return dict(run)
    found = ("checked", "replaced", "checked_difference", "farthest")
    before = {**check, **{field.name: field.default for field in fields(PrecisionCheck) if field.name in found}}
    return {**run, "settings": {**run["settings"], "precision_check": before}}


def _off(check: ScoreCheck) -> float:
    return math.inf if check.difference is None else check.difference
