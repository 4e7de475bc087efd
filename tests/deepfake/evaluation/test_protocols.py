"""Conventions: which frames count, and how faces become a frame's and a video's score."""

import numpy as np
import pytest

from deepfake.evaluation.protocols import (
    CONFIDENT,
    HIGHEST,
    LARGEST,
    MEAN,
    PROTOCOLS,
    Face,
    Protocol,
    frame_scores,
    video_score,
)
from deepfake.scoring.aggregation import confident_score

WEIGHTS = {"a": 3.0, "b": 1.0}


def test_frames_are_the_first_or_spread():
    frames = list(range(0, 640, 10))
    assert PROTOCOLS["deepfakebench"].choose(frames) == frames[:32]
    spread = PROTOCOLS["sbi"].choose(frames)
    assert (len(spread), spread[0], spread[-1]) == (32, 0, 630)
    assert Protocol().choose([3, 1, 1]) == [1, 3]


def test_first_frames_are_those_that_were_stored():
    assert PROTOCOLS["deepfakebench"].frames_to_read(of_stored_frames=True).indices(100) == list(range(32))
    assert PROTOCOLS["deepfakebench"].frames_to_read(of_stored_frames=True).indices(5) == list(range(5))
    for protocol, stored in (("deepfakebench", False), ("sbi", True)):
        spread = PROTOCOLS[protocol].frames_to_read(stored).indices(100)
        assert (len(spread), spread[-1]) == (32, 99)


@pytest.mark.parametrize("rule, expected", [(MEAN, 0.5), (LARGEST, 0.2), (HIGHEST, 0.4)])
def test_faces_of_a_frame(rule, expected):
    faces = [Face(0, 100, {"a": 0.2}), Face(0, 50, {"a": 0.4}), Face(0, 49, {"a": 0.9})]
    assert frame_scores(faces, WEIGHTS, rule) == pytest.approx([expected])


def test_networks_are_weighted_where_they_have_a_face():
    faces = [Face(5, 10, {"a": 0.0, "b": 1.0}), Face(2, 10, {"b": 1.0}), Face(7, 10, {})]
    frames = frame_scores(faces, WEIGHTS, MEAN)
    assert frames == pytest.approx([1.0, 0.25])
    assert video_score(faces, frames, WEIGHTS, MEAN) == pytest.approx(0.625)


def test_first_places_rule_takes_all_faces():
    scores = [0.9] * 15 + [0.3] * 10
    faces = [Face(i, 10, {"a": score}) for i, score in enumerate(scores)]
    frames = frame_scores(faces, WEIGHTS, CONFIDENT)
    assert np.mean(frames) != pytest.approx(0.9)
    assert video_score(faces, frames, WEIGHTS, CONFIDENT) == pytest.approx(confident_score(scores)) == 0.9
