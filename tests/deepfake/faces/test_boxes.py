"""Face-box geometry and the box file."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deepfake.faces.boxes import MARGIN, BoxFile, Face, crop_face, crop_window, read_boxes, write_boxes

SIZE = st.integers(1, 300)
COORDINATE = st.floats(-400, 700, allow_nan=False, width=32)
CORNER, LENGTH = st.floats(-200, 400, width=32), st.floats(0, 400, width=32)


@st.composite
def boxes(draw) -> tuple[float, float, float, float]:
    x, y = draw(CORNER), draw(CORNER)
    return x, y, x + draw(LENGTH), y + draw(LENGTH)


def published_crop(frame: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    """The slicing of first place's extract_crops, for boxes whose end is not left of or above the frame."""
    x1, y1, x2, y2 = (int(v) for v in box)
    pad_y, pad_x = (y2 - y1) // 3, (x2 - x1) // 3
    return frame[max(y1 - pad_y, 0) : y2 + pad_y, max(x1 - pad_x, 0) : x2 + pad_x]


def picture(height: int, width: int) -> np.ndarray:
    """Every pixel tells its place."""
    return np.stack(np.mgrid[:height, :width], -1)


@given(SIZE, SIZE, boxes())
@example(100, 100, (10.9, 10.9, 40.9, 40.9))
@example(100, 100, (-0.9, -0.9, 9.0, 9.0))
@example(100, 100, (90.0, 90.0, 200.0, 200.0))
def test_a_crop_is_what_the_published_slicing_cuts(height, width, box):
    frame = picture(height, width)
    x1, y1, x2, y2 = (int(v) for v in box)
    if x2 + (x2 - x1) // 3 < 0 or y2 + (y2 - y1) // 3 < 0:
        return  # There the published slice counts from the far edge: see the test of boxes outside.
    expected = published_crop(frame, box)
    ours = crop_face(frame, box)
    assert ours.size == expected.size
    if expected.size:
        assert np.array_equal(ours, expected)


@given(SIZE, SIZE, st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE), st.integers(1, 8))
def test_a_window_lies_in_the_frame(height, width, box, margin):
    left, top, right, bottom = crop_window(box, height, width, margin)
    assert 0 <= left <= right <= width
    assert 0 <= top <= bottom <= height
    assert all(isinstance(v, int) for v in (left, top, right, bottom))


@pytest.mark.parametrize(
    "box", [(-90, 10, -60, 40), (10, -90, 40, -60), (200, 10, 230, 40), (10, 200, 40, 230), (-90, -90, -60, -60)]
)
def test_a_box_outside_has_an_empty_crop(box):
    assert crop_face(picture(100, 100), box).size == 0


def test_margin_is_a_third_of_the_size_rounded_down():
    assert crop_window((40, 50, 71, 82), 200, 200) == (40 - 10, 50 - 10, 71 + 10, 82 + 10)
    assert crop_window((40, 50, 72, 83), 200, 200, margin=5) == (40 - 6, 50 - 6, 72 + 6, 83 + 6)
    assert MARGIN == 3


def test_coordinates_are_cut_towards_zero():
    assert crop_window((-0.99, 0.99, 2.99, 2.99), 50, 50) == (0, 0, 2, 2)
    # -1.99 becomes -1, not -2: the width is 7, the margin 2.
    assert crop_window((-1.99, 3.0, 6.5, 4.0), 50, 50) == (0, 3, 6 + 2, 4)


def test_a_crop_is_a_view():
    frame = picture(60, 60)
    assert np.shares_memory(crop_face(frame, (10, 10, 30, 30)), frame)


@given(boxes(), st.floats(0.25, 4))
def test_scaling_a_face(box, factor):
    face = Face(box, 0.9, ((1.0, 2.0), (3.0, 4.0)))
    scaled = face.scaled(factor)
    assert np.allclose(scaled.box, np.array(box) * factor)
    assert np.allclose(scaled.landmarks, np.array(face.landmarks) * factor)
    assert scaled.score == face.score
    assert scaled.area == pytest.approx(face.area * factor**2, rel=1e-4, abs=1e-3)
    assert Face(box).scaled(2).landmarks is None


# The file.

