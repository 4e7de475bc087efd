"""What perturbations cost, against the same videos unperturbed."""

import pytest
from sklearn.metrics import roc_auc_score

from deepfake.evaluation.evaluating import OVERALL, Cell, EvaluatedVideo, Evaluation, MeasureOptions
from deepfake.evaluation.reporting import robustness_csv
from deepfake.evaluation.robustness import measure_robustness

LABELS = [0, 1, 0, 1, 0]


def evaluation(*scores):
    videos = [EvaluatedVideo(str(i), f"{i}.mp4", LABELS[i], str(i), score) for i, score in enumerate(scores)]
    auc = roc_auc_score(LABELS, scores)
    return Evaluation("run", {}, [], [], [Cell(OVERALL, "all", 3, 2, 5, 0, "", {"auc": (auc, 0.0, 1.0)})], videos)


def test_the_loss_is_clean_minus_perturbed():
    clean, worse, same = (evaluation(0.1, 0.9, 0.2, score, 0.3) for score in (0.8, 0.25, 0.8))
    found = measure_robustness(clean, {("GB", "1"): worse, ("GB", "2"): same}, MeasureOptions(bootstrap=20))
    assert [(row.perturbation, row.level, row.videos) for row in found.rows] == [("GB", "1", 5), ("GB", "2", 5)]
    value, low, high = found.rows[0].loss
    assert value == pytest.approx(1 - found.rows[0].auc[0]) == pytest.approx(1 / 6) and low <= value <= high
    assert found.rows[1].loss == (0, 0, 0)


def test_no_loss_has_no_sign():
    """The same AUC of other scores differs in its last digit."""
    clean, other = evaluation(0.9, 0.2, 0.2, 0.4, 0.3), evaluation(0.7, 0.0, 0.4, 0.7, 0.2)
    assert clean.cells[0].auc != other.cells[0].auc
    found = measure_robustness(clean, {("GB", "1"): other}, MeasureOptions(bootstrap=20))
    assert ",0.000000," in robustness_csv(found) and "-0.000000" not in robustness_csv(found)
