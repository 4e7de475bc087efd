"""How the face scores of a video become one number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from deepfake.faces.tracking import can_judge

FAKE_THRESHOLD = 0.8
REAL_THRESHOLD = 0.2
REAL_SHARE = 0.9
MIN_FAKE_FACES = 11
FAKE_FRACTION = 2.5

FRAMES_PER_VIDEO = 32
"""First place scores the faces of 32 frames a video."""

NEUTRAL_SCORE = 0.5
"""What a submission says of a video that could not be scored. Nothing else may use it."""

Aggregation = Callable[[Sequence[float] | np.ndarray], float]


def confident_score(scores: Sequence[float] | np.ndarray, threshold: float = FAKE_THRESHOLD) -> float:
    """First place's rule: trust the faces that are sure.

    If more than `n // 2.5` and more than 11 faces score over `threshold`, their mean; else, if over 90 % score under
    0.2, the mean of those; else the mean of all.

    Args:
        scores: (n,) probabilities of being fake, n >= 1.

    Raises:
        ValueError: no scores: a video without a face has no score.
    """
    values = np.asarray(scores)
    if values.size == 0:
        raise ValueError("no face scores: a video without a face has no score")
    over = values > threshold
    fakes = int(over.sum())
    if fakes > values.size // FAKE_FRACTION and fakes > MIN_FAKE_FACES:
        return float(values[over].mean())
    under = values < REAL_THRESHOLD
    if int(under.sum()) > REAL_SHARE * values.size:
        return float(values[under].mean())
    return float(values.mean())


def mean_score(scores: Sequence[float] | np.ndarray) -> float:
    """Return the mean over faces.

    Raises:
        ValueError: no scores.
    """
    values = np.asarray(scores)
    if values.size == 0:
        raise ValueError("no face scores: a video without a face has no score")
    return float(values.mean())


AGGREGATIONS: dict[str, Aggregation] = {"confident": confident_score, "mean": mean_score}
"""One network's face scores -> its video score, by name: first place's rule, second place's."""


OF_FAMILY, MAX_PERSON = "family", "max-person"
AGGREGATE_CHOICES = {
    OF_FAMILY: "each network's own rule: as its family's authors did, or as the ensemble's file says",
    **{"confident": "first place's rule for all networks", "mean": "the mean over faces for all networks"},
    MAX_PERSON: "the score of the person who looks most like a fake",
}
"""How a video's score can be made of its faces'."""


def max_person_score(scores: Sequence[tuple[float, int]]) -> float:
    """Return the highest score among the persons seen in MIN_PERSON_FACES faces and more, or among all if nobody is.

    Args:
        scores: of each person, with how many faces it rests on.

    Raises:
        ValueError: nobody.
    """
    if not scores:
        raise ValueError("no persons: a video without a face has no score")
    most = max(faces for _, faces in scores)
    return max(score for score, faces in scores if can_judge(faces, most))


def ensemble_score(model_scores: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """Return the mean over models of their video scores, with `weights` (more than 0) a weighted one.

    Raises:
        ValueError: no scores.
    """
    return mean_score(model_scores) if weights is None else float(np.average(model_scores, weights=weights))