POINT = st.tuples(st.floats(-100, 5000), st.floats(-100, 5000))
FACES = st.builds(
    Face,
    boxes(),
    st.none() | st.floats(0, 1),
    st.none() | st.tuples(POINT, POINT, POINT, POINT, POINT),
)
BOX_FILES = st.builds(
    BoxFile,
    st.dictionaries(st.integers(0, 10**6), st.lists(FACES, max_size=3), max_size=5),
    st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
    st.dictionaries(
        st.text(max_size=5), st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5), max_size=3
    ),
)


@given(BOX_FILES)
def test_a_box_file_is_read_as_it_was_written(tmp_path_factory, boxes):
    path = tmp_path_factory.mktemp("boxes") / "größe 1.json"
    write_boxes(path, boxes)
    back = read_boxes(path)
    assert back.size == boxes.size
    assert back.settings == boxes.settings
    assert list(back.frames) == sorted(boxes.frames), "frames come in order, also those without a face"
    for index, faces in boxes.frames.items():
        assert len(back.frames[index]) == len(faces)
        for ours, theirs in zip(back.frames[index], faces):
            assert np.allclose(ours.box, theirs.box, rtol=0, atol=5.1e-5)
            assert (ours.score is None) == (theirs.score is None)
            assert ours.score is None or abs(ours.score - theirs.score) <= 5.1e-7
            assert (ours.landmarks is None) == (theirs.landmarks is None)
            assert ours.landmarks is None or np.allclose(ours.landmarks, theirs.landmarks, rtol=0, atol=5.1e-5)


def test_the_file_says_its_coordinate_space(tmp_path):
    write_boxes(tmp_path / "a.json", BoxFile({0: []}, (1080, 1920)))
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["space"] == "frame" and content["size"] == [1080, 1920]


def test_the_published_layout_is_doubled(tmp_path):
    """A bare dictionary of frames halved before detection; null for a frame without a face."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"0": [[10.5, 20, 30, 40.25], [1, 2, 3, 4]], "10": None, "320": [[-4, 0, 5, 6]]}))
    boxes = read_boxes(path)
    assert boxes.frames == {
        0: [Face((21.0, 40.0, 60.0, 80.5)), Face((2.0, 4.0, 6.0, 8.0))],
        10: [],
        320: [Face((-8.0, 0.0, 10.0, 12.0))],
    }
    assert boxes.size is None


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "3", '{"a": [[1, 2, 3, 4]]}', '{"0": [[1, 2, 3]]}', '{"0": [[1, 2, 3, "x"]]}', '{"0": [5]}',
        '{"format": 2, "space": "frame", "size": null, "settings": {}, "frames": {}}',
        '{"format": 1, "space": "half", "size": null, "settings": {}, "frames": {}}',
        '{"format": 1, "space": "frame"}',
        '{"format": 1, "space": "frame", "size": [1], "settings": {}, "frames": {}}',
        '{"format": 1, "space": "frame", "size": null, "settings": {}, "frames": []}',
        '{"format": 1, "space": "frame", "size": null, "settings": {}, "frames": {"0": [{}]}}',
        '{"format": 1, "space": "frame", "size": null, "settings": {}, "frames": {"0": [{"box": [NaN, 1, 2, 3]}]}}',
        '{"0": [[1, 2, 3, Infinity]]}', '{"0": [[1, 2, 3, 1e999]]}', '{"0": [[1, 2, 3, 1' + "0" * 400 + "]]}",
        '{"0": [[1, 2, 3, 1e30]]}', '{"0": [[1, 2, 3, true]]}', "[" * 100_000, '{"0": ' * 100_000,
        '{"format": 1, "space": "frame", "size": null, "settings": {}, "frames": {"0": [{"box": [0, 1, 2, 3], '
        '"score": "high"}]}}',
        '{"format": 1, "space": "frame", "size": null, "settings": {}, "frames": {"0": [{"box": [0, 1, 2, 3], '
        '"landmarks": [[1, 1e40]]}]}}',
    ],
)  # fmt: skip
def test_what_is_no_box_file_is_named_with_the_cure(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"a\.json: not a box file: .*; remove it and detect again"):
        read_boxes(tmp_path / "a.json")
