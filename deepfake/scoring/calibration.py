"""What a score means: the probability that the video is a fake, and the verdict. The calibration file.

A network's score is not the share of fakes among videos that score alike. Temperature scaling (Guo et al., 2017, "On
Calibration of Modern Neural Networks") divides the score's logit by one number, fitted on labeled videos
(`deepfake.scoring.calibration_fit`); Platt scaling (Platt, 1999) also adds an intercept, for scores that are off
center. The order of the scores, and so the AUC, stays.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
from annotated_types import Len
from scipy.special import expit, logit

from deepfake.scoring.aggregation import FAKE_THRESHOLD, REAL_THRESHOLD
from deepfake.storage import atomic
from deepfake.storage.json_files import read_mapping
from deepfake.storage.schema import Count, Positive, Probability, from_plain, require, to_plain

FAKE, REAL, UNCERTAIN = "fake", "real", "uncertain"

CALIBRATION_FORMAT = 1
TEMPERATURE, PLATT = "temperature", "platt"
"""The methods: the logit divided by a temperature; an intercept added to that."""
SUFFIX = ".json"

SCORE_CLIP = 1e-6
"""Scores nearer to 0 and 1 count as this near: tables write six decimals, and a logit of 0 or 1 is infinite."""


class CalibrationError(ValueError):
    """A calibration cannot be used or made; the message names the file, the key and what was expected."""


class DecisionRule(Protocol):
    """Reads a score as a probability, and a probability as a verdict."""

    @property
    def real_below(self) -> float: ...

    @property
    def fake_above(self) -> float: ...

    @property
    def source(self) -> str:
        """Where probabilities and thresholds come from, in words."""

    def apply(self, score: float) -> float:
        """A score in 0..1 -> the probability of fake in 0..1; a higher score gives no lower probability."""

    def verdict(self, probability: float) -> str:
        """FAKE over `fake_above`, REAL under `real_below`, else UNCERTAIN."""


@dataclass(frozen=True)
class Uncalibrated:
    """The rule without a calibration: the score as it is, and the thresholds of first place's rule for faces."""

    real_below: float = REAL_THRESHOLD
    fake_above: float = FAKE_THRESHOLD
    source: str = (
        "not calibrated: scores are the networks' own, unchecked as probabilities; "
        f"real under {REAL_THRESHOLD} and fake over {FAKE_THRESHOLD} follow first place's rule for single faces"
    )

    def apply(self, score: float) -> float:
        return float(score)

    def verdict(self, probability: float) -> str:
        return _verdict(probability, self.real_below, self.fake_above)


@dataclass(frozen=True)
class ModelFingerprint:
    """What is kept of a model in a run's description (`deepfake.prediction.scoring_model.describe_run`).

    Attributes:
        weight: its share of all weights.
    """

    name: str
    sha256: str
    weight: Probability
    aggregation: str


_Checksums = Annotated[dict[str, str], Len(1)]
_MODEL_KEYS = tuple(field.name for field in fields(ModelFingerprint))


@dataclass(frozen=True)
class Calibration:
    """A fitted rule, as its file holds it.

    Attributes:
        temperature: divides the score's logit; over 1 makes scores less sure.
        real_below, fake_above: thresholds of the calibrated probability, 0 <= real_below <= fake_above <= 1.
        false_alarm_rate, miss_rate: what the thresholds were chosen for: the highest share of reals called fake, and
            of fakes called real.
        reals, fakes: how many videos it was fitted on.
        models: the checkpoints whose scores these were; None if unknown (from a .csv).
        crop_recipes: how their faces were found, likewise.
        predictions, labels: the files it was fitted on: name -> SHA-256.
        figures: column of the printed table -> metric -> value and interval.
        intercept: added to the divided logit; over 0 makes all videos look more like fakes. 0 for TEMPERATURE.
        cross_validated: method -> log loss of unseen videos, by which the method was chosen; empty if it was not.
    """

    temperature: Positive
    real_below: Probability
    fake_above: Probability
    false_alarm_rate: Probability
    miss_rate: Probability
    reals: Count
    fakes: Count
    models: Annotated[list[ModelFingerprint], Len(1)] | None
    crop_recipes: list[dict[str, Any]] | None
    predictions: _Checksums
    labels: _Checksums
    figures: dict[str, dict[str, tuple[float, float, float]]]
    intercept: float = 0.0  # files from before there was a choice have neither
    cross_validated: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = f"at most fake_above, {self.fake_above}; found {self.real_below}"
        require(self.real_below <= self.fake_above, "real_below", expected)

    @property
    def method(self) -> str:
        return PLATT if self.intercept else TEMPERATURE

    @property
    def source(self) -> str:
        intercept = f", intercept {self.intercept:.3g}" if self.intercept else ""
        return (
            f"calibrated: temperature {self.temperature:.3g}{intercept}, fitted on {self.reals} real, {self.fakes} "
            f"fake videos; real under {self.real_below:.3g} and fake over {self.fake_above:.3g}, for at most "
            f"{self.false_alarm_rate:.1%} of reals called fake and {self.miss_rate:.1%} of fakes called real there"
        )

    def apply(self, score: float) -> float:
        return float(calibrate_scores(score, self.temperature, self.intercept))

    def verdict(self, probability: float) -> str:
        return _verdict(probability, self.real_below, self.fake_above)


