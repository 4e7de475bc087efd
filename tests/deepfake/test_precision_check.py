"""Fewer bits only where the scores stay."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from deepfake import precision_check
from deepfake.faces import FaceCollector
from deepfake.precision import FLOAT32
from deepfake.precision_check import agreeing_scorers, check_faces
from deepfake.scoring_models import ScoringModel
from deepfake.spec import ModelSpec


class Steep(nn.Module):
    """A logit that swings with a picture's mean: for large factors a rounded mean gives another one."""

    def __init__(self, factor):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        self.factor = factor

    def forward(self, x):
        return torch.sin(self.factor * self.conv(x).float().mean((1, 2, 3)))[:, None]


def model(name, factor):
    torch.manual_seed(3)
    return ScoringModel(name, Steep(factor).eval(), ModelSpec("Steep", {}, 64), "")


@pytest.fixture(scope="module")
def collector():
    return FaceCollector([model("a", 1).view])


def test_networks_that_keep_their_scores_compute_in_fewer_bits(collector, monkeypatch):
    monkeypatch.setattr(precision_check, "fastest_precision", lambda device: "bf16")
    precision, scorers = agreeing_scorers([model("a", 1), model("b", 0.5)], collector, "cpu")
    assert precision == "bf16" and scorers.keys() == {"a", "b"}
    assert scorers["a"].precision == "bf16"


def test_one_network_that_loses_its_scores_keeps_all_in_float32(collector, monkeypatch, caplog):
    monkeypatch.setattr(precision_check, "fastest_precision", lambda device: "bf16")
    with caplog.at_level(logging.WARNING):
        precision, scorers = agreeing_scorers([model("a", 1), model("steep", 300)], collector, "cpu")
    assert precision == FLOAT32
    assert scorers["a"].precision == FLOAT32
    assert "steep computes in float32: in bf16" in caplog.text


def test_a_machine_without_fewer_bits_is_not_asked(collector, monkeypatch):
    monkeypatch.setattr(precision_check, "fastest_precision", lambda device: FLOAT32)
    assert agreeing_scorers([model("a", 1)], collector, "cpu")[0] == FLOAT32


def test_portraits_without_a_face_keep_float32(collector, monkeypatch, caplog):
    monkeypatch.setattr(precision_check, "fastest_precision", lambda device: "bf16")
    monkeypatch.setattr(precision_check, "read_portrait", lambda person: np.full((200, 200, 3), 128, np.uint8))
    with caplog.at_level(logging.WARNING):
        assert agreeing_scorers([model("a", 1)], collector, "cpu")[0] == FLOAT32
    assert "a computes in float32: no face was found" in caplog.text


def test_the_pictures_are_two_faces_sharp_and_blurred(collector):
    (images,) = check_faces(collector).values()
    assert images.shape == (4, 64, 64, 3) and images.dtype == np.uint8
    sharp, blurred = (np.abs(np.diff(part.astype(int), axis=2)).mean() for part in (images[:2], images[2:]))
    assert blurred < 0.7 * sharp
