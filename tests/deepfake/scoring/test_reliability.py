"""Figures of probabilities against scikit-learn's and by hand; intervals that cover and repeat."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.calibration import calibration_curve

from deepfake.scoring.reliability import BINS, METRICS, Share, bootstrap, measure, reliability_bins

videos = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=40)


@given(videos)
def test_bins_are_those_of_scikit_learn(found):
    values, labels = np.array([v for v, _ in found]), np.array([label for _, label in found])
    bins = reliability_bins(labels, values)
    observed, predicted = calibration_curve([*labels, 0, 1], [*values, 0, 1], n_bins=BINS)
    ends = reliability_bins(np.array([*labels, 0, 1]), np.array([*values, 0, 1]))
    assert np.allclose(ends.observed, observed) and np.allclose(ends.predicted, predicted)
    assert bins.weight.sum() == len(found)
    assert 0 <= bins.error <= 1


def test_calibration_error_by_hand():
    labels, values = np.array([0, 1, 1, 1]), np.array([0.15, 0.15, 0.95, 0.85])
    bins = reliability_bins(labels, values)
    assert bins.index.tolist() == [1, 8, 9] and bins.weight.tolist() == [2, 1, 1]
    assert bins.error == pytest.approx((2 * 0.35 + 0.05 + 0.15) / 4)


def test_figures_by_hand():
    found = dict(zip(METRICS, measure(np.array([0, 1]), np.array([0.0, 0.5]))))
    assert found["log_loss"] == pytest.approx(np.log(2) / 2, abs=1e-5)
    assert found["brier"] == pytest.approx(0.125) and found["auc"] == 1.0
    assert found["ece"] == pytest.approx(0.25)


def test_a_certain_mistake_costs_much_but_not_everything():
    assert measure(np.array([0, 1]), np.array([1.0, 1.0]))[0] == pytest.approx(np.log(1e6) / 2, rel=1e-4)


def test_a_video_that_counts_twice_is_two():
    rng = np.random.default_rng(0)
    values, labels, weights = rng.random(50), rng.integers(0, 2, 50), rng.integers(0, 3, 50)
    repeated = measure(np.repeat(labels, weights), np.repeat(values, weights))
    assert measure(labels, values, weights.astype(float)) == pytest.approx(repeated)


def test_exact_intervals_of_shares():
    found = Share(0, 20).estimate
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 20)), "no error in 20 leaves room for 16.8 %"
    assert Share(0, 19).expected == pytest.approx(0.05)


def test_resamples_keep_groups_whole_and_their_makes():
    labels = np.array([0, 0, 0, 1, 1, 1, 0, 1, 0, 1])
    groups = np.array([0, 1, 2, 3, 4, 4, 5, 5, 6, 6])
    drawn = []
    bootstrap(lambda weights: drawn.append(weights) or np.zeros(1), labels, groups, 50, 0)
    assert len(drawn) == 51 and any(weights.max() > 1 for weights in drawn)
    for weights in drawn:
        assert weights[4] == weights[5] and weights[6] == weights[7] and weights[8] == weights[9]
        assert (weights[:3].sum(), weights[3] + weights[4], weights[6] + weights[8]) == (3, 2, 2)


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(100):
        values = rng.normal(0, 1, 60)
        labels = np.array([0, 1] * 30)
        (found,) = bootstrap(lambda w, v=values: np.array([np.average(v, weights=w)]), labels, np.arange(60), 200, seed)
        assert found.low < found.value < found.high
        covered += found.low < 0 < found.high
    assert 87 <= covered <= 99


def test_videos_of_one_original_tell_less_than_as_many_originals():
    """Ten copies of each video are no more evidence than one."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    values = expit(rng.normal(0, 1, 40))
    many, apart, together = np.repeat(labels, 10), np.arange(400), np.repeat(np.arange(40), 10)

    def width(of, groups):
        (found,) = bootstrap(lambda w: np.array([np.average(np.repeat(values, 10), weights=w)]), of, groups, 300, 0)
        return found.high - found.low

    assert width(many, together) == pytest.approx(10**0.5 * width(many, apart), rel=0.25)


def test_intervals_repeat_with_their_seed():
    labels, groups = np.array([0, 1] * 20), np.arange(40)
    values = np.linspace(0, 1, 40)
    runs = [bootstrap(lambda w: measure(labels, values, w), labels, groups, 5, seed) for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]
