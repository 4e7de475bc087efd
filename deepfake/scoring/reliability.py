"""How well probabilities fit the labels: log loss, Brier score, AUC, calibration error, and intervals of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from deepfake.scoring.calibration import SCORE_CLIP
from deepfake.scoring.metrics import log_losses, roc_auc

BINS = 10
"""Of equal width, as in a reliability diagram. Scores gather at 0 and 1; bins of equal mass would cut ties apart."""

CONFIDENCE = 0.95

METRICS = ("log_loss", "brier", "auc", "ece")


@dataclass(frozen=True)
class Estimate:
    """A value and its CONFIDENCE interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Share:
    """So many videos of so many."""

    count: int
    of: int

    @property
    def value(self) -> float:
        return self.count / self.of

    @property
    def expected(self) -> float:
        """Of errors beyond a threshold that is itself one of these videos: the rate to expect of new ones."""
        return (self.count + 1) / (self.of + 1)

    @property
    def estimate(self) -> Estimate:
        """With the exact binomial interval (Clopper and Pearson)."""
        found = binomtest(self.count, self.of).proportion_ci(CONFIDENCE, method="exact")
        return Estimate(self.value, float(found.low), float(found.high))


@dataclass(frozen=True)
class Bins:
    """The bins of a reliability diagram that hold videos.

    Attributes:
        index: (n,) which of the BINS, from 0.
        weight: (n,) how many videos.
        predicted: (n,) their mean probability.
        observed: (n,) their share of fakes.
    """

    index: np.ndarray
    weight: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean of |predicted - observed| over videos."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.weight))


def reliability_bins(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> Bins:
    """Sort videos into BINS by probability, as sklearn's `calibration_curve`, which takes no weights.

    Args:
        labels: (n,) 0 or 1.
        probabilities: (n,) in 0..1.
        weights: (n,) how often each video counts; None for once.
    """
    weights = np.ones(len(labels)) if weights is None else weights
    place = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], probabilities)
    weight, predicted, observed = (
        np.bincount(place, weights * values, BINS) for values in (np.ones(len(labels)), probabilities, labels)
    )
    index = np.flatnonzero(weight)
    return Bins(index, weight[index], predicted[index] / weight[index], observed[index] / weight[index])


def measure(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the METRICS of probabilities, float64. Log loss counts no probability nearer to 0 or 1 than SCORE_CLIP.

    Args: as for `reliability_bins`. The AUC of one label alone is NaN.
    """
    counted = labels if weights is None else labels[weights > 0]
    has_both = 0 < counted.sum() < len(counted)
    return np.array(
        [
            np.average(log_losses(labels, probabilities, SCORE_CLIP), weights=weights),
            np.average((probabilities - labels) ** 2, weights=weights),
            roc_auc(labels, probabilities, weights) if has_both else np.nan,
            reliability_bins(labels, probabilities, weights).error,
        ]
    )


def bootstrap(
    statistics: Callable[[np.ndarray], np.ndarray], labels: np.ndarray, groups: np.ndarray, count: int, seed: int
) -> list[Estimate]:
    """Return statistics of all videos with percentile intervals over resamples of the groups.

    Groups of the same make (only reals, only fakes, both) are drawn among themselves, so that each resample has both
    labels if all videos do; where every video is its own group, that is the bootstrap stratified by label. The
    calibration error of a resample is on average larger than that of the sample, so its interval lies high.

    Args:
        statistics: how often each video counts, (n,) float64 -> (k,) values.
        labels: (n,) 0 or 1.
        groups: (n,) which videos belong together, numbered from 0.
        count: of resamples, at least 1.
    """
    rng = np.random.default_rng(seed)
    fakes, sizes = np.bincount(groups, labels), np.bincount(groups)
    makes = [np.flatnonzero(make) for make in (fakes == 0, fakes == sizes, (fakes > 0) & (fakes < sizes))]
    drawn = []
    for _ in range(count):
        times = np.zeros(len(sizes))
        for members in makes:
            if len(members):
                times[members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)))
        drawn.append(statistics(times[groups]))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return [Estimate(*map(float, row)) for row in zip(statistics(np.ones(len(labels))), low, high)]
