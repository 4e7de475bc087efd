"""Fewer bits only where the scores stay."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from deepfake import precision_check
from deepfake.faces import FaceCollector, VideoFaces
from deepfake.precision import FLOAT32, PORTRAITS, REDUCED_TOLERANCE, VIDEOS, PrecisionCheck
from deepfake.precision_check import example_videos, portrait_examples, try_precision, video_examples
from deepfake.scoring_models import ScoringModel, make_scorer
from deepfake.spec import ModelSpec


class Steep(nn.Module):
    """A logit that swings with a picture's mean: for large factors a rounded mean gives another one."""

    def __init__(self, factor):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        self.factor = factor

    def forward(self, x):
        return torch.sin(self.factor * self.conv(x).float().mean((1, 2, 3)))[:, None]


class OverflowsInFewerBits(Steep):
    def forward(self, x):
        return super().forward(x) * (1.0 if self.conv(x).dtype == torch.float32 else torch.nan)


def model(name, factor, kind=Steep):
    torch.manual_seed(3)
    return ScoringModel(name, kind(factor).eval(), ModelSpec("Steep", {}, 64), "")


VIEW = model("a", 1).view


@pytest.fixture(scope="module")
def examples():
    """Three videos with one, four and two faces."""
    rng = np.random.default_rng(5)
    return {VIEW: [rng.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8) for count in (1, 4, 2)]}


@pytest.mark.parametrize("factor", [1, 20])
def test_what_is_told_is_the_largest_difference_of_a_video_and_of_a_face(examples, factor):
    steep = model("steep", factor)
    check, _ = try_precision([model("a", 0.1), steep], "bf16", VIDEOS, examples)
    expected, found = make_scorer(steep, FLOAT32), make_scorer(steep, "bf16")
    means = [abs(float(found(faces).mean()) - float(expected(faces).mean())) for faces in examples[VIEW]]
    single = max(float(np.abs(found(faces) - expected(faces)).max()) for faces in examples[VIEW])
    assert (check.precision, check.source, check.videos, check.faces) == ("bf16", VIDEOS, 3, 7)
    assert check.video_difference == pytest.approx(max(means), abs=1e-6)
    assert check.face_difference == pytest.approx(single, abs=1e-6)
    assert single > max(means) > 0, "or this tells nothing"
    assert check.network == "steep"


def test_networks_that_keep_their_scores_compute_in_fewer_bits(examples):
    check, scorers = try_precision([model("a", 1), model("b", 0.5)], "bf16", VIDEOS, examples)
    assert check.kept and check.chosen == "bf16"
    assert {name: scorer.precision for name, scorer in scorers.items()} == {"a": "bf16", "b": "bf16"}
    assert check.told().startswith("bf16: scores of 7 faces of 3 videos are ")


def test_one_network_that_loses_its_scores_keeps_all_in_float32(examples):
    check, _ = try_precision([model("a", 1), model("steep", 3000), model("b", 1)], "bf16", VIDEOS, examples)
    assert not check.kept and check.chosen == FLOAT32
    assert check.video_difference > REDUCED_TOLERANCE and check.network == "steep"
    assert "float32: in bf16 scores of steep are off by 0." in check.told()


def test_no_network_is_tried_after_one_that_is_off_too_far(examples, monkeypatch):
    tried = []
    monkeypatch.setattr(
        precision_check,
        "make_scorer",
        lambda model, precision: tried.append(model.name) or make_scorer(model, precision),
    )
    try_precision([model("steep", 3000), model("b", 1)], "bf16", VIDEOS, examples)
    assert set(tried) == {"steep"}


def test_scores_that_are_no_numbers_keep_float32(examples):
    check, _ = try_precision([model("a", 1), model("broken", 1, OverflowsInFewerBits)], "bf16", VIDEOS, examples)
    assert not check.kept and (check.video_difference, check.face_difference) == (None, None)
    assert check.told() == "float32: in bf16 scores of broken are no numbers (7 faces of 3 videos)"


def test_without_a_face_nothing_is_known_and_float32_stays(examples):
    other = ScoringModel("other", Steep(1).eval(), ModelSpec("Steep", {}, 96), "")
    for models, known in (([model("a", 1)], {}), ([model("a", 1), other], examples)):
        check, scorers = try_precision(models, "bf16", VIDEOS, known)
        assert not check.kept and check.faces == 0 and scorers == {}
        assert check.told() == "float32: no face was found in videos to try bf16 on"


@given(st.integers(1, 3000))
def test_examples_are_few_videos_spread_evenly_over_all(total):
    videos = [Path(f"{i}.mp4") for i in range(total)]
    chosen = example_videos(videos)
    at = [videos.index(path) for path in chosen]
    assert at == sorted(set(at))
    assert len(chosen) == min(total, 2) if total < 24 else len(chosen) == min(8, total // 8)
    assert (at[0], at[-1]) == (0, total - 1)
    gaps = np.diff(at)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


def test_of_each_video_a_few_faces_from_first_to_last_are_taken():
    numbered = np.arange(9, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 64, 64, 3), np.uint8)
    videos = [VideoFaces(images={VIEW: numbered[:count]}) for count in (9, 0, 3)]
    (taken,) = video_examples(videos).values()
    assert [[int(face[0, 0, 0]) for face in faces] for faces in taken] == [[0, 2, 5, 8], [0, 1, 2]]


def test_portraits_are_two_faces_sharp_and_blurred():
    (pictures,) = portrait_examples(FaceCollector([VIEW])).values()
    assert [picture.shape for picture in pictures] == [(1, 64, 64, 3)] * 4
    assert all(picture.dtype == np.uint8 for picture in pictures)
    sharp, blurred = (
        np.abs(np.diff(np.stack(part).astype(int), axis=3)).mean() for part in (pictures[::2], pictures[1::2])
    )
    assert blurred < 0.7 * sharp


def test_portraits_without_a_face_are_no_examples(monkeypatch):
    monkeypatch.setattr(precision_check, "read_portrait", lambda person: np.full((200, 200, 3), 128, np.uint8))
    assert portrait_examples(FaceCollector([VIEW])) == {}


def test_one_of_a_kind_is_told_as_one():
    check = PrecisionCheck("fp16", PORTRAITS, 1, 1, 0.00123, 0.00123, "a", kept=True)
    told = "fp16: scores of 1 face of 1 portrait are 0.0012 from float32's at most (single faces 0.0012)"
    assert check.told() == told
