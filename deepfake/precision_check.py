"""Whether networks may compute in fewer bits: those that keep their scores may."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from deepfake.face_scorer import FaceScorer
from deepfake.faces import FaceCollector, FaceView
from deepfake.portraits import PERSONS, read_portrait
from deepfake.precision import FLOAT32, REDUCED_TOLERANCE, fastest_precision
from deepfake.scoring_models import ScoringModel, make_scorer
from deepfake.video import Frame

log = logging.getLogger(__name__)

BLUR_SIGMA = 3.0
"""Pixels: each face is looked at blurred too, as crude fakes are."""


def agreeing_scorers(
    models: Sequence[ScoringModel], collector: FaceCollector, device: str
) -> tuple[str, dict[str, FaceScorer]]:
    """The precision that a device computes fastest in, if all models keep their scores in it, else float32.

    Scores of four pictures, two portraits sharp and blurred, may differ by REDUCED_TOLERANCE from float32's: few, but
    the same on each run, so that a continued run scores as it began. Where no face is found in them, nothing is known
    of fewer bits, and float32 it is.

    Returns:
        The precision, and each model's scorer by name.
    """
    exact = {model.name: make_scorer(model, FLOAT32) for model in models}  # not called here: costs no memory yet
    precision = fastest_precision(device)
    if precision == FLOAT32:
        return FLOAT32, exact
    faces = check_faces(collector)
    fast = {}
    for model in models:
        if not len(faces[model.view]):
            log.warning(
                "%s computes in float32: no face was found in two portraits to try %s on", model.name, precision
            )
            return FLOAT32, exact
        fast[model.name] = make_scorer(model, precision)
        difference = largest_difference(make_scorer(model, FLOAT32), fast[model.name], faces[model.view])
        if not difference <= REDUCED_TOLERANCE:
            log.warning(
                "%s computes in float32: in %s scores of two portraits are off by %.2g, more than %g",
                *(model.name, precision, difference, REDUCED_TOLERANCE),
            )
            return FLOAT32, exact
    return precision, fast


def check_faces(collector: FaceCollector) -> Mapping[FaceView, np.ndarray]:
    """By view (n, size, size, 3) uint8 RGB faces of the two portraits, sharp, then blurred."""
    chosen = frozenset(collector.choices)
    found = collector.collect(Frame(i, read_portrait(person), chosen) for i, person in enumerate(PERSONS))
    return {view: np.concatenate([images, *map(_blurred, images)]) for view, images in found.images.items()}


def largest_difference(expected: FaceScorer, other: FaceScorer, images: np.ndarray) -> float:
    """Of the probabilities of (n, s, s, 3) uint8 RGB faces, n >= 1."""
    return float(np.abs(expected(images) - other(images)).max())


def _blurred(image: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), BLUR_SIGMA)[None]
