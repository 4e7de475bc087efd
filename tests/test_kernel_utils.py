"""Video -> faces -> scores -> one number: the names that notebooks import."""

import math

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from deepfake.media.video import VideoError
from deepfake.prediction.ensemble import Member
from deepfake.prediction.loading import build_predictor, load_models
from kernel_utils import (
    FaceExtractor,
    VideoReader,
    confident_strategy,
    isotropically_resize_image,
    normalize_transform,
    predict_on_video,
    predict_on_video_set,
    put_to_center,
)
from tests.data.predicting import on_frames, tiny_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_reader_spreads_frames(face_clips):
    frames, indices = VideoReader().read_frames(face_clips / "a.mp4", num_frames=3)
    assert frames.shape == (3, 512, 512, 3) and frames.dtype == np.uint8
    assert indices == [0, 2, 5]
    with pytest.raises(VideoError, match=r"broken\.mp4"):
        VideoReader().read_frames(face_clips / "broken.mp4")


def test_the_extractor_gives_crops_by_frame(face_clips):
    entries = FaceExtractor(VideoReader().read_frames).process_video(face_clips / "b.mp4")
    assert [entry["frame_idx"] for entry in entries] == [0, 1, 2]
    for entry in entries:
        assert (entry["frame_w"], entry["frame_h"]) == (512, 512)
        (crop,), ((x1, y1, x2, y2),), (confidence,) = entry["faces"], entry["boxes"], entry["scores"]
        assert crop.shape[1] == int(x2) - int(x1) + 2 * ((int(x2) - int(x1)) // 3)
        assert crop.shape[0] > y2 - y1 and 0.8 < confidence <= 1


@pytest.fixture(scope="module")
def extractor():
    return FaceExtractor(lambda path: VideoReader().read_frames(path, 4))


def test_one_video_and_a_set_and_the_pipeline_agree(face_clips, extractor, tiny_model):
    expected = build_predictor([on_frames(tiny_model, 4)]).predict(face_clips / "a.mp4").score
    options = {"input_size": 64, "models": [tiny_model.network], "strategy": confident_strategy}
    assert predict_on_video(extractor, face_clips / "a.mp4", 16, **options) == pytest.approx(expected, abs=1e-6)
    names = ["faceless.mp4", "a.mp4", "broken.mp4", "a.mp4"]
    scores = predict_on_video_set(extractor, names, num_workers=2, test_dir=face_clips, frames_per_video=4, **options)
    assert scores == pytest.approx([math.nan, expected, math.nan, expected], abs=1e-6, nan_ok=True)


def test_videos_without_a_score_are_logged(face_clips, extractor, tiny_model, caplog):
    names = ["faceless.mp4", "broken.mp4"]
    predict_on_video_set(extractor, names, 64, 1, face_clips, 4, [tiny_model.network])
    assert "faceless.mp4 has no score: no face was found" in caplog.text
    assert "broken.mp4 has no score: " in caplog.text
    assert math.isnan(predict_on_video(extractor, face_clips / "faceless.mp4", 16, 64, [tiny_model.network]))
    with pytest.raises(VideoError):
        predict_on_video(extractor, face_clips / "broken.mp4", 16, 64, [tiny_model.network])


def test_the_ensemble_is_the_mean_of_each_models_aggregate(face_clips, extractor, tiny_model):
    other = nn.Sequential(nn.AvgPool2d(64), nn.Flatten(), nn.Linear(3, 1)).eval()
    options = {"batch_size": 16, "input_size": 64, "strategy": np.max}
    one, two = (
        predict_on_video(extractor, face_clips / "a.mp4", models=[m], **options) for m in (tiny_model.network, other)
    )
    both = predict_on_video(extractor, face_clips / "a.mp4", models=[tiny_model.network, other], **options)
    assert both == pytest.approx((one + two) / 2)
    assert one != pytest.approx(two)


def test_the_room_for_faces_is_as_published(face_clips, extractor, tiny_model):
    seen = []

    def strategy(scores):
        seen.append(len(scores))
        return float(np.mean(scores))

    for room in (5, 4, 2):
        predict_on_video(extractor, face_clips / "a.mp4", room, 64, [tiny_model.network], strategy)
    assert seen == [4, 3, 1]


def test_compression_changes_the_faces_a_little(face_clips, extractor, tiny_model):
    plain, compressed = (
        predict_on_video(extractor, face_clips / "a.mp4", 16, 64, [tiny_model.network], np.mean, flag)
        for flag in (False, True)
    )
    assert plain != compressed
    assert plain == pytest.approx(compressed, abs=0.1)


def published_resize(img, size, down=cv2.INTER_AREA, up=cv2.INTER_CUBIC):
    """What the published function computes, by its definition."""
    height, width = img.shape[:2]
    scale = size / max(height, width)
    shape = (size, int(height * scale)) if width > height else (int(width * scale), size)
    return cv2.resize(img, shape, interpolation=up if scale > 1 else down)


@pytest.mark.parametrize("shape", [(301, 200), (200, 301), (63, 64), (64, 40), (30, 17), (20, 20)])
def test_faces_are_resized_as_published(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert np.array_equal(isotropically_resize_image(image, 64), published_resize(image, 64))
    nearest = {"interpolation_down": cv2.INTER_NEAREST, "interpolation_up": cv2.INTER_NEAREST}
    expected = published_resize(image, 64, cv2.INTER_NEAREST, cv2.INTER_NEAREST)
    assert np.array_equal(isotropically_resize_image(image, 64, **nearest), expected)


@pytest.mark.parametrize(("shape", "top", "left"), [((10, 7), 3, 4), ((16, 16), 0, 0), ((20, 9), 0, 3)])
def test_faces_are_centered_as_published(shape, top, left):
    image = np.random.default_rng(0).integers(1, 256, (*shape, 3), dtype=np.uint8)
    square = put_to_center(image, 16)
    height, width = min(shape[0], 16), shape[1]
    assert square.shape == (16, 16, 3) and square.dtype == np.uint8
    assert np.array_equal(square[top : top + height, left : left + width], image[:16])
    assert np.count_nonzero(square) == height * width * 3


def test_normalization_is_the_published_one():
    image = torch.rand(2, 3, 4, 5)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    assert torch.allclose(normalize_transform(image), (image - mean[:, None, None]) / std[:, None, None])


def test_a_set_without_workers(face_clips, extractor, tiny_model, caplog):
    def scores(workers):
        names = ["a.mp4", "broken.mp4", "faceless.mp4", "b.mp4"]
        return predict_on_video_set(extractor, names, 64, workers, face_clips, 4, [tiny_model.network])

    here, there = scores(0), scores(2)
    assert here == pytest.approx(there, abs=1e-6, nan_ok=True)
    assert [math.isnan(score) for score in here] == [False, True, True, False]
    assert caplog.text.count("broken.mp4 has no score: ") == 2
    with pytest.raises(ValueError, match="-1 worker processes"):
        scores(-1)


def test_networks_in_training_mode(face_clips, extractor, caplog):
    network = nn.Sequential(nn.AvgPool2d(64), nn.Flatten(), nn.BatchNorm1d(3), nn.Dropout(0.9), nn.Linear(3, 1))
    expected = predict_on_video(extractor, face_clips / "a.mp4", 16, 64, [network.eval()])
    assert predict_on_video(extractor, face_clips / "a.mp4", 16, 64, [nn.DataParallel(network)]) == expected
    assert caplog.text == ""
    assert predict_on_video(extractor, face_clips / "a.mp4", 16, 64, [network.train()]) == expected
    assert "Sequential in training mode" in caplog.text and not network.training
    network[3].train()
    assert predict_on_video_set(extractor, ["a.mp4"], 64, 1, face_clips, 4, [network]) == pytest.approx([expected])


@pytest.mark.parametrize("workers", [0, 1])
def test_readers_that_read_nothing(face_clips, tiny_model, caplog, workers):
    extractor = FaceExtractor(lambda path: None)
    with pytest.raises(VideoError, match=r"a\.mp4: video_read_fn returned None"):
        predict_on_video(extractor, face_clips / "a.mp4", 16, 64, [tiny_model.network])
    assert np.isnan(predict_on_video_set(extractor, ["a.mp4"], 64, workers, face_clips, 4, [tiny_model.network])).all()
    assert "a.mp4 has no score: " in caplog.text and "returned None" in caplog.text


def test_no_models(face_clips, extractor):
    with pytest.raises(ValueError, match="models: none"):
        predict_on_video(extractor, face_clips / "a.mp4", 16, 64, [])
    with pytest.raises(ValueError, match="models: none"):
        predict_on_video_set(extractor, ["a.mp4"], 64, 1, face_clips, 4, [])


def test_faces_are_the_same_however_many_threads_look_for_them(face_clips):
    frames, indices = VideoReader().read_frames(face_clips / "a.mp4", 32)
    extractor, found = FaceExtractor(VideoReader().read_frames), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(extractor.process_frames(np.concatenate([frames] * 8), [*indices] * 8))
    torch.set_num_threads(1)
    assert [entry["boxes"] for entry in found[0]] == [entry["boxes"] for entry in found[1]]


def test_models_of_one_name_are_refused(tmp_path):
    members = [Member(tiny_checkpoint(tmp_path / folder / "tiny")) for folder in ("a", "b")]
    with pytest.raises(ValueError, match="each once"):
        load_models(members)
    with pytest.raises(ValueError, match="one or more"):
        load_models([])


def test_a_reader_warns_of_damage(face_clips, tmp_path, caplog):
    whole = (face_clips / "a.mp4").read_bytes()
    start = whole.index(b"mdat")
    broken = bytearray(whole)
    half = start + (len(whole) - start) * 2 // 3
    broken[half : half + 2000] = bytes(2000)
    (tmp_path / "damaged.mp4").write_bytes(broken)
    frames, _ = VideoReader().read_frames(tmp_path / "damaged.mp4", 6)
    assert 0 < len(frames) <= 6
    assert "damaged.mp4: damaged: " in caplog.text
