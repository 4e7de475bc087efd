"""Metrics that detectors are compared by: against scikit-learn, on ties and duplicates, and their intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn import metrics as sklearn_metrics

from deepfake.scoring import detection_metrics
from deepfake.scoring.detection_metrics import (
    METRICS,
    LabeledScores,
    equal_error_rate,
    measure_with_intervals,
    point_metrics,
    rank_metrics,
    resampled_metrics,
    tpr_at_fpr,
)

EXACT = 1e-9


@st.composite
def labeled(draw, least=2):
    """Scores on a grid, so that many tie, with both labels."""
    count = draw(st.integers(least, 60))
    labels = np.array([0, 1, *draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))])
    scores = np.array(draw(st.lists(st.integers(0, 20), min_size=count + 2, max_size=count + 2))) / 20
    return labels, scores


def alone(labels, scores, threshold=None):
    return LabeledScores(labels, scores, np.arange(len(labels)), threshold)


def some(count=400, seed=0, groups=80):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    scores = np.round(np.clip(rng.normal(0.4 + 0.25 * labels, 0.2), 0, 1), 2)
    return LabeledScores(labels, scores, rng.integers(0, groups, count), 0.6)


@settings(max_examples=150, deadline=None)
@given(labeled())
def test_points_are_those_of_sklearn(data):
    labels, scores = data
    found = point_metrics(alone(labels, scores, 0.3))
    fpr, tpr, _ = sklearn_metrics.roc_curve(labels, scores, drop_intermediate=False)
    assert found["auc"] == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores), abs=EXACT)
    assert found["ap"] == pytest.approx(sklearn_metrics.average_precision_score(labels, scores), abs=EXACT)
    assert found["accuracy"] == sklearn_metrics.accuracy_score(labels, scores > 0.5)
    assert found["accuracy_calibrated"] == sklearn_metrics.accuracy_score(labels, scores > 0.3)
    for rate in (0.01, 0.05, 0.3):
        assert tpr_at_fpr(labels, scores, rate) == pytest.approx(tpr[fpr <= rate + 1e-12].max(), abs=EXACT)
    assert set(found) == set(METRICS)


@settings(max_examples=150, deadline=None)
@given(labeled())
def test_the_equal_error_rate_lies_on_sklearns_curve(data):
    labels, scores = data
    fpr, tpr, _ = sklearn_metrics.roc_curve(labels, scores, drop_intermediate=False)
    path = np.linspace(0, 1, len(fpr))  # along the curve, which may rise straight up
    excess = lambda at: np.interp(at, path, fpr) + np.interp(at, path, tpr) - 1  # noqa: E731
    expected = float(np.interp(brentq(excess, 0, 1, xtol=1e-13), path, fpr))
    assert equal_error_rate(labels, scores) == pytest.approx(expected, abs=EXACT)


@settings(max_examples=80, deadline=None)
@given(labeled(), st.data())
def test_weighted_metrics_are_those_of_sklearn(data, draw):
    labels, scores = data
    times = np.array(draw.draw(st.lists(st.integers(0, 3), min_size=len(labels), max_size=len(labels))), float)
    times[:2] += 1  # both labels stay
    order, places = np.unique(scores, return_inverse=True)
    fakes, reals = (np.bincount(places, times * (labels == label), len(order))[None] for label in (1, 0))
    found = rank_metrics(fakes, reals)
    assert found["auc"][0] == pytest.approx(
        sklearn_metrics.roc_auc_score(labels, scores, sample_weight=times), abs=EXACT
    )
    assert found["ap"][0] == pytest.approx(
        sklearn_metrics.average_precision_score(labels, scores, sample_weight=times), abs=EXACT
    )


@settings(max_examples=60, deadline=None)
@given(labeled())
def test_turned_labels_turn_the_area(data):
    labels, scores = data
    turned = point_metrics(alone(1 - labels, scores))
    assert turned["auc"] == pytest.approx(1 - point_metrics(alone(labels, scores))["auc"], abs=EXACT)
    both_turned = point_metrics(alone(1 - labels, 1 - scores))
    assert both_turned["eer"] == pytest.approx(equal_error_rate(labels, scores), abs=EXACT)


@settings(max_examples=60, deadline=None)
@given(labeled())
def test_duplicates_change_no_value(data):
    labels, scores = data
    twice = point_metrics(alone(np.tile(labels, 2), np.tile(scores, 2), 0.5))
    assert twice == pytest.approx(point_metrics(alone(labels, scores, 0.5)), abs=EXACT)


def test_equal_scores_tell_nothing():
    found = point_metrics(alone(np.array([0, 1] * 20), np.full(40, 0.7)))
    assert (found["auc"], found["eer"], found["tpr_at_5_fpr"]) == (0.5, 0.5, 0)


def test_a_resample_is_measured_as_its_videos_are():
    """Each group counted once: the metrics of the resample are the points."""
    of = some()
    groups = np.unique(of.groups, return_inverse=True)[1]
    drawn = next(detection_metrics._draws(of.labels, groups, groups.max() + 1, 1, 5, 1))[0].astype(int)
    rows = np.repeat(np.arange(len(groups)), drawn[groups])
    found = resampled_metrics(of, 1, 5)
    assert {name: value[0] for name, value in found.items()} == pytest.approx(point_metrics(of.take(rows)), abs=EXACT)


def test_intervals_hold_the_value_and_shrink_with_more_groups():
    few, many = (measure_with_intervals(some(count, groups=count // 4), 400)["auc"] for count in (200, 3200))
    assert few.low < few.value < few.high
    assert (many.high - many.low) < 0.5 * (few.high - few.low)


def test_groups_are_drawn_whole():
    of = some(groups=80)
    copies = LabeledScores(*(np.repeat(values, 8) for values in (of.labels, of.scores, of.groups)), 0.6)
    alone_, together = measure_with_intervals(of, 300)["auc"], measure_with_intervals(copies, 300)["auc"]
    assert (together.low, together.high) == pytest.approx((alone_.low, alone_.high), abs=EXACT)


def test_memory_does_not_grow_with_resamples(monkeypatch):
    whole = resampled_metrics(some(), 50, 3)
    monkeypatch.setattr(detection_metrics, "_CELLS_AT_ONCE", 400)
    parts = resampled_metrics(some(), 50, 3)
    assert parts.keys() == whole.keys()
    assert all(parts[name] == pytest.approx(values, abs=EXACT) for name, values in whole.items())


def test_the_area_alone_is_that_of_the_curve():
    of = some()
    assert resampled_metrics(of, 20, 1, ("auc",))["auc"] == pytest.approx(
        resampled_metrics(of, 20, 1)["auc"], abs=EXACT
    )


def test_many_distinct_scores_move_intervals_little(monkeypatch):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 5000)
    of = LabeledScores(labels, rng.normal(0.4 + 0.1 * labels, 0.1).clip(0, 1), np.arange(5000))
    joined = resampled_metrics(of, 20, 1, ("auc",))["auc"]
    monkeypatch.setattr(detection_metrics, "_BINS_OF_AREA", 5000)
    assert joined == pytest.approx(resampled_metrics(of, 20, 1, ("auc",))["auc"], abs=1e-4)


def test_one_label_alone_has_no_rank_metrics():
    of = alone(np.ones(5, int), np.linspace(0, 1, 5))
    assert set(measure_with_intervals(of, 20)) == {"accuracy", "log_loss", "brier", "ece"}
    assert "groups with reals" in of.too_few


def test_no_video_has_no_metric():
    assert measure_with_intervals(alone(np.array([], int), np.array([])), 20) == {}
