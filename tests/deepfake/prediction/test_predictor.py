"""Videos -> faces -> scores: as the published code finds and scores them; what a bad video or network costs."""

import os
import signal

import numpy as np
import pytest
import torch
from torch import nn

from deepfake.checkpoints.checkpoint import load_model
from deepfake.media.video import iter_spread
from deepfake.parallel.pool import stream
from deepfake.prediction.face_collector import MAX_FACES, FaceCollector, FaceSource, FaceView
from deepfake.prediction.face_scorer import FaceScorer
from deepfake.prediction.loading import build_predictor
from deepfake.prediction.scoring_model import ScoringModel
from deepfake.scoring.aggregation import confident_score
from deepfake.synthesis.perturbations import perturbed_video
from tests.data.predicting import on_frames

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

SOURCE = FaceSource()
VIEW = FaceView(SOURCE, 380)
FULLY_SCORED = ("d9_d14.mp4",)
"""Of the others a few faces each are scored; how scores are aggregated is tested without a network."""

SPOT_CHECKS = 3


@pytest.fixture(scope="module")
def mini_faces(mini_dfdc):
    """The faces of all real clips, found once for several tests."""
    collector = FaceCollector([VIEW])
    videos = sorted(mini_dfdc.glob("*/*.mp4"))
    parts = stream(videos, lambda path: [collector.collect(iter_spread(path, 32, threads=1))], workers=2)
    return {part.item.name: part.value for part in parts if not part.last}


@pytest.fixture(scope="module")
def score(reference_checkpoint):
    network, spec = load_model(reference_checkpoint)
    return FaceScorer(network, spec.normalization)


def test_every_frame_and_crop_is_the_published_one(mini_faces, reference):
    predictions = reference("predictions")
    assert mini_faces.keys() == predictions.keys()
    for name, video in predictions.items():
        faces = mini_faces[name]
        assert faces.frames == video["frames"], name
        sizes = [[list(f.crop_size) for f in faces.found[SOURCE] if f.frame == frame] for frame in faces.frames]
        assert [len(part) for part in sizes] == video["faces_per_frame"], name
        assert sizes == video["crop_sizes"], name
        assert len(faces.images[VIEW]) == len(video["face_scores"]), name


def test_at_most_127_faces_keep_their_pictures(mini_faces):
    crowd = mini_faces["video.mp4"]
    assert len(crowd.found[SOURCE]) > MAX_FACES == 127
    assert crowd.images[VIEW].shape == (127, 380, 380, 3)


@pytest.mark.parametrize("name", FULLY_SCORED)
def test_scores_agree_with_the_published_code(name, mini_faces, score, reference):
    expected = reference("predictions")[name]
    scores = score(mini_faces[name].images[VIEW])
    assert scores == pytest.approx(expected["face_scores"], abs=0.01)
    assert confident_score(scores) == pytest.approx(expected["label"], abs=0.005)


def test_faces_of_every_other_video_agree_too(mini_faces, score, reference):
    for name, expected in reference("predictions").items():
        if name in FULLY_SCORED:
            continue
        images = mini_faces[name].images[VIEW]
        some = np.linspace(0, len(images) - 1, SPOT_CHECKS).astype(int)
        assert score(images[some]) == pytest.approx([expected["face_scores"][i] for i in some], abs=0.01), name


class _Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((1, 2, 3))[:, None] * torch.nan


def test_a_score_that_is_not_a_number_is_a_status(face_clips, tiny_model):
    broken = ScoringModel("broken", _Broken(), tiny_model.spec, "")
    result = build_predictor([tiny_model, broken]).predict(face_clips / "b.mp4")
    assert (result.status, result.score, result.model_scores) == ("failed", None, {})
    assert "broken: the network computed numbers that are not finite" in result.reason


def test_a_reader_that_dies_costs_its_video_only(face_clips, tiny_model, monkeypatch):
    read = perturbed_video.open_video

    def crash(path, threads, limits):
        if path.name == "broken.mp4":
            os.kill(os.getpid(), signal.SIGKILL)  # as a crash in a decoder does; in the worker process
        return read(path, threads, limits)

    monkeypatch.setattr(perturbed_video, "open_video", crash)
    videos = [face_clips / name for name in ("broken.mp4", "a.mp4", "faceless.mp4", "b.mp4")]
    results = {path.name: result for path, result in build_predictor([on_frames(tiny_model, 3)]).predict_all(videos)}
    assert {name: result.status for name, result in results.items()} == {
        "broken.mp4": "crashed",
        "a.mp4": "ok",
        "faceless.mp4": "no_face",
        "b.mp4": "ok",
    }
    assert "died" in results["broken.mp4"].reason
