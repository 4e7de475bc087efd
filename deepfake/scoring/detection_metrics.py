"""What detectors are compared by, with intervals over groups: AUC, EER, AP, TPR at fixed FPR, losses, calibration.

Values are scikit-learn's where it has them. Intervals come from a bootstrap that draws whole groups, an original with
its fakes. All resamples are computed at once: what a metric needs of a resample is linear in how often each group
counts, so it is a matrix product with one row a group. `tests/deepfake/scoring/test_detection_metrics.py` holds both
ways to each other and to scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.sparse import csr_array
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from deepfake.scoring.calibration import SCORE_CLIP
from deepfake.scoring.metrics import DECISION, log_losses
from deepfake.scoring.reliability import BINS, CONFIDENCE, Estimate, reliability_bins

RANK_METRICS = ("auc", "eer", "ap", "tpr_at_1_fpr", "tpr_at_5_fpr")
"""Of the order of scores alone; they take both labels."""
VALUE_METRICS = ("accuracy", "accuracy_calibrated", "log_loss", "brier", "ece")
METRICS = RANK_METRICS + VALUE_METRICS
FALSE_POSITIVE_RATES = (0.01, 0.05)

HIGHER_IS_BETTER = frozenset(["auc", "ap", "tpr_at_1_fpr", "tpr_at_5_fpr", "accuracy", "accuracy_calibrated"])

RESAMPLES = 1000
SEED = 777
MIN_GROUPS = 10
"""Fewer groups with reals, or with fakes, are too few: a bootstrap of them says little."""

_MOST_BINS, _BINS_OF_AREA = 1 << 12, 1 << 10
"""Distinct scores that resamples keep apart, and for the AUC alone; more are joined, neighbors with neighbors, for the
intervals only."""
_CELLS_AT_ONCE = 1 << 19
"""Entries of a matrix of resamples: memory does not grow with their number."""
_ROUNDING = 1e-12


@dataclass(frozen=True)
class LabeledScores:
    """Videos, or frames, of one cell of a table.

    Attributes:
        labels: (n,) 0 real, 1 fake.
        scores: (n,) probability of fake, 0..1.
        groups: (n,) int, the same for an original and its fakes.
        threshold: score over which a calibration says fake; None without one.
    """

    labels: np.ndarray
    scores: np.ndarray
    groups: np.ndarray
    threshold: float | None = None

    def take(self, chosen: np.ndarray) -> LabeledScores:
        """Return those of a mask (n,) or of indices."""
        return LabeledScores(self.labels[chosen], self.scores[chosen], self.groups[chosen], self.threshold)

    @property
    def has_both(self) -> bool:
        return bool(len(self.labels)) and 0 < int(self.labels.sum()) < len(self.labels)

    @property
    def too_few(self) -> str:
        """Why intervals say little; empty if they rest on enough groups."""
        for label, name in ((0, "reals"), (1, "fakes")):
            count = len(np.unique(self.groups[self.labels == label]))
            if count < MIN_GROUPS:
                return f"{count} groups with {name}, fewer than {MIN_GROUPS}"
        return ""


def point_metrics(of: LabeledScores, metrics: Sequence[str] = METRICS) -> dict[str, float]:
    """Return those of the METRICS that these videos allow.

    Without both labels that is none of RANK_METRICS, without a threshold no calibrated accuracy, and without videos
    none. Log loss counts no score nearer to 0 or 1 than SCORE_CLIP.
    """
    ways: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {}
    if of.has_both:
        ways |= {"auc": roc_auc_score, "eer": equal_error_rate, "ap": average_precision_score}
        ways |= {name: partial(tpr_at_fpr, rate=rate) for name, rate in zip(RANK_METRICS[3:], FALSE_POSITIVE_RATES)}
    if len(of.labels):
        ways["accuracy"] = partial(_accuracy, threshold=DECISION)
        if of.threshold is not None:
            ways["accuracy_calibrated"] = partial(_accuracy, threshold=of.threshold)
        ways |= {"log_loss": _log_loss, "brier": partial(brier_score_loss, pos_label=1)}
        ways["ece"] = lambda labels, scores: reliability_bins(labels, scores).error
    return {name: float(ways[name](of.labels, of.scores)) for name in metrics if name in ways}


def _accuracy(labels: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    return float(((scores > threshold) == labels).mean())


def _log_loss(labels: np.ndarray, scores: np.ndarray) -> float:
    return log_loss(labels, scores.clip(SCORE_CLIP, 1 - SCORE_CLIP), labels=[0, 1])


def equal_error_rate(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return where the ROC curve, its points joined by lines, has as many false positives as false negatives, in
    shares of the reals and of the fakes. Both labels must be there."""
    return float(rank_metrics(*_both(labels, scores))["eer"][0])


