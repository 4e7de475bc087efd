"""A trial of reduced precision before a run: scores of some faces must stay within a tolerance of float32's.

The faces are of videos that the run is to score, or, where none are known yet, of two portraits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from deepfake.media.video import Frame, spread_indices
from deepfake.models.precision import FLOAT32
from deepfake.prediction.face_collector import FaceCollector, FaceView, VideoFaces
from deepfake.prediction.face_scorer import FaceScorer, ScoringError
from deepfake.prediction.precision_check import PORTRAITS, TRIAL_TOLERANCE, PrecisionCheck
from deepfake.prediction.scoring_model import ScoringModel, make_scorer
from deepfake.synthesis.portraits import PERSONS, read_portrait

EXAMPLE_VIDEOS = 8
"""Videos that give faces to a trial: they differ more than the faces of one."""
EXAMPLE_FACES = 64
"""Faces of a thorough trial, of all its videos together."""
FEW_FACES = 16
"""Faces of a trial that is not: at sixteen videos a run takes a tenth longer."""

BLUR_SIGMA = 3.0
"""Pixels: each portrait is looked at blurred too, as crude fakes are."""

Examples = Mapping[FaceView, Sequence[np.ndarray]]
"""By view, of each video in which faces were found, (n, size, size, 3) uint8 RGB pictures, n >= 1."""


def example_videos(videos: Sequence[Path]) -> list[Path]:
    """Return the videos of a run whose faces are tried, spread evenly: the same ones for the same list."""
    return [videos[i] for i in spread_indices(len(videos), EXAMPLE_VIDEOS)]


def video_examples(found: Iterable[VideoFaces]) -> Examples:
    """Return EXAMPLE_FACES faces of all videos together, as many of each, spread evenly over those that are scored."""
    images: dict[FaceView, list[np.ndarray]] = {}
    for faces in found:
        for view, own in faces.images.items():
            if len(own):
                images.setdefault(view, []).append(own)
    return {view: _fewer(videos, EXAMPLE_FACES) for view, videos in images.items()}


def _fewer(videos: Sequence[np.ndarray], faces: int) -> list[np.ndarray]:
    """Each video's share of at most that many faces, at least one."""
    share = max(1, faces // len(videos))
    return [images[spread_indices(len(images), share)] for images in videos]


def portrait_examples(collector: FaceCollector) -> Examples:
    """Return the faces of two portraits, sharp and blurred, each for itself."""
    chosen = frozenset(collector.choices)
    found = collector.collect(Frame(i, read_portrait(person), chosen) for i, person in enumerate(PERSONS))
    return {
        view: [form[None] for image in images for form in (image, cv2.GaussianBlur(image, (0, 0), BLUR_SIGMA))]
        for view, images in found.images.items()
        if len(images)
    }


def try_precision(
    models: Sequence[ScoringModel], precision: str, source: str, examples: Examples, thorough: bool = False
) -> tuple[PrecisionCheck, dict[str, FaceScorer]]:
    """Score examples in reduced precision and in float32, one network after the other, until one is off too far.

    Where a network has no example, nothing is known, and reduced precision is refused.

    Args:
        precision: the reduced precision, a name in PRECISIONS.
        source: where the examples are from, VIDEOS or PORTRAITS.
        thorough: try all examples; otherwise FEW_FACES, and all only with networks that are off on one of these.

    Returns:
        What was found, and the scorers in reduced precision by network: of all, if the run computes in it.
    """
    fast: dict[str, FaceScorer] = {}
    if not all(examples.get(model.view) for model in models):
        return PrecisionCheck(precision, source, 0, 0), fast
    trials: list[_Trial] = []
    with tqdm(models, f"trying {precision}", unit="network", leave=False, disable=source == PORTRAITS) as progress:
        for model in progress:
            fast[model.name] = make_scorer(model, precision)
            trials.append(_try_network(model, fast[model.name], examples[model.view], thorough))
            if not trials[-1].passed:
                break
    refused = [trial for trial in trials if not trial.passed]
    worst = refused[0] if refused else max(trials, key=lambda trial: trial.video_difference)
    fewest = worst if refused else min(trials, key=lambda trial: trial.faces)
    check = PrecisionCheck(
        precision,
        source,
        videos=fewest.videos,
        faces=fewest.faces,
        video_difference=_number(worst.video_difference),
        face_difference=_number(worst.face_difference),
        spread=_number(worst.spread),
        network=worst.network,
        kept=not refused,
    )
    return check, fast


@dataclass(frozen=True)
class _Trial:
    """The fields of `PrecisionCheck` for one network; differences are infinite where a score was not a number."""

    network: str
    videos: int
    faces: int
    video_difference: float
    face_difference: float
    spread: float

    @property
    def passed(self) -> bool:
        # The mean over a video is within the spread however alike its faces are, so the spread speaks for the videos
        # that were not tried: single faces that swing do not always average out.
        return max(self.video_difference, self.spread) <= TRIAL_TOLERANCE


def _try_network(model: ScoringModel, fast: FaceScorer, videos: Sequence[np.ndarray], thorough: bool) -> _Trial:
    exact = make_scorer(model, FLOAT32)
    if not thorough:
        trial = _compare(model.name, fast, exact, _fewer(videos, FEW_FACES))
        if trial.face_difference <= TRIAL_TOLERANCE:
            return trial
    return _compare(model.name, fast, exact, videos)


def _compare(network: str, fast: FaceScorer, exact: FaceScorer, videos: Sequence[np.ndarray]) -> _Trial:
    """Compare the scores of each video's faces, (n, size, size, 3) each."""
    images = np.concatenate(videos)
    try:
        off = (fast(images) - exact(images)).astype(np.float64)
    except ScoringError:
        return _Trial(network, len(videos), len(images), math.inf, math.inf, math.inf)
    means = [abs(own.mean()) for own in np.split(off, np.cumsum([len(own) for own in videos])[:-1])]
    spread = np.sqrt(np.mean(off**2))
    return _Trial(network, len(videos), len(images), float(max(means)), float(np.abs(off).max()), float(spread))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
