"""Video -> faces -> scores -> one number: agrees with the published code, bounds memory, survives bad videos."""

import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from deepfake import face_stream
from deepfake.checkpoints import load_model
from deepfake.ensemble import Member
from deepfake.face_scorer import SCORE_BATCH, FaceScorer
from deepfake.faces import MAX_FACES, FaceCollector, FaceSource, FaceView
from deepfake.images import IMAGENET
from deepfake.prediction import predict_videos
from deepfake.processes import stream
from deepfake.scoring import confident_score
from deepfake.scoring_models import ScoringModel
from deepfake.video import Frame, SpreadFrames, VideoError, chunked, iter_spread
from kernel_utils import (
    FaceExtractor,
    VideoReader,
    confident_strategy,
    load_models,
    predict_on_video,
    predict_on_video_set,
)
from tests.clips import cut, draw, gradient
from tests.predicting import tiny_checkpoint

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


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_models([Member(tiny_checkpoint(tmp_path_factory.mktemp("weights") / "tiny"))])[0]


def on_frames(model, count: int):
    """The model, on fewer frames."""
    return replace(model, source=FaceSource(frames=SpreadFrames(count)))


@pytest.fixture(scope="module")
def clips(mini_dfdc, tmp_path_factory) -> Path:
    """A face, a face, no face, no video."""
    folder = tmp_path_factory.mktemp("clips")
    source = mini_dfdc / "dfdc_train_part_1" / "d0.mp4"
    cut(source, folder / "a.mp4", 6)
    cut(source, folder / "b.mp4", 3)
    draw(folder / "faceless.mp4", gradient(3))
    (folder / "broken.mp4").write_bytes((folder / "a.mp4").read_bytes()[:500])
    return folder


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


def test_the_reader_spreads_frames(clips):
    frames, indices = VideoReader().read_frames(clips / "a.mp4", num_frames=3)
    assert frames.shape == (3, 512, 512, 3) and frames.dtype == np.uint8
    assert indices == [0, 2, 5]
    with pytest.raises(VideoError, match=r"broken\.mp4"):
        VideoReader().read_frames(clips / "broken.mp4")


def test_the_extractor_gives_crops_by_frame(clips):
    entries = FaceExtractor(VideoReader().read_frames).process_video(clips / "b.mp4")
    assert [entry["frame_idx"] for entry in entries] == [0, 1, 2]
    for entry in entries:
        assert (entry["frame_w"], entry["frame_h"]) == (512, 512)
        (crop,), ((x1, y1, x2, y2),), (confidence,) = entry["faces"], entry["boxes"], entry["scores"]
        assert crop.shape[1] == int(x2) - int(x1) + 2 * ((int(x2) - int(x1)) // 3)
        assert crop.shape[0] > y2 - y1 and 0.8 < confidence <= 1


@pytest.fixture(scope="module")
def extractor():
    return FaceExtractor(lambda path: VideoReader().read_frames(path, 4))


def test_one_video_and_a_set_and_the_pipeline_agree(clips, extractor, model):
    results = {path.name: result for path, result in predict_videos([clips / "a.mp4"], [on_frames(model, 4)])}
    expected = results["a.mp4"].score
    options = {"input_size": 64, "models": [model.network], "strategy": confident_strategy}
    assert predict_on_video(extractor, clips / "a.mp4", 16, **options) == pytest.approx(expected, abs=1e-6)
    names = ["faceless.mp4", "a.mp4", "broken.mp4", "a.mp4"]
    scores = predict_on_video_set(extractor, names, num_workers=2, test_dir=clips, frames_per_video=4, **options)
    assert scores == pytest.approx([math.nan, expected, math.nan, expected], abs=1e-6, nan_ok=True)


def test_videos_without_a_score_are_logged(clips, extractor, model, caplog):
    names = ["faceless.mp4", "broken.mp4"]
    predict_on_video_set(extractor, names, 64, 1, clips, 4, [model.network])
    assert "faceless.mp4 has no score: no face was found" in caplog.text
    assert "broken.mp4 has no score: " in caplog.text
    assert math.isnan(predict_on_video(extractor, clips / "faceless.mp4", 16, 64, [model.network]))
    with pytest.raises(VideoError):
        predict_on_video(extractor, clips / "broken.mp4", 16, 64, [model.network])


def test_the_ensemble_is_the_mean_of_each_models_aggregate(clips, extractor, model):
    other = nn.Sequential(nn.AvgPool2d(64), nn.Flatten(), nn.Linear(3, 1)).eval()
    options = {"batch_size": 16, "input_size": 64, "strategy": np.max}
    one, two = (predict_on_video(extractor, clips / "a.mp4", models=[m], **options) for m in (model.network, other))
    both = predict_on_video(extractor, clips / "a.mp4", models=[model.network, other], **options)
    assert both == pytest.approx((one + two) / 2)
    assert one != pytest.approx(two)


def test_the_room_for_faces_is_as_published(clips, extractor, model):
    seen = []

    def strategy(scores):
        seen.append(len(scores))
        return float(np.mean(scores))

    for room in (5, 4, 2):
        predict_on_video(extractor, clips / "a.mp4", room, 64, [model.network], strategy)
    assert seen == [4, 3, 1]


def test_compression_changes_the_faces_a_little(clips, extractor, model):
    plain, compressed = (
        predict_on_video(extractor, clips / "a.mp4", 16, 64, [model.network], np.mean, flag) for flag in (False, True)
    )
    assert plain != compressed
    assert plain == pytest.approx(compressed, abs=0.1)


def _noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8)


