"""Metrics of scores, and their table."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from federated.owner.metrics import METRICS
from federated.owner.predictions import read_predictions, write_predictions

pytestmark = pytest.mark.federated


@pytest.fixture
def scored(opened) -> tuple:
    data = opened["owner1"]["test"]
    scores = np.random.default_rng(1).uniform(0.01, 0.99, len(data.table))
    return data, data.table[["video", "file"]].assign(score=scores)


def test_metrics_are_those_of_videos(scored):
    data, predictions = scored
    videos = predictions.assign(label=data.table["label"]).groupby("video").mean(numeric_only=True)
    values = {name: metric(data_from_opener=data, predictions=predictions) for name, metric in METRICS.items()}
    assert values["log_loss"] == pytest.approx(reference.log_loss(videos["label"], videos["score"]))
    assert values["auc"] == pytest.approx(reference.roc_auc_score(videos["label"], videos["score"]))
    assert values["accuracy"] == pytest.approx(((videos["score"] > 0.5) == videos["label"]).mean())


def test_the_order_of_scores_does_not_matter_and_labels_are_the_samples_own(scored):
    data, predictions = scored
    shuffled = predictions.assign(label=0).sample(frac=1, random_state=0)
    for metric in METRICS.values():
        assert metric(data, shuffled) == pytest.approx(metric(data, predictions))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: pd.concat([p, p.iloc[:1]]), "two scores for a crop"),
        (
            lambda p: p.replace({"video": {p["video"].iloc[0]: "elsewhere"}}),
            "a score of elsewhere/",
        ),
        (lambda p: p[p["video"] != p["video"].iloc[0]], "no score for 1 videos"),
    ],
)
def test_scores_that_do_not_fit_the_samples_are_refused(scored, change, message):
    data, predictions = scored
    with pytest.raises(ValueError, match=f"owner1: {message}"):
        METRICS["auc"](data, change(predictions))


def test_predictions_are_read_back_to_the_bit(scored, tmp_path):
    _, predictions = scored
    write_predictions(tmp_path / "p.csv", predictions)
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "p.csv"), predictions.reset_index(drop=True))


@pytest.mark.parametrize("rows", ["", "video,file\na,b", "high", "1.5", "nan"])
def test_other_files_are_refused(tmp_path, rows):
    (tmp_path / "p.csv").write_text(rows if "," in rows or not rows else f"video,file,score\na,b,{rows}\n")
    with pytest.raises(ValueError, match=r"p\.csv"):
        read_predictions(tmp_path / "p.csv")
