"""Videos -> faces -> scores: as the published code finds and scores them; what a bad video or network costs."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from deepfake import face_stream, prediction
from deepfake.checkpoints import load_model
from deepfake.face_scorer import FaceScorer
from deepfake.faces import MAX_FACES, FaceCollector, FaceSource, FaceView
from deepfake.precision import AUTO, FLOAT32
from deepfake.prediction import Predictor
from deepfake.processes import stream
from deepfake.runs import plain
from deepfake.scoring import confident_score
from deepfake.scoring_models import ScoringModel
from deepfake.video import iter_spread
from tests.predicting import on_frames

pytestmark = pytest.mark.usefixtures("one_thread")

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
    result = Predictor([tiny_model, broken]).predict(face_clips / "b.mp4")
    assert (result.status, result.score, result.model_scores) == ("failed", None, {})
    assert "broken: the network gave a score that is not a number" in result.reason


def test_a_reader_that_dies_costs_its_video_only(face_clips, tiny_model, monkeypatch):
    read = face_stream.iter_chosen

    def crash(path, choices, threads):
        if path.name == "broken.mp4":
            os.kill(os.getpid(), signal.SIGKILL)  # as a crash in a decoder does; in the worker process
        return read(path, choices, threads)

    monkeypatch.setattr(face_stream, "iter_chosen", crash)
    videos = [face_clips / name for name in ("broken.mp4", "a.mp4", "faceless.mp4", "b.mp4")]
    results = {path.name: result for path, result in Predictor([on_frames(tiny_model, 3)]).predict_all(videos)}
    assert {name: result.status for name, result in results.items()} == {
        "broken.mp4": "crashed",
        "a.mp4": "ok",
        "faceless.mp4": "no_face",
        "b.mp4": "ok",
    }
    assert "died" in results["broken.mp4"].reason


@pytest.fixture
def fast_in_bf16(monkeypatch):
    """A machine that takes fewer bits; calls of `stream_faces` by what they were given."""
    streamed = []
    monkeypatch.setattr(prediction, "fastest_precision", lambda device: "bf16")
    find = prediction.stream_faces

    def record(videos, *more):
        streamed.append([path.name for path in videos])
        return find(videos, *more)

    monkeypatch.setattr(prediction, "stream_faces", record)
    return streamed


@pytest.fixture
def four(face_clips):
    return [face_clips / name for name in ("a.mp4", "faceless.mp4", "b.mp4", "broken.mp4")]


def scores(results):
    return {path.name: (result.status, result.score) for path, result in results}


def test_fewer_bits_are_tried_on_the_videos_and_their_faces_found_once(four, tiny_model, fast_in_bf16):
    model = on_frames(tiny_model, 3)
    predictor = Predictor([model], precision=AUTO, videos=four)
    assert predictor.check.kept and (predictor.check.videos, predictor.check.faces) == (1, 3)
    settings = predictor.run["settings"]
    assert settings["precision"] == "bf16"
    assert settings["precision_check"]["face_difference"] == predictor.check.face_difference > 0
    found = scores(predictor.predict_all(four))
    assert fast_in_bf16 == [["a.mp4", "broken.mp4"], ["faceless.mp4", "b.mp4"]]
    assert found == scores(Predictor([model], precision="bf16").predict_all(four))
    assert found["broken.mp4"] == ("unreadable", None)
    assert scores(predictor.predict_all(four)) == found, "a second time all are read again"


def test_a_network_that_loses_its_scores_computes_in_float32(four, tiny_model, fast_in_bf16):
    rough = replace(on_frames(tiny_model, 3), network=_Rough(tiny_model.network).eval())
    predictor = Predictor([rough], precision=AUTO, videos=four)
    assert not predictor.check.kept and predictor.run["settings"]["precision"] == FLOAT32
    assert scores(predictor.predict_all(four)) == scores(Predictor([rough]).predict_all(four))


class _Rough(nn.Module):
    """Another network in fewer bits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.conv = nn.Conv2d(3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x) + (1 if self.conv(x).dtype == torch.bfloat16 else 0)


def test_a_continued_run_chooses_as_it_began(four, tiny_model, fast_in_bf16):
    model = on_frames(tiny_model, 3)
    begun = plain(Predictor([model], precision=AUTO, videos=four[:1]).run)
    fast_in_bf16.clear()
    assert plain(Predictor([model], precision=AUTO, videos=four, begun=begun).run) == begun
    assert fast_in_bf16 == []
    # What was seen of other networks, or in other settings, says nothing of these.
    for other in (replace(model, sha256="0"), on_frames(tiny_model, 2)):
        fast_in_bf16.clear()
        Predictor([other], precision=AUTO, videos=four, begun=begun)
        assert fast_in_bf16 == [["a.mp4", "broken.mp4"]]
    fast_in_bf16.clear()
    run = plain(Predictor([model], precision=FLOAT32, videos=four, begun=begun).run)
    assert fast_in_bf16 == [] and run["settings"]["precision_check"] is None


def test_without_videos_two_portraits_are_tried(tiny_model, fast_in_bf16):
    check = Predictor([on_frames(tiny_model, 3)], precision=AUTO).check
    assert check.kept and (check.source, check.faces) == ("portraits", 4)
    assert fast_in_bf16 == []
