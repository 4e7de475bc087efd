"""How face scores become a video's score: the rule's branches, and the published code's labels."""

import numpy as np
import pytest

from deepfake.scoring.aggregation import confident_score, ensemble_score, mean_score


def test_sure_fakes_count_alone_when_there_are_enough():
    scores = [0.9] * 12 + [0.1] * 15  # 27 faces: more than 27 // 2.5 = 10 and more than 11
    assert confident_score(scores) == pytest.approx(0.9)


@pytest.mark.parametrize(
    "scores",
    [
        [0.9] * 11 + [0.5] * 2,  # 11 sure fakes are not more than 11
        [0.9] * 12 + [0.5] * 20,  # 12 sure fakes are not more than 32 // 2.5 = 12
        [0.8] * 30,  # exactly at the threshold is not over it
        [0.1] * 9 + [0.5],  # 9 of 10 are not more than 90 %
        [0.2] * 20,
    ],
)
def test_else_the_mean_of_all(scores):
    assert confident_score(scores) == pytest.approx(np.mean(scores))


def test_one_sure_fake_more_turns_the_rule():
    assert confident_score([0.9] * 13 + [0.5] * 19) == pytest.approx(0.9)  # 13 > 32 // 2.5


def test_sure_reals_count_alone_when_almost_all_are():
    assert confident_score([0.1] * 19 + [0.7]) == pytest.approx(0.1)


def test_the_threshold_can_be_chosen():
    assert confident_score([0.7] * 13 + [0.5] * 7, threshold=0.6) == pytest.approx(0.7)


@pytest.mark.parametrize("aggregate", [confident_score, mean_score, ensemble_score])
def test_no_faces_have_no_score(aggregate):
    with pytest.raises(ValueError, match="no score"):
        aggregate([])


def test_models_count_alike():
    assert ensemble_score([0.2, 0.4, 0.9]) == pytest.approx(0.5)


def test_published_labels_follow_from_published_face_scores(reference):
    predictions = reference("predictions")
    assert len(predictions) == 17
    for name, video in predictions.items():
        assert confident_score(video["face_scores"]) == pytest.approx(video["label"], abs=2e-6), name