def test_batches_change_nothing_and_bound_memory(model, monkeypatch):
    images = _noise(19)
    whole = FaceScorer(model.network)(images)
    monkeypatch.setitem(SCORE_BATCH, "cpu", 5)
    sizes = []
    handle = model.network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    try:
        assert FaceScorer(model.network)(images) == pytest.approx(whole, abs=1e-6)
    finally:
        handle.remove()
    assert sizes == [5, 5, 5, 4]
    assert FaceScorer(model.network)(images[:0]).shape == (0,)


def test_networks_see_normalised_rgb(model):
    seen = []
    handle = model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = _noise(2)
    FaceScorer(model.network, IMAGENET)(images)
    handle.remove()
    expected = (images / 255 - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)
    assert seen[0].shape == (2, 3, 64, 64)
    assert seen[0].permute(0, 2, 3, 1).numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_is_close(model, precision):
    images = _noise(6)
    exact, mixed = FaceScorer(model.network)(images), FaceScorer(model.network, precision=precision)(images)
    assert mixed.dtype == np.float32
    assert 0 < np.abs(mixed - exact).max() < 0.02


class _Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((1, 2, 3))[:, None] * torch.nan


def test_a_score_that_is_not_a_number_is_a_status(clips, model):
    broken = ScoringModel("broken", _Broken(), model.spec, "")
    ((_, result),) = predict_videos([clips / "b.mp4"], [model, broken])
    assert (result.status, result.score, result.model_scores) == ("failed", None, {})
    assert "broken: the network gave a score that is not a number" in result.reason


def test_a_reader_that_dies_costs_its_video_only(clips, model, monkeypatch):
    read = face_stream.iter_chosen

    def crash(path, choices, threads):
        if path.name == "broken.mp4":
            os.kill(os.getpid(), signal.SIGKILL)  # as a crash in a decoder does; in the worker process
        return read(path, choices, threads)

    monkeypatch.setattr(face_stream, "iter_chosen", crash)
    videos = [clips / name for name in ("broken.mp4", "a.mp4", "faceless.mp4", "b.mp4")]
    results = {path.name: result for path, result in predict_videos(videos, [on_frames(model, 3)])}
    assert {name: result.status for name, result in results.items()} == {
        "broken.mp4": "crashed",
        "a.mp4": "ok",
        "faceless.mp4": "no_face",
        "b.mp4": "ok",
    }
    assert "died" in results["broken.mp4"].reason


def test_frames_pass_a_few_at_a_time():
    alive, most = 0, 0

    def frames():
        nonlocal alive, most
        for i in range(30):
            alive += 1
            most = max(most, alive)
            yield Frame(i, np.zeros((32, 32, 3), np.uint8))

    for chunk in chunked(frames()):
        alive -= len(chunk)
    assert most == 4


def test_models_of_one_name_are_refused(tmp_path):
    members = [Member(tiny_checkpoint(tmp_path / folder / "tiny")) for folder in ("a", "b")]
    with pytest.raises(ValueError, match="each once"):
        load_models(members)
    with pytest.raises(ValueError, match="one or more"):
        load_models([])
