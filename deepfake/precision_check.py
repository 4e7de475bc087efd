"""Whether networks may compute in fewer bits: those that keep their scores may.

Tried on faces before a run: of the videos that it is to score, or, where none are known yet, of two portraits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from deepfake.face_scorer import FaceScorer, ScoringError
from deepfake.faces import FaceCollector, FaceView, VideoFaces
from deepfake.portraits import PERSONS, read_portrait
from deepfake.precision import FLOAT32, PORTRAITS, REDUCED_TOLERANCE, PrecisionCheck
from deepfake.scoring_models import ScoringModel, make_scorer
from deepfake.video import Frame, spread_indices

EXAMPLE_SHARE, FEWEST_EXAMPLES, MOST_EXAMPLES = 8, 2, 8
"""One video in eight gives examples, at least two and at most eight videos: a face in float32 costs two to four times
as much, so that a run takes a tenth longer at most from sixteen videos on, and a long one nothing to speak of."""
EXAMPLE_FACES = 4
"""A video's faces that are examples: most are alike."""

BLUR_SIGMA = 3.0
"""Pixels: each portrait is looked at blurred too, as crude fakes are."""

Examples = Mapping[FaceView, Sequence[np.ndarray]]
"""By view, of each video in which faces were found, (n, size, size, 3) uint8 RGB pictures, n >= 1."""


def example_videos(videos: Sequence[Path]) -> list[Path]:
    """Of the videos that a run scores those whose faces are examples, spread evenly: the same of the same videos."""
    count = min(len(videos), max(FEWEST_EXAMPLES, min(MOST_EXAMPLES, len(videos) // EXAMPLE_SHARE)))
    return [videos[i] for i in spread_indices(len(videos), count)]


def video_examples(found: Iterable[VideoFaces]) -> Examples:
    """A few faces of each video, spread evenly over those that are scored."""
    examples: dict[FaceView, list[np.ndarray]] = {}
    for faces in found:
        for view, images in faces.images.items():
            if len(images):
                examples.setdefault(view, []).append(images[spread_indices(len(images), EXAMPLE_FACES)])
    return examples


def portrait_examples(collector: FaceCollector) -> Examples:
    """The faces of two portraits, sharp and blurred, each for itself."""
    chosen = frozenset(collector.choices)
    found = collector.collect(Frame(i, read_portrait(person), chosen) for i, person in enumerate(PERSONS))
    return {
        view: [form[None] for image in images for form in (image, cv2.GaussianBlur(image, (0, 0), BLUR_SIGMA))]
        for view, images in found.images.items()
        if len(images)
    }


def try_precision(
    models: Sequence[ScoringModel], precision: str, source: str, examples: Examples
) -> tuple[PrecisionCheck, dict[str, FaceScorer]]:
    """Scores examples in fewer bits and in float32, with one network after the other, until one is off too far.

    Where a network has no example, nothing is known of fewer bits, and they are not kept.

    Args:
        precision: the fewer bits.
        source: where the examples are from, VIDEOS or PORTRAITS.

    Returns:
        What was seen, and the scorers in fewer bits by network: of all, if the run computes in them.
    """
    own = [examples.get(model.view, []) for model in models]
    check = PrecisionCheck(precision, source, min(map(len, own)), min(sum(map(len, faces)) for faces in own))
    fast: dict[str, FaceScorer] = {}
    if not check.faces:
        return check, fast
    worst = _Difference(0.0, 0.0, models[0].name)
    with tqdm(models, f"trying {precision}", unit="network", leave=False, disable=source == PORTRAITS) as progress:
        for model, faces in zip(progress, own):
            fast[model.name] = make_scorer(model, precision)
            worst = max(worst, _difference(model, fast[model.name], faces))
            if worst.of_video > REDUCED_TOLERANCE:
                break
    seen = replace(
        check,
        video_difference=_number(worst.of_video),
        face_difference=_number(worst.of_face),
        network=worst.network,
        kept=worst.of_video <= REDUCED_TOLERANCE,
    )
    return seen, fast


@dataclass(frozen=True, order=True)
class _Difference:
    """The fields of `PrecisionCheck` for one network; infinite without a number."""

    of_video: float
    of_face: float
    network: str


def _difference(model: ScoringModel, fast: FaceScorer, faces: Sequence[np.ndarray]) -> _Difference:
    """Between a network's scores in float32 and in fewer bits, of each video's faces."""
    images = np.concatenate(faces)
    try:
        off = fast(images) - make_scorer(model, FLOAT32)(images)
    except ScoringError:
        return _Difference(math.inf, math.inf, model.name)
    videos = np.split(off, np.cumsum([len(own) for own in faces])[:-1])
    return _Difference(max(abs(float(own.mean())) for own in videos), float(np.abs(off).max()), model.name)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
