"""Fitting a calibration: temperature and intercept, thresholds for chosen error rates, and honest figures of it.

Figures of a fit on its own videos are too good. `assess` also gives those of videos that each fit has not seen, by
cross-validation, and to compare, those of isotonic regression, which can follow any monotone curve. Cross-validation
decides, too, whether an intercept stands beside the temperature.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from deepfake.datasets.labels import MatchedLabels
from deepfake.scoring.calibration import (
    FAKE,
    PLATT,
    REAL,
    SCORE_CLIP,
    TEMPERATURE,
    CalibrationError,
    calibrate_scores,
    score_logits,
)
from deepfake.scoring.reliability import METRICS, Estimate, Share, bootstrap, measure

FALSE_ALARM_RATE = 0.05
FOLDS = 5
RESAMPLES = 1000
SEED = 777

TEMPERATURES = (0.05, 20.0)
"""Looked for between these. Fitted networks lie between 1 and 5 or so (Guo et al., 2017, give 0.9 to 3 for most)."""

LARGEST_INTERCEPT = 20.0
"""Intercepts are looked for between minus this and this; logits of scores lie within 13.8."""

BEFORE, FITTED, UNSEEN, ISOTONIC = "before", "fitted", "unseen", "isotonic"
"""The scores; calibrated by a fit on these videos; calibrated by fits of the same method on other videos; by isotonic
regressions fitted on other videos."""

CHANGE, ISOTONIC_CHANGE = "unseen_minus_before", "isotonic_minus_unseen"
DIFFERENCES = {CHANGE: (UNSEEN, BEFORE), ISOTONIC_CHANGE: (ISOTONIC, UNSEEN)}
"""Row of figures -> the two that it is the difference of, without the AUC: the calibration keeps it, and the AUC of
unseen videos is a little off, since it compares videos of several fits."""

Fit = Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]
"""(scores, labels) to fit on -> what turns scores into probabilities."""


@dataclass(frozen=True)
class Sample:
    """Scored and labeled videos.

    Attributes:
        scores: (n,) float64 in 0..1.
        labels: (n,) int64, 0 for real, 1 for fake.
        groups: (n,) int64, the same for an original and its fakes, numbered from 0.
    """

    scores: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    @staticmethod
    def of(scores: Sequence[float], labels: Sequence[int], identities: Sequence[str]) -> Sample:
        """Group videos by identity."""
        groups = np.unique(np.asarray(identities, str), return_inverse=True)[1].reshape(-1)
        return Sample(np.asarray(scores, np.float64), np.asarray(labels, np.int64), groups.astype(np.int64))

    @property
    def grouped(self) -> bool:
        """Whether any videos belong together."""
        return len(np.unique(self.groups)) < len(self.groups)

    def check(self) -> None:
        """Raise CalibrationError if fewer than FOLDS groups have reals, or fakes: cross-validation takes that many."""
        for label, name in ((0, REAL), (1, FAKE)):
            chosen = self.labels == label
            originals = len(np.unique(self.groups[chosen]))
            if originals < FOLDS:
                raise CalibrationError(
                    f"{chosen.sum()} {name} videos with score and label, of {originals} originals; at least {FOLDS} of "
                    f"{FOLDS} originals are needed, one for each part of the cross-validation, and some hundreds to "
                    "calibrate well"
                )


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of a probability, and what they do to the videos that they were chosen on.

    Attributes:
        false_alarms, misses: reals called fake, fakes called real.
        caught, cleared: fakes called fake, reals called real.
    """

    real_below: float
    fake_above: float
    false_alarms: Share
    misses: Share
    caught: Share
    cleared: Share


@dataclass(frozen=True)
class Assessment:
    """A fit and its figures.

    Attributes:
        method: TEMPERATURE or PLATT.
        temperature, intercept: with their intervals; without intercept, all three are 0.
        choice: what the method was chosen by; None where all fakes score over 0.5 and all reals under it.
        figures: BEFORE, FITTED, UNSEEN, ISOTONIC and DIFFERENCES -> metric of METRICS -> value with its interval.
        probabilities: of each video, by the first four.
    """

    method: str
    temperature: Estimate
    intercept: Estimate
    choice: Choice | None
    figures: dict[str, dict[str, Estimate]]
    probabilities: dict[str, np.ndarray]

    @property
    def plain_figures(self) -> dict[str, dict[str, tuple[float, float, float]]]:
        """The figures as a calibration's file holds them: value, low and high, rounded."""
        return {
            name: {metric: (round(f.value, 6), round(f.low, 6), round(f.high, 6)) for metric, f in row.items()}
            for name, row in self.figures.items()
        }


