import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from deepfake.scoring.metrics import log_losses, roc_auc, video_metrics


def test_agrees_with_scikit_learn_over_video_means():
    rng = np.random.default_rng(3)
    videos = np.repeat([f"v{n}" for n in range(20)], rng.integers(1, 6, 20))
    order = rng.permutation(len(videos))
    videos = videos[order]
    labels = np.array([int(v[1:]) % 3 == 0 for v in videos]).astype(int)
    probabilities = rng.random(len(videos)).round(1)  # rounded: ties
    metrics = video_metrics(list(videos), labels, probabilities)
    names = sorted(set(videos))
    means = np.array([probabilities[videos == n].mean() for n in names])
    truth = np.array([labels[videos == n][0] for n in names])
    for side, loss in ((1, metrics.fake_loss), (0, metrics.real_loss)):
        assert loss == pytest.approx(log_loss(truth[truth == side], means[truth == side], labels=[0, 1]))
    assert metrics.auc == pytest.approx(roc_auc_score(truth, means))
    assert metrics.accuracy == pytest.approx(((means > 0.5) == truth).mean())
    assert metrics.bce == pytest.approx((metrics.fake_loss + metrics.real_loss) / 2)
    assert metrics.log_loss == pytest.approx(log_loss(truth, means))
    assert metrics.videos == 20
    # Some draws are certain, and 1 - 1e-15 is not exact.
    assert metrics.frame_log_loss == pytest.approx(log_loss(labels, probabilities.clip(1e-15, 1 - 1e-15)), rel=1e-3)
    assert metrics.frame_auc == pytest.approx(roc_auc_score(labels, probabilities))
    assert metrics.frame_accuracy == pytest.approx(((probabilities > 0.5) == labels).mean())
    assert metrics.frames == len(videos) > 20


def test_certain_and_wrong_is_dear_but_finite():
    metrics = video_metrics(["a", "b"], np.array([1, 0]), np.array([0.0, 1.0]))
    assert 30 < metrics.bce < 40 and metrics.auc == 0


def test_both_labels_are_needed():
    with pytest.raises(ValueError, match="1 fake and 0 real"):
        video_metrics(["a"], np.array([1]), np.array([0.4]))


def test_the_area_under_the_roc_curve_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 40), rng.integers(0, 8, 40) / 8  # with ties
    pairs = [
        (scores[i] > scores[j]) + (scores[i] == scores[j]) / 2
        for i in np.flatnonzero(labels)
        for j in np.flatnonzero(1 - labels)
    ]
    assert roc_auc(labels, scores) == pytest.approx(np.mean(pairs))
    twice = np.where(np.arange(40) < 20, 2.0, 1.0)
    repeated = np.repeat(np.arange(40), twice.astype(int))
    assert roc_auc(labels, scores, twice) == pytest.approx(roc_auc(labels[repeated], scores[repeated]))


def test_log_losses_are_clipped():
    losses = log_losses(np.array([1, 0, 1]), np.array([0.0, 0.0, 0.5]), 0.01)
    assert losses == pytest.approx([-np.log(0.01), -np.log(0.99), np.log(2)])