def tpr_at_fpr(labels: np.ndarray, scores: np.ndarray, rate: float) -> float:
    """Return the highest share of fakes that a threshold finds with at most this share of false positives."""
    tpr, fpr = _curve(*_both(labels, scores))
    return float(_tpr_within(tpr, fpr, rate)[0])


def measure_with_intervals(
    of: LabeledScores, resamples: int = RESAMPLES, seed: int = SEED, metrics: Sequence[str] = METRICS
) -> dict[str, Estimate]:
    """Return the metrics that these videos allow with their CONFIDENCE intervals, percentiles over resamples."""
    points = point_metrics(of, metrics)
    if not points:
        return {}
    tail = (1 - CONFIDENCE) / 2
    drawn = resampled_metrics(of, resamples, seed, metrics)
    bounds = {name: np.quantile(drawn[name], [tail, 1 - tail]) for name in points}
    return {name: Estimate(value, *map(float, bounds[name])) for name, value in points.items()}


def resampled_metrics(
    of: LabeledScores, resamples: int = RESAMPLES, seed: int = SEED, metrics: Sequence[str] = METRICS
) -> dict[str, np.ndarray]:
    """Return each metric of `resamples` draws of the groups, (resamples,). The same seed draws the same groups."""
    groups = np.unique(of.groups, return_inverse=True)[1].reshape(-1)
    count = int(groups.max()) + 1
    order, distinct = np.unique(of.scores, return_inverse=True)
    ranks = [metric for metric in metrics if metric in RANK_METRICS]
    bins = min(len(order), _BINS_OF_AREA if ranks == ["auc"] else _MOST_BINS)
    places = distinct.reshape(-1) * bins // len(order)
    fakes, reals = (
        csr_array((of.labels == label, (places, groups)), shape=(bins, count), dtype=np.float64) for label in (1, 0)
    )
    sums = _group_sums(of, groups, count) if set(metrics) - set(ranks) else None
    found: dict[str, list[np.ndarray]] = {}
    at_once = max(1, _CELLS_AT_ONCE // max(count, bins))
    for times in _draws(of.labels, groups, count, resamples, seed, at_once):
        values = {} if sums is None else _value_metrics(times @ sums, of.threshold is not None)
        if of.has_both and ranks:
            values |= rank_metrics((fakes @ times.T).T, (reals @ times.T).T, ranks)
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def rank_metrics(fakes: np.ndarray, reals: np.ndarray, metrics: Sequence[str] = RANK_METRICS) -> dict[str, np.ndarray]:
    """Return those of the RANK_METRICS of weighted videos, each (r,).

    Args:
        fakes, reals: (r, b) how many there are with each of b scores, which ascend.
    """
    if list(metrics) == ["auc"]:
        return {"auc": _pairs_in_order(fakes, reals)}
    tpr, fpr = _curve(fakes, reals)
    ways: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {}
    ways |= {"auc": _area, "eer": _equal_error, "ap": partial(_precision, fakes=fakes.sum(1), reals=reals.sum(1))}
    ways |= {name: partial(_tpr_within, rate=rate) for name, rate in zip(RANK_METRICS[3:], FALSE_POSITIVE_RATES)}
    return {name: ways[name](tpr, fpr) for name in metrics}


def _both(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(1, b) counts of fakes and of reals by distinct score."""
    order, places = np.unique(scores, return_inverse=True)
    counts = [np.bincount(places.reshape(-1)[labels == label], minlength=len(order)) for label in (1, 0)]
    return counts[0][None].astype(np.float64), counts[1][None].astype(np.float64)


def _curve(fakes: np.ndarray, reals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(r, b + 1) true and false positive rates, from the threshold that calls nothing fake down."""

    def rates(counts: np.ndarray) -> np.ndarray:
        sums = np.cumsum(counts[:, ::-1], axis=1)
        return np.concatenate([np.zeros((len(sums), 1)), sums / sums[:, -1:]], axis=1)

    return rates(fakes), rates(reals)


def _pairs_in_order(fakes: np.ndarray, reals: np.ndarray) -> np.ndarray:
    """The area under the curve without the curve: the share of pairs in the right order, ties half."""
    below = np.cumsum(reals, axis=1) - reals / 2
    return np.einsum("rb,rb->r", fakes, below) / (fakes.sum(1) * reals.sum(1))


def _area(tpr: np.ndarray, fpr: np.ndarray) -> np.ndarray:
    return (np.diff(fpr) * (tpr[:, 1:] + tpr[:, :-1])).sum(1) / 2


def _precision(tpr: np.ndarray, fpr: np.ndarray, fakes: np.ndarray, reals: np.ndarray) -> np.ndarray:
    """The average precision; `fakes`, `reals`: (r,) how many there are."""
    hits, alarms = tpr[:, 1:] * fakes[:, None], fpr[:, 1:] * reals[:, None]
    return (np.diff(tpr) * hits / np.maximum(hits + alarms, _ROUNDING)).sum(1)


def _equal_error(tpr: np.ndarray, fpr: np.ndarray) -> np.ndarray:
    excess = fpr + tpr - 1  # ascends from -1 to 1; 0 where both errors are the same
    right = np.argmax(excess >= 0, axis=1)
    rows = np.arange(len(right))
    before, after = excess[rows, right - 1], excess[rows, right]
    start, end = fpr[rows, right - 1], fpr[rows, right]
    return start + (end - start) * -before / (after - before)


def _tpr_within(tpr: np.ndarray, fpr: np.ndarray, rate: float) -> np.ndarray:
    last = (fpr <= rate + _ROUNDING).sum(1) - 1
    return tpr[np.arange(len(tpr)), last]


def _group_sums(of: LabeledScores, groups: np.ndarray, count: int) -> np.ndarray:
    """(count, k) sums over the videos of each group, of which `_value_metrics` makes its metrics."""
    threshold = DECISION if of.threshold is None else of.threshold
    places = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], of.scores)
    surplus = [(of.scores - of.labels) * (places == place) for place in range(BINS)]
    columns = [
        np.ones(len(groups)),
        (of.scores > DECISION) == of.labels,
        (of.scores > threshold) == of.labels,
        log_losses(of.labels, of.scores, SCORE_CLIP),
        (of.scores - of.labels) ** 2,
        *surplus,
    ]
    return np.stack([np.bincount(groups, column, count) for column in columns], axis=1)


def _value_metrics(sums: np.ndarray, has_threshold: bool) -> dict[str, np.ndarray]:
    means = sums[:, 1:] / sums[:, :1]
    found = {"accuracy": means[:, 0], "log_loss": means[:, 2], "brier": means[:, 3]}
    found["ece"] = np.abs(means[:, 4:]).sum(1)
    return found | ({"accuracy_calibrated": means[:, 1]} if has_threshold else {})


def _draws(
    labels: np.ndarray, groups: np.ndarray, count: int, resamples: int, seed: int, at_once: int
) -> Iterator[np.ndarray]:
    """Yield how often each group counts, (r, count). Groups of only reals, of only fakes and of both are drawn among
    themselves, so that each resample has both labels."""
    rng = np.random.default_rng(seed)
    fakes, sizes = np.bincount(groups, labels, count), np.bincount(groups, minlength=count)
    makes = [np.flatnonzero(make) for make in (fakes == 0, fakes == sizes, (fakes > 0) & (fakes < sizes))]
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        times = np.zeros((rows, count))
        for row in times:  # one by one: the same draws, however many are computed at once
            for members in filter(len, makes):
                chosen = rng.integers(0, len(members), len(members))
                row[members] = np.bincount(chosen, minlength=len(members))
        yield times