@dataclass(frozen=True)
class Choice:
    """Log losses of unseen videos, by TEMPERATURE and by PLATT, and the standard error of their difference."""

    losses: dict[str, float]
    error: float

    @property
    def method(self) -> str:
        """PLATT if it is better by more than chance may explain; the simpler one wins ties."""
        return PLATT if self.losses[TEMPERATURE] - self.losses[PLATT] > self.error else TEMPERATURE


def join_labels(scores: Mapping[str, float | None], matched: MatchedLabels) -> Sample:
    """Return the videos that have both a score and a label."""
    found = [(score, known) for name, known in matched.videos.items() if (score := scores[name]) is not None]
    return Sample.of(
        [score for score, _ in found], [known.label for _, known in found], [known.identity for _, known in found]
    )


def fit_temperature(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the temperature of the lowest log loss, within TEMPERATURES.

    1 if all fakes score over 0.5 and all reals under it: each lower temperature would be better than the last.

    Args:
        scores: (n,) in 0..1.
        labels: (n,) 0 or 1.
        weights: (n,) how often each video counts; None for once.

    Raises:
        CalibrationError: one label only.
    """
    weights = np.ones(len(labels)) if weights is None else weights
    counts = weights > 0
    logits, labels, weights = score_logits(scores)[counts], np.asarray(labels)[counts], weights[counts]
    if len(np.unique(labels)) < 2:
        raise CalibrationError("only real or only fake videos: a temperature takes both")
    sides = np.where(labels == 1, logits, -logits)
    if sides.min() > 0:
        return 1.0

    def loss(log_temperature: float) -> float:
        return float(np.average(np.logaddexp(0, -sides / math.exp(log_temperature)), weights=weights))

    # Convex in 1 / temperature, so there is one minimum.
    low, high = map(math.log, TEMPERATURES)
    return math.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-7}).x)


def fit_platt(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """Return the temperature and intercept of the lowest log loss, within TEMPERATURES and LARGEST_INTERCEPT.

    Labels count as Platt's targets, (n + 1) / (n + 2) and 1 / (n + 2) for n videos of the kind: so the fit has a bound
    even where the scores separate the labels.

    Args: as for `fit_temperature`; both labels must be there.
    """
    weights = np.ones(len(labels)) if weights is None else weights
    logits, fakes = score_logits(scores), np.asarray(labels) == 1
    counts = {kind: float(weights[fakes == kind].sum()) for kind in (True, False)}
    targets = np.where(fakes, (counts[True] + 1) / (counts[True] + 2), 1 / (counts[False] + 2))
    weights = weights / weights.sum()

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        values = point[0] * logits + point[1]
        slopes = weights * (expit(values) - targets)
        return float(weights @ (np.logaddexp(0, values) - targets * values)), np.array([slopes @ logits, slopes.sum()])

    bounds = [(1 / TEMPERATURES[1], 1 / TEMPERATURES[0]), (-LARGEST_INTERCEPT, LARGEST_INTERCEPT)]
    options = {"ftol": 1e-12, "gtol": 1e-8}
    slope, intercept = minimize(loss, [1.0, 0.0], jac=True, bounds=bounds, method="L-BFGS-B", options=options).x
    return float(1 / slope), float(intercept)


def fit_method(
    method: str, scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> tuple[float, float]:
    """Return the temperature and intercept of a method; args as for `fit_temperature`."""
    return fit_platt(scores, labels, weights) if method == PLATT else (fit_temperature(scores, labels, weights), 0.0)


def by_platt(scores: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Platt scaling as a `Fit`."""
    temperature, intercept = fit_platt(scores, labels)
    return lambda others: calibrate_scores(others, temperature, intercept)


def by_temperature(scores: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Temperature scaling as a `Fit`."""
    temperature = fit_temperature(scores, labels)
    return lambda others: calibrate_scores(others, temperature)


def by_isotonic(scores: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Isotonic regression as a `Fit`."""
    return IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, labels).predict


def cross_validate(sample: Sample, fit: Fit, seed: int = SEED) -> np.ndarray:
    """(n,) probabilities, each by a fit on other videos: FOLDS parts of like shares of fakes, groups kept whole."""
    splitter = (StratifiedGroupKFold if sample.grouped else StratifiedKFold)(FOLDS, shuffle=True, random_state=seed)
    probabilities = np.empty(len(sample.scores))
    groups = sample.groups if sample.grouped else None
    for seen, unseen in splitter.split(sample.scores, sample.labels, groups):
        probabilities[unseen] = fit(sample.scores[seen], sample.labels[seen])(sample.scores[unseen])
    return probabilities


def compare_methods(sample: Sample, unseen: Mapping[str, np.ndarray]) -> Choice:
    """Compare the methods' log losses on unseen videos.

    Args:
        unseen: TEMPERATURE and PLATT -> (n,) probabilities of `cross_validate`.
    """
    right = {name: np.where(sample.labels == 1, values, 1 - values) for name, values in unseen.items()}
    losses = {name: -np.log(np.clip(values, SCORE_CLIP, 1)) for name, values in right.items()}
    gains = losses[TEMPERATURE] - losses[PLATT]
    # Videos of one original are not independent: the error is that of the groups' sums.
    sums = np.bincount(sample.groups, gains - gains.mean())
    error = math.sqrt(len(sums) / max(len(sums) - 1, 1) * float(sums @ sums)) / len(gains)
    return Choice({name: float(values.mean()) for name, values in losses.items()}, error)


def measure_scores(sample: Sample, resamples: int = RESAMPLES, seed: int = SEED) -> dict[str, dict[str, Estimate]]:
    """Return the figures of the scores as they are, of any videos: BEFORE -> metric -> value with its interval.

    Raises:
        CalibrationError: no videos.
    """
    if not len(sample.scores):
        raise CalibrationError("no video with score and label")
    found = bootstrap(
        lambda weights: measure(sample.labels, sample.scores, weights), sample.labels, sample.groups, resamples, seed
    )
    return {BEFORE: dict(zip(METRICS, found))}


def assess(sample: Sample, resamples: int = RESAMPLES, seed: int = SEED) -> Assessment:
    """Fit a calibration and measure it, on the videos it was fitted on and on unseen ones.

    Raises:
        CalibrationError: too few videos, or the scores say nothing, or the opposite, of the labels.
    """
    sample.check()
    unseen = {
        TEMPERATURE: cross_validate(sample, by_temperature, seed),
        PLATT: cross_validate(sample, by_platt, seed),
    }
    is_separated = bool(np.all((sample.scores > 0.5) == (sample.labels == 1)) and np.all(sample.scores != 0.5))
    choice = None if is_separated else compare_methods(sample, unseen)
    method = TEMPERATURE if choice is None else choice.method
    temperature, intercept = fit_method(method, sample.scores, sample.labels)
    if temperature > 0.99 * TEMPERATURES[1]:
        raise CalibrationError(
            "these scores do not tell fakes from reals: the best temperature has no bound; are the labels of these "
            "videos, and 1 for fake?"
        )
    probabilities = {
        BEFORE: sample.scores,
        FITTED: calibrate_scores(sample.scores, temperature, intercept),
        UNSEEN: unseen[method],
        ISOTONIC: cross_validate(sample, by_isotonic, seed),
    }

    def statistics(weights: np.ndarray) -> np.ndarray:
        found = {name: measure(sample.labels, values, weights) for name, values in probabilities.items()}
        found |= {name: found[one] - found[other] for name, (one, other) in DIFFERENCES.items()}
        return np.concatenate([fit_method(method, sample.scores, sample.labels, weights), *found.values()])

    fitted, added, *others = bootstrap(statistics, sample.labels, sample.groups, resamples, seed)
    rows = (dict(zip(METRICS, others[start:])) for start in range(0, len(others), len(METRICS)))
    figures = dict(zip([*probabilities, *DIFFERENCES], rows))
    for name in DIFFERENCES:
        del figures[name]["auc"]
    return Assessment(method, fitted, added, choice, figures, probabilities)


def choose_thresholds(
    probabilities: np.ndarray, labels: np.ndarray, false_alarm_rate: float, miss_rate: float
) -> Thresholds:
    """The lowest threshold over which at most a share of the reals lies, and the highest under which at most a share
    of the fakes does.

    Where they cross, one threshold meets both rates, and no video need be uncertain: the one nearest to 0.5.

    Args:
        probabilities: (n,) in 0..1.
        labels: (n,) 0 or 1, both there.
    """
    reals, fakes = np.sort(probabilities[labels == 0]), np.sort(probabilities[labels == 1])
    fake_above = reals[-1 - _allowed(false_alarm_rate, len(reals))]
    real_below = fakes[_allowed(miss_rate, len(fakes))]
    if real_below > fake_above:
        fake_above = real_below = np.clip(0.5, fake_above, real_below)
    return Thresholds(
        float(real_below),
        float(fake_above),
        false_alarms=Share(int((reals > fake_above).sum()), len(reals)),
        misses=Share(int((fakes < real_below).sum()), len(fakes)),
        caught=Share(int((fakes > fake_above).sum()), len(fakes)),
        cleared=Share(int((reals < real_below).sum()), len(reals)),
    )


def _allowed(rate: float, count: int) -> int:
    """How many of `count` videos a rate under 1 allows; 0.29 of 100 are 29, though the product is a little less."""
    return min(math.floor(rate * count + 1e-9), count - 1)
