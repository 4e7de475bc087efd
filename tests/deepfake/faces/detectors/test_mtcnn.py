"""The face detector agrees with the published one, and its parts with plain versions of themselves."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from deepfake.faces.boxes import Face
from deepfake.faces.detectors import PRESETS, MTCNNSettings, auto_scale, get_preset, mtcnn
from deepfake.faces.detectors.mtcnn import MTCNN, PNET_CELL, _area_pool, _area_resize, _scale_frame, pyramid_scales
from deepfake.faces.detectors.nms import BEST_AT_ONCE, nms
from deepfake.media.video import iter_frames

FRAMES_TO_COMPARE = [("d0", 0), ("d0", 50), ("s18", 20), ("s18", 140), ("video", 0), ("video", 30)]


@pytest.fixture(scope="module")
def detector() -> MTCNN:
    return MTCNN(PRESETS["published"])


@pytest.fixture(scope="module")
def real_frames(mini_dfdc) -> dict[tuple[str, int], np.ndarray]:
    frames = {}
    for video in dict.fromkeys(name for name, _ in FRAMES_TO_COMPARE):
        (path,) = mini_dfdc.glob(f"*/{video}.mp4")
        wanted = [index for name, index in FRAMES_TO_COMPARE if name == video]
        frames.update({(video, frame.index): frame.image for frame in iter_frames(path, wanted)})
    return frames


@pytest.fixture(scope="module")
def one_by_one(detector, real_frames) -> dict[tuple[str, int], list[Face]]:
    return {key: detector.detect([frame])[0] for key, frame in real_frames.items()}


def iou(first, second) -> float:
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    shared = np.prod(np.maximum(high - low, 0))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / (sum(areas) - shared)


def assert_same_faces(ours: list[Face], theirs: list[Face], tolerance: float = 0.05) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs):
        assert np.allclose(mine.box, other.box, rtol=0, atol=tolerance)
        assert np.allclose(mine.landmarks, other.landmarks, rtol=0, atol=tolerance)
        assert mine.score == pytest.approx(other.score, abs=1e-3)


@pytest.mark.parametrize("key", FRAMES_TO_COMPARE, ids=lambda key: f"{key[0]} {key[1]}")
def test_boxes_are_the_published_ones(one_by_one, reference, key):
    video, index = key
    published = reference("boxes")[video]["every_10th"][str(index)]
    faces = one_by_one[key]
    assert len(faces) == len(published)
    for face, box in zip(faces, published):
        assert iou(np.array(face.box) / 2, np.array(box)) >= 0.99


def test_faces_come_largest_first_with_scores_and_landmarks(one_by_one):
    for faces in one_by_one.values():
        areas = [face.area for face in faces]
        assert areas == sorted(areas, reverse=True)
        for face in faces:
            assert 0.95 < face.score <= 1
            corner, size = np.array(face.box[:2]), np.subtract(face.box[2:], face.box[:2])
            left_eye, right_eye, nose, mouth_left, mouth_right = points = (np.array(face.landmarks) - corner) / size
            # In units of the box; the nose of a face seen from the side is beyond it.
            assert points.min() > -0.2 and points.max() < 1.2
            assert left_eye[0] < right_eye[0] and mouth_left[0] < mouth_right[0]
            assert max(left_eye[1], right_eye[1]) < nose[1] < min(mouth_left[1], mouth_right[1])


def test_a_batch_gives_what_its_frames_give_alone(detector, real_frames, one_by_one):
    """Frames of several sizes and numbers of faces, mixed with one that has none."""
    keys = list(real_frames)[::-1]
    blank = np.full_like(real_frames[keys[0]], 128)
    found = detector.detect([blank, *(real_frames[key] for key in keys), blank[:, :-3]])
    assert len({frame.shape for frame in real_frames.values()}) >= 2
    assert found[0] == found[-1] == []
    for key, faces in zip(keys, found[1:-1]):
        assert_same_faces(faces, one_by_one[key])


def test_no_frames(detector):
    assert detector.detect([]) == []


@pytest.mark.parametrize("shape", [(1, 1), (7, 200), (200, 7), (11, 11), (12, 12), (39, 41)])
def test_frames_too_small_for_a_face(detector, shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert detector.detect([noise]) == [[]]


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_uniform_frame_has_no_face(detector, value):
    assert detector.detect([np.full((240, 320, 3), value, np.uint8)]) == [[]]


def test_coordinates_are_of_the_frame_as_given():
    """One portrait, looked at in three scales: the same face in the same place."""
    frame = data.astronaut()
    found = [MTCNN(PRESETS["published"].with_scale(scale)).detect([frame])[0] for scale in (0.5, 1.0, None)]
    for faces in found:
        assert iou(np.array(faces[0].box), np.array(found[0][0].box)) > 0.8
    assert auto_scale(*frame.shape[:2]) == 1.0
    assert_same_faces(found[2], found[1])


def test_a_view_with_strides_is_a_frame_too(detector):
    wide = np.ascontiguousarray(np.repeat(data.astronaut(), 2, axis=1))
    view = wide[:, ::2]
    assert_same_faces(detector.detect([view])[0], detector.detect([view.copy()])[0], tolerance=1e-3)


def test_each_threshold_rejects(real_frames):
    frame = real_frames["d0", 0]
    for thresholds in [(1.0, 0.95, 0.95), (0.85, 1.0, 0.95), (0.85, 0.95, 1.0)]:
        assert MTCNN(MTCNNSettings(thresholds, scale=0.5)).detect([frame]) == [[]]


# Rules.


@pytest.mark.parametrize(
    ("longer", "scale"),
    [(1, 2), (299, 2), (300, 1), (1000, 1), (1001, 1 / 2), (1900, 1 / 2), (1901, 1 / 3), (4096, 1 / 3)],
)
def test_the_scale_follows_the_longer_side(longer, scale):
    assert auto_scale(longer, 1) == auto_scale(1, longer) == auto_scale(longer, longer) == scale


def test_presets_are_the_recipes():
    found = {name: (preset.thresholds, preset.scale) for name, preset in PRESETS.items()}
    assert found["published"] == ((0.85, 0.95, 0.95), 0.5)
    assert found["training"] == ((0.85, 0.95, 0.95), None)
    assert found["landmarks"][0] == (0.65, 0.75, 0.75)
    assert found["prediction"] == ((0.7, 0.8, 0.8), 0.5)
    assert all((preset.min_face, preset.factor) == (20, 0.709) for preset in PRESETS.values())
    with pytest.raises(ValueError, match=r"'best' unknown; expected one of training, published"):
        get_preset("best")
    assert get_preset("published") is PRESETS["published"]


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(12, 60))
def test_the_pyramid_runs_from_the_smallest_face_to_the_whole_frame(height, width, min_face):
    scales = pyramid_scales(height, width, MTCNNSettings((0.5, 0.5, 0.5), min_face=min_face))
    shorter = min(height, width)
    assert bool(scales) == (shorter * (PNET_CELL / min_face) >= PNET_CELL)
    if scales:
        assert scales[0] == PNET_CELL / min_face
        assert np.allclose(np.divide(scales[1:], scales[:-1]), 0.709)
        assert shorter * scales[-1] >= PNET_CELL * 0.999 and shorter * scales[-1] * 0.709 < PNET_CELL * 1.001


# Parts.


@pytest.mark.parametrize("scale", [1 / 3, 0.5, 2.0])
def test_frames_are_scaled_as_pillow_scales_them(real_frames, scale):
    noise = np.random.default_rng(0).integers(0, 256, (97, 131, 3), dtype=np.uint8)
    for frame in (real_frames["s18", 20], noise, noise[::-1, ::2]):
        size = int(frame.shape[1] * scale), int(frame.shape[0] * scale)
        pillow = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)).astype(int)
        difference = np.abs(pillow - _scale_frame(frame, scale))
        assert difference.max() <= 1 and (difference > 0).mean() < 0.01


def test_a_frame_of_one_pixel_stays_one():
    assert _scale_frame(np.full((1, 1, 3), 7, np.uint8), 1 / 3).tolist() == [[[7, 7, 7]]]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50), st.integers(1, 50), st.integers(0, 99))
def test_area_resize_is_adaptive_average_pooling(height, width, rows, columns, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    (resized,) = _area_resize([integral_of(picture)], (rows, columns))
    assert np.allclose(resized, pooled(picture, rows, columns), atol=1e-3)


@given(st.data())
def test_area_pool_is_adaptive_average_pooling_of_each_window(data):
    picture = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    size = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    windows = []
    for _ in range(data.draw(st.integers(1, 4))):
        x1, y1 = data.draw(st.integers(0, 46)), data.draw(st.integers(0, 32))
        windows.append((x1, y1, data.draw(st.integers(x1 + 1, 47)), data.draw(st.integers(y1 + 1, 33))))
    ours = _area_pool(integral_of(picture), np.array(windows), size)
    assert ours.shape == (len(windows), *size, 3) and ours.dtype == np.float32
    for patch, (x1, y1, x2, y2) in zip(ours, windows):
        assert np.allclose(patch, pooled(picture[y1:y2, x1:x2], *size), atol=1e-3)


def integral_of(picture: np.ndarray) -> np.ndarray:
    return np.pad(picture.astype(np.int32), ((1, 0), (1, 0), (0, 0))).cumsum(0).cumsum(1).astype(np.int32)


def pooled(picture: np.ndarray, rows: int, columns: int) -> np.ndarray:
    planes = torch.from_numpy(picture.astype(np.float64)).permute(2, 0, 1)
    return F.adaptive_avg_pool2d(planes, (rows, columns)).permute(1, 2, 0).numpy()


def plain_nms(boxes, scores, threshold: float, smaller_area: bool) -> list[int]:
    """The definition: a box is kept unless a kept one that is better overlaps it by more than the threshold."""
    edge = 1 if smaller_area else 0
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        ax1, ay1, ax2, ay2 = boxes[i]
        for k in kept:
            bx1, by1, bx2, by2 = boxes[k]
            shared = max(min(ax2, bx2) - max(ax1, bx1) + edge, 0) * max(min(ay2, by2) - max(ay1, by1) + edge, 0)
            areas = [(x2 - x1 + edge) * (y2 - y1 + edge) for x1, y1, x2, y2 in (boxes[i], boxes[k])]
            whole = min(areas) if smaller_area else sum(areas) - shared
            if shared > threshold * whole:
                break
        else:
            kept.append(i)
    return kept


CORNER, SIDE = st.integers(0, 40), st.integers(1, 30)
BOXES = st.lists(st.tuples(CORNER, CORNER, SIDE, SIDE), max_size=12).map(
    lambda found: np.array([(x, y, x + w, y + h) for x, y, w, h in found], np.float32).reshape(-1, 4)
)


# Binary fractions: no comparison hangs on rounding.
@given(BOXES, st.sampled_from([0.25, 0.5, 0.75]), st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_nms_is_what_its_definition_says(boxes, threshold, smaller_area, rng):
    scores = np.array(rng.sample(range(100), len(boxes)), np.float32) / 100
    kept = nms(boxes, scores, threshold, smaller_area)
    assert kept.tolist() == plain_nms(boxes.tolist(), scores.tolist(), threshold, smaller_area)


@pytest.mark.parametrize("smaller_area", [False, True])
def test_nms_of_more_boxes_than_it_compares_at_once(smaller_area):
    random = np.random.default_rng(0)
    corners, sides = random.integers(0, 60, (3 * BEST_AT_ONCE, 2)), random.integers(8, 24, (3 * BEST_AT_ONCE, 1))
    boxes = np.concatenate([corners, corners + sides], 1).astype(np.float32)
    scores = random.permutation(len(boxes)).astype(np.float32)
    kept = nms(boxes, scores, 0.75, smaller_area)
    assert BEST_AT_ONCE < len(kept) < len(boxes)
    assert kept.tolist() == plain_nms(boxes.tolist(), scores.tolist(), 0.75, smaller_area)


@pytest.mark.parametrize("height", range(42, 48))
def test_levels_worked_on_in_bands_are_those_of_the_whole(monkeypatch, height):
    network = MTCNN(PRESETS["published"])._pnet
    level = torch.from_numpy(np.random.default_rng(height).integers(0, 256, (2, 3, height, 40)).astype(np.float32))
    with torch.inference_mode():
        whole = network(level)
        monkeypatch.setattr(mtcnn, "BAND_PIXELS", 1)
        monkeypatch.setattr(mtcnn, "MIN_BAND_ROWS", 6)
        banded = network(level)
    for one, other in zip(whole, banded):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_a_level_resized_in_bands_is_that_of_the_whole(monkeypatch):
    integral = cv2.integral(np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8))
    whole = mtcnn._area_resize([integral], (33, 41))
    monkeypatch.setattr(mtcnn, "BAND_PIXELS", 500)
    assert np.array_equal(mtcnn._area_resize([integral], (33, 41)), whole)