def calibrate_scores(
    scores: float | Sequence[float] | np.ndarray, temperature: float, intercept: float = 0.0
) -> np.ndarray:
    """Turn scores in 0..1 into probabilities, float64 of the same shape: logits over a temperature, plus an intercept.

    SCORE_CLIP keeps 0 and 1 from staying as sure as they are.
    """
    return expit(score_logits(scores) / temperature + intercept)


def uncalibrate(
    probabilities: float | Sequence[float] | np.ndarray, temperature: float, intercept: float = 0.0
) -> np.ndarray:
    """Return the scores that `calibrate_scores` turns into these probabilities."""
    return expit((score_logits(probabilities) - intercept) * temperature)


def score_logits(scores: float | Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the logits of scores in 0..1, within SCORE_CLIP."""
    return logit(np.clip(np.asarray(scores, np.float64), SCORE_CLIP, 1 - SCORE_CLIP))


def model_fingerprints(models: Sequence[Mapping[str, Any]]) -> list[ModelFingerprint]:
    """Return what is kept of a run's models, their weights summing up to 1, ordered by name.

    Raises:
        CalibrationError: none, or one that does not say all of it.
    """
    if not models or any(key not in model for model in models for key in _MODEL_KEYS):
        raise CalibrationError(
            f"the predictions say too little of their models: expected {', '.join(_MODEL_KEYS)} of each"
        )
    for model in models:
        if not _is_number(model["weight"]) or not model["weight"] > 0:
            raise CalibrationError(f"{model['name']}: weight: expected a number more than 0; found {model['weight']!r}")
    total = sum(model["weight"] for model in models)
    if not math.isfinite(total):
        raise CalibrationError("the predictions' models have weights whose sum is not finite")
    kept = [
        from_plain(
            ModelFingerprint,
            {**{key: model[key] for key in _MODEL_KEYS}, "weight": model["weight"] / total},
            f"{model['name']!r:.100}",
            CalibrationError,
        )
        for model in models
    ]
    return sorted(kept, key=lambda model: model.name)


def hash_files(paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file by name, with its folder if two share one."""
    paths = list(paths)
    names = [path.name for path in paths]
    return {
        path.name if names.count(path.name) == 1 else f"{path.parent.name}/{path.name}": hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in paths
    }


def check_models(
    calibration: Calibration,
    models: Sequence[Mapping[str, Any]],
    crop_recipes: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Check that a calibration was fitted on the scores of these models; one without their names matches any.

    Args:
        models, crop_recipes: as in `describe_run`; without recipes, those are not compared.

    Raises:
        CalibrationError: other checkpoints, weights, rules or ways to find faces; the message names the first.
    """
    if calibration.models is not None:
        fitted = {model.name: model for model in calibration.models}
        given = {model.name: model for model in model_fingerprints(models)}
        if fitted.keys() != given.keys():
            of = [", ".join(sorted(names)) for names in (fitted, given)]
            raise CalibrationError(f"the calibration is for scores of {of[0]}; these are of {of[1]}")
        for name, model in fitted.items():
            for key in _MODEL_KEYS:
                there, here = getattr(model, key), getattr(given[name], key)
                if not _same(there, here):
                    raise CalibrationError(f"the calibration is for {name} with {key} {there}; here it has {here}")
    if calibration.crop_recipes is not None and crop_recipes is not None:
        fitted_by, given_by = _plain(calibration.crop_recipes), _plain(crop_recipes)
        if fitted_by != given_by:
            raise CalibrationError(f"the calibration is for frames and faces found by {fitted_by}; here by {given_by}")


def choose_rule(calibration: Calibration | None, run: Mapping[str, Any]) -> DecisionRule:
    """Return the rule for a run's scores: the calibration if there is one, which must be for them.

    Args:
        run: what is known of the run (`deepfake.prediction.scoring_model.describe_run`).

    Raises:
        CalibrationError: see `check_models`.
    """
    if calibration is None:
        return Uncalibrated()
    check_models(calibration, run["models"], run["crop_recipes"])
    return calibration


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration file, atomically. Raises CalibrationError unless its name ends in SUFFIX."""
    check_name(path)
    content = {"format": CALIBRATION_FORMAT, "method": calibration.method, **to_plain(calibration)}
    atomic.write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def check_name(path: Path) -> None:
    """Raise CalibrationError if no calibration can be written under this name."""
    if path.suffix.lower() != SUFFIX or path.is_dir():
        raise CalibrationError(f"{path}: a calibration is a file that ends in {SUFFIX}")


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file.

    Raises:
        CalibrationError: missing, not JSON, another format, an unknown or missing key, or a value that makes no sense.
    """
    content = read_mapping(path, "calibration", CalibrationError)
    method = content.pop("method", None)
    calibration = from_plain(Calibration, content, str(path), CalibrationError, CALIBRATION_FORMAT)
    if method != calibration.method:
        raise CalibrationError(
            f"{path}: method: expected {calibration.method!r} with intercept {calibration.intercept}; found {method!r}"
        )
    return calibration


def _verdict(probability: float, real_below: float, fake_above: float) -> str:
    if probability > fake_above:
        return FAKE
    return REAL if probability < real_below else UNCERTAIN


def _same(one: Any, other: Any) -> bool:
    # Weights are divided by their sum, which may differ in the last digit.
    return one == other or (_is_number(one) and _is_number(other) and math.isclose(one, other, rel_tol=1e-9))


def _plain(recipes: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(sorted(json.dumps(recipe, sort_keys=True) for recipe in recipes))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
