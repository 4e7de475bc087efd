"""deepfake/synthesis/faceswap.py: what a swap changes, and what it leaves alone."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from deepfake.faces.align import TEMPLATE, TEMPLATE_SIZE, transform_points
from deepfake.faces.boxes import Face
from deepfake.media.encode import write_video
from deepfake.media.video import VideoError, iter_every, probe
from deepfake.synthesis.faceswap import (
    FACE_OUTLINE,
    FacePicture,
    NoFaceError,
    _poisson_blend,
    best_fit,
    source_faces,
    swap_face,
    swap_video,
)

MARK = (200, 30, 30)
"""Color of the dot that the test detector takes for a nose."""


class DotDetector:
    """Finds "faces" by a red dot: exact landmarks without a network. The face is a template of 64 pixels around it."""

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        return [self._faces(frame) for frame in frames]

    def _faces(self, frame: np.ndarray) -> list[Face]:
        red = (frame[..., 0].astype(int) - frame[..., 1]) > 100
        if not red.any():
            return []
        y, x = (v.mean() for v in np.nonzero(red))
        points = (TEMPLATE - TEMPLATE[2]) * 64 / TEMPLATE_SIZE + [x, y]
        low, high = points.min(0) - 12, points.max(0) + 12
        return [Face((*low, *high), 1.0, tuple(map(tuple, points)))]


def _texture(seed: int, height: int = 320, width: int = 320) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 5), None, 0, 255, cv2.NORM_MINMAX)


def _outline_mask(landmarks_matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.rint(transform_points(FACE_OUTLINE, landmarks_matrix)).astype(np.int32), 1)
    return mask.astype(bool)


IDENTITY = np.array([[1.0, 0, 0], [0, 1.0, 0]])


def test_only_the_face_changes():
    image, source = _texture(1), FacePicture(_texture(2), TEMPLATE)
    before = image.copy()
    swapped = swap_face(image, TEMPLATE, source)
    inside = _outline_mask(IDENTITY, image.shape)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(swapped[~inside], image[~inside])
    assert np.abs(swapped.astype(int) - image)[inside].mean() > 10


def test_a_face_put_onto_itself_stays_itself():
    image = _texture(1)
    swapped = swap_face(image, TEMPLATE, FacePicture(image, TEMPLATE))
    assert np.abs(swapped.astype(int) - image).mean() < 0.5
    assert np.abs(swapped.astype(int) - image).max() <= 6  # Lab in 8 bits


@pytest.mark.parametrize("scale, angle", [(1.0, 0.3), (0.5, -0.2), (0.5, 0.0)])
def test_the_source_is_warped_onto_the_target(scale, angle):
    """Inside of the outline the result's detail is the source's, moved by the landmarks' similarity."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    center = np.array([160.0, 180.0])
    linear = np.array([[c, -s], [s, c]])
    matrix = np.column_stack([linear, center - linear @ center])
    source = _texture(2)
    swapped = swap_face(np.full((320, 320, 3), 128, np.uint8) + _texture(1) // 50, transform_points(TEMPLATE, matrix),
                        FacePicture(source, TEMPLATE))  # fmt: skip
    # The target is nearly flat, so the matched source is too: compare shapes, not levels.
    expected = cv2.warpAffine(source, matrix, (320, 320))
    core = cv2.erode(_outline_mask(matrix, source.shape).astype(np.uint8), np.ones((15, 15))).astype(bool)
    gray = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[core].astype(float) for picture in (swapped, expected)]
    assert np.corrcoef(*gray)[0, 1] > 0.6
    mirrored = expected[:, ::-1]
    wrong = cv2.cvtColor(mirrored, cv2.COLOR_RGB2GRAY)[core].astype(float)
    assert np.corrcoef(gray[0], wrong)[0, 1] < 0.3


def test_brightness_and_contrast_follow_the_target():
    dark, bright = _texture(1) // 6, 55 + _texture(2) // 4 * 3
    swapped = swap_face(dark, TEMPLATE, FacePicture(bright, TEMPLATE))
    inside = _outline_mask(IDENTITY, dark.shape)
    assert abs(swapped[inside].mean() - dark[inside].mean()) < 12
    assert swapped[inside].std() < 2 * dark[inside].std() < bright[inside].std()


