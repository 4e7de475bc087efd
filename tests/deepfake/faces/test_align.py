"""deepfake/faces/align.py: the least-squares similarity, and agreement with the published alignment."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake.faces.align import (
    TEMPLATE,
    TEMPLATE_SIZE,
    align_face,
    align_largest,
    largest_face,
    similarity,
    transform_points,
)
from deepfake.faces.boxes import Face


def _matrix(angle: float, scale: float, shift_x: float, shift_y: float) -> np.ndarray:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, shift_x], [s, c, shift_y]])


@settings(max_examples=50, deadline=None)
@given(st.floats(-3.1, 3.1), st.floats(0.1, 10), st.floats(-500, 500), st.floats(-500, 500))
def test_an_exact_similarity_is_recovered(angle, scale, shift_x, shift_y):
    wanted = _matrix(angle, scale, shift_x, shift_y)
    found = similarity(TEMPLATE, transform_points(TEMPLATE, wanted))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-8 * max(1, abs(shift_x), abs(shift_y)))


def test_no_other_similarity_has_a_smaller_error():
    rng = np.random.default_rng(0)
    source, target = TEMPLATE, TEMPLATE + rng.normal(0, 20, TEMPLATE.shape)

    def error(matrix):
        return ((transform_points(source, matrix) - target) ** 2).sum()

    best = similarity(source, target)
    a, b = best[0, 0], best[1, 0]
    for _ in range(200):
        da, db, dx, dy = rng.normal(0, [0.01, 0.01, 1, 1])
        moved = np.array([[a + da, -b - db, best[0, 2] + dx], [b + db, a + da, best[1, 2] + dy]])
        assert error(moved) >= error(best)


def test_a_mirrored_face_is_turned_not_mirrored():
    matrix = similarity(TEMPLATE, TEMPLATE * [-1, 1])
    assert np.linalg.det(matrix[:, :2]) > 0


def test_published_matrices(reference):
    records = reference("second_place_steps")["alignment"]
    assert records
    for record in records:
        found = similarity(np.array(record["landmarks"]), TEMPLATE)
        np.testing.assert_allclose(found, np.array(record["matrix"]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [TEMPLATE_SIZE, 96])
def test_an_aligned_face_has_its_landmarks_on_the_template(size):
    """A dot painted on each landmark of a turned, enlarged face arrives at the template's points."""
    landmarks = transform_points(TEMPLATE, _matrix(0.4, 1.7, 60, -20))
    picture = np.zeros((700, 700, 3), np.uint8)
    for x, y in landmarks.round().astype(int):
        picture[y - 3 : y + 4, x - 3 : x + 4] = 255
    aligned = align_face(picture, landmarks, size)
    assert aligned.shape == (size, size, 3)
    for x, y in (TEMPLATE * size / TEMPLATE_SIZE).round().astype(int):
        assert aligned[y, x].min() > 100
    assert (aligned > 0).mean() < 0.05


def test_beyond_the_edge_is_black():
    aligned = align_face(np.full((50, 50, 3), 200, np.uint8), TEMPLATE * 0.1)
    assert aligned[0, 0].max() == 200
    aligned = align_face(np.full((50, 50, 3), 200, np.uint8), TEMPLATE + 300)
    assert aligned.max() == 0


@pytest.mark.parametrize(
    "source, target",
    [
        (np.ones((5, 2)), TEMPLATE),
        (TEMPLATE, TEMPLATE[:3]),
        (TEMPLATE[:1], TEMPLATE[:1]),
        (np.ones((5, 3)), np.ones((5, 3))),
    ],
)
def test_points_without_a_similarity_are_refused(source, target):
    with pytest.raises(ValueError, match="points"):
        similarity(source, target)


def _face(side: float, points: np.ndarray | None) -> Face:
    landmarks = None if points is None else tuple((float(x), float(y)) for x, y in points)
    return Face((0.0, 0.0, side, side), 0.9, landmarks)


def test_the_largest_face_that_can_be_aligned():
    small, large = _face(50, TEMPLATE / 2), _face(90, TEMPLATE / 3)
    useless = [_face(200, None), _face(150, TEMPLATE * 0 + 7.5), _face(120, TEMPLATE[:3])]
    assert largest_face([small, *useless, large]) == large
    assert largest_face(useless) is None and largest_face([]) is None


def test_landmarks_are_truncated_before_the_alignment():
    picture = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    face = _face(90, TEMPLATE / 2 + 0.9)
    found = align_largest(picture, [face], 160)
    assert found is not None
    assert found[0] == face
    np.testing.assert_array_equal(found[1], align_face(picture, (TEMPLATE / 2 + 0.9).astype(int), 160))
    assert align_largest(picture, [_face(90, None)]) is None
