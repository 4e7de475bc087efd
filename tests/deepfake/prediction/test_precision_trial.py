"""Fewer bits only where the scores stay."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from deepfake.checkpoints.spec import ModelSpec
from deepfake.models.precision import FLOAT32, REDUCED_TOLERANCE
from deepfake.prediction import precision_trial
from deepfake.prediction.face_collector import FaceCollector, VideoFaces
from deepfake.prediction.precision_check import TRIAL_TOLERANCE, VIDEOS
from deepfake.prediction.precision_trial import (
    EXAMPLE_FACES,
    EXAMPLE_VIDEOS,
    FEW_FACES,
    example_videos,
    portrait_examples,
    try_precision,
    video_examples,
)
from deepfake.prediction.scoring_model import ScoringModel, make_scorer


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


class Off(nn.Module):
    """In fewer bits off by `bright` in probability where a picture is bright, by `dark` where it is dark."""

    def __init__(self, bright, dark):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        self.bright, self.dark = bright, dark

    def forward(self, x):
        off = torch.where(x.float().mean((1, 2, 3)) > 0, self.bright, self.dark)
        reduced = self.conv(x).dtype != torch.float32
        return (off * 4 if reduced else 0 * off)[:, None]  # the slope of a probability at 0.5 is a quarter


def model_off(name, bright, dark=0.0):
    return ScoringModel(name, Off(bright, dark).eval(), ModelSpec("Off", {}, 64), "")


def many(videos, faces, bright=lambda index: True):
    """Examples: of each video as many faces, bright ones where the face's number in the video says so."""
    pictures = np.array([255 if bright(i) else 0 for i in range(faces)], np.uint8)[:, None, None, None]
    return {VIEW: [pictures + np.zeros((1, 64, 64, 3), np.uint8)] * videos}


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
def test_what_is_reported_is_the_largest_difference_of_a_video_and_of_a_face(examples, factor):
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
    assert check.summary().startswith("bf16: scores of 7 faces of 3 videos are ")


def test_one_network_that_loses_its_scores_keeps_all_in_float32(examples):
    check, _ = try_precision([model("a", 1), model("steep", 3000), model("b", 1)], "bf16", VIDEOS, examples)
    assert not check.kept and check.chosen == FLOAT32
    assert check.video_difference > REDUCED_TOLERANCE and check.network == "steep"
    assert "float32: in bf16 scores of steep are off by 0." in check.summary()


def test_no_network_is_tried_after_one_that_is_off_too_far(examples, monkeypatch):
    tried = []
    monkeypatch.setattr(
        precision_trial,
        "make_scorer",
        lambda model, precision: tried.append(model.name) or make_scorer(model, precision),
    )
    try_precision([model("steep", 3000), model("b", 1)], "bf16", VIDEOS, examples)
    assert set(tried) == {"steep"}


def test_scores_that_are_no_numbers_keep_float32(examples):
    check, _ = try_precision([model("a", 1), model("broken", 1, OverflowsInFewerBits)], "bf16", VIDEOS, examples)
    assert not check.kept and (check.video_difference, check.face_difference) == (None, None)
    assert check.summary() == "float32: in bf16 scores of broken are no numbers (7 faces of 3 videos)"


def test_without_a_face_nothing_is_known_and_float32_stays(examples):
    other = ScoringModel("other", Steep(1).eval(), ModelSpec("Steep", {}, 96), "")
    for models, known in (([model("a", 1)], {}), ([model("a", 1), other], examples)):
        check, scorers = try_precision(models, "bf16", VIDEOS, known)
        assert not check.kept and check.faces == 0 and scorers == {}
        assert check.summary() == "float32: no face was found in videos to try bf16 on"


@pytest.mark.parametrize(("off", "kept"), [(0.9 * TRIAL_TOLERANCE, True), (1.1 * TRIAL_TOLERANCE, False)])
def test_a_trial_keeps_a_margin_of_half_the_limit(off, kept):
    check, _ = try_precision([model_off("off", off)], "bf16", VIDEOS, many(8, 8))
    assert REDUCED_TOLERANCE == 2 * TRIAL_TOLERANCE
    assert check.kept == kept and check.video_difference == pytest.approx(off, rel=0.05)
    assert f"are off by {check.video_difference:.2g}, more than 0.005" in check.summary() or kept


def test_faces_that_swing_are_refused_though_their_mean_stays():
    check, _ = try_precision(
        [model_off("swings", 0.02, -0.02)], "bf16", VIDEOS, many(8, 8, bright=lambda index: index % 2)
    )
    assert not check.kept and check.video_difference < 1e-4 and check.spread == pytest.approx(0.02, rel=0.05)
    assert "scores of swings of single faces are off by 0.02 (root mean square), more than 0.005" in check.summary()


def test_a_steady_network_is_tried_on_few_faces_and_one_that_is_not_on_all():
    steady, rare = model_off("steady", 0.001), model_off("rare", 0.008, 0.0)
    examples = many(8, 8, bright=lambda index: index == 0)  # one face in eight, the first, is off
    check, _ = try_precision([steady], "bf16", VIDEOS, examples)
    assert (check.kept, check.videos, check.faces) == (True, 8, FEW_FACES)
    check, _ = try_precision([steady, rare], "bf16", VIDEOS, examples)
    assert (check.kept, check.faces, check.network) == (True, FEW_FACES, "rare")
    assert check.video_difference == pytest.approx(0.001, rel=0.05), "over eight faces, not over two"
    check, _ = try_precision([steady], "bf16", VIDEOS, examples, thorough=True)
    assert (check.kept, check.faces) == (True, EXAMPLE_FACES)


@given(st.integers(1, 3000))
def test_examples_are_few_videos_spread_evenly_over_all(total):
    videos = [Path(f"{i}.mp4") for i in range(total)]
    chosen = example_videos(videos)
    at = [videos.index(path) for path in chosen]
    assert at == sorted(set(at)) and len(chosen) == min(total, EXAMPLE_VIDEOS)
    assert (at[0], at[-1]) == (0, total - 1)
    gaps = np.diff(at)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


def test_of_each_video_its_share_of_faces_from_first_to_last_is_taken():
    numbered = np.arange(100, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 64, 64, 3), np.uint8)
    videos = [VideoFaces(images={VIEW: numbered[:count]}) for count in (99, 0, 3, 32, 4)]
    (taken,) = video_examples(videos).values()
    assert [len(faces) for faces in taken] == [16, 3, 16, 4], "64 faces for four videos with a face"
    assert [int(face[0, 0, 0]) for face in taken[2]] == [i * 31 // 15 for i in range(16)]
    (two,) = video_examples(videos[3:4] * 2).values()
    assert [len(faces) for faces in two] == [32, 32], "all of two videos"


def test_portraits_are_two_faces_sharp_and_blurred():
    (pictures,) = portrait_examples(FaceCollector([VIEW])).values()
    assert [picture.shape for picture in pictures] == [(1, 64, 64, 3)] * 4
    assert all(picture.dtype == np.uint8 for picture in pictures)
    sharp, blurred = (
        np.abs(np.diff(np.stack(part).astype(int), axis=3)).mean() for part in (pictures[::2], pictures[1::2])
    )
    assert blurred < 0.7 * sharp


def test_portraits_without_a_face_are_no_examples(monkeypatch):
    monkeypatch.setattr(precision_trial, "read_portrait", lambda person: np.full((200, 200, 3), 128, np.uint8))
    assert portrait_examples(FaceCollector([VIEW])) == {}