@pytest.mark.parametrize("shift", [(-160, 0), (0, -150), (150, 120), (1000, 1000), (-318, -260)])
def test_faces_over_the_edge(shift):
    """A face partly or wholly outside of the picture changes what is inside, and nothing breaks."""
    image = _texture(1)
    swapped = swap_face(image, TEMPLATE + shift, FacePicture(_texture(2), TEMPLATE))
    matrix = np.column_stack([np.eye(2), shift])
    outside = ~_outline_mask(matrix, image.shape)
    np.testing.assert_array_equal(swapped[outside], image[outside])


def test_poisson_blend_has_the_face_s_gradients_and_the_window_s_border():
    rng = np.random.default_rng(0)
    face = cv2.GaussianBlur(rng.integers(60, 200, (40, 50, 3), dtype=np.uint8), (0, 0), 3)
    window = np.full((40, 50, 3), 100, np.uint8)
    mask = np.zeros((40, 50), np.uint8)
    mask[5:35, 8:42] = 255
    blended = _poisson_blend(face, window, mask)
    np.testing.assert_allclose(blended[[0, -1]], 100, atol=1e-3)
    np.testing.assert_allclose(blended[:, [0, -1]], 100, atol=1e-3)
    # Poisson's equation itself: deep inside, the Laplacian is the face's; outside of the mask it is the window's.
    difference = cv2.Laplacian(blended, cv2.CV_32F) - cv2.Laplacian(face.astype(np.float32), cv2.CV_32F)
    assert np.abs(difference[7:33, 10:40]).max() < 1e-2
    assert np.abs(cv2.Laplacian(blended, cv2.CV_32F)[2:4, 2:-2]).max() < 1e-2


def test_best_fit_is_the_nearest_pose():
    turned = TEMPLATE.copy()
    turned[2, 0] += 15  # a nose to the side
    frontal, side = FacePicture(_texture(1), TEMPLATE), FacePicture(_texture(2), turned)
    assert best_fit([frontal, side], TEMPLATE * 2 + 10) is frontal
    assert best_fit([frontal, side], turned * 0.5) is side


def _clip(path, marks: Sequence[tuple[int, int] | None], seed: int, fps: float = 24.0):
    """A clip whose frame i has a nose at marks[i], or none."""
    frames = []
    for mark in marks:
        frame = cv2.cvtColor(cv2.cvtColor(_texture(seed, 120, 160), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if mark is not None:
            cv2.circle(frame, mark, 4, MARK, -1)
        frames.append(frame)
    write_video(path, frames, fps, crf=5)


def test_a_swapped_video_keeps_size_rate_and_length(tmp_path):
    target, source, fake = tmp_path / "target.mp4", tmp_path / "source.mp4", tmp_path / "fake.mp4"
    marks = [(80, 55), None, (84, 58), None, (70, 60), (75, 60), (80, 60)]
    _clip(target, marks, 1)
    _clip(source, [None, (60, 60), (80, 55)], 2)
    assert swap_video(target, source, fake, DotDetector(), crf=5) == 5
    assert probe(fake) == probe(target)
    before, after = ([f.image.astype(int) for f in iter_every(path, 1)] for path in (target, fake))
    assert len(after) == len(marks)
    for mark, was, now in zip(marks, before, after):
        difference = np.percentile(np.abs(now - was), 99.5)
        assert difference > 5 if mark else difference < 4


def test_videos_without_a_face_are_named(tmp_path):
    face, none = tmp_path / "face.mp4", tmp_path / "none.mp4"
    _clip(face, [(80, 60)] * 3, 1)
    _clip(none, [None] * 3, 2)
    with pytest.raises(NoFaceError, match=r"none\.mp4.*nothing to replace"):
        swap_video(none, face, tmp_path / "fake.mp4", DotDetector())
    with pytest.raises(NoFaceError, match=r"none\.mp4.*nothing to take"):
        swap_video(face, none, tmp_path / "fake.mp4", DotDetector())
    with pytest.raises(VideoError, match=r"missing\.mp4"):
        swap_video(face, tmp_path / "missing.mp4", tmp_path / "fake.mp4", DotDetector())
    assert not (tmp_path / "fake.mp4").exists()


def test_source_faces_are_bounded_and_in_their_own_pixels(tmp_path):
    _clip(tmp_path / "source.mp4", [(50 + i, 60) for i in range(40)], 3)
    faces = source_faces(tmp_path / "source.mp4", DotDetector(), count=5)
    assert len(faces) == 5
    for face in faces:
        x, y = face.landmarks[2].round().astype(int)
        assert int(face.image[y, x, 0]) - face.image[y, x, 1] > 100  # the nose is where the landmark says
        assert face.image.shape[0] < 120
