"""Maps moved back to where their faces are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake.faces.align import TEMPLATE, align_face
from deepfake.faces.boxes import Face, crop_face, crop_window
from deepfake.faces.recipes import AlignRecipe, CropRecipe
from deepfake.prediction.face_collector import FoundFace
from visualize.activation.face_maps import MappedFace, in_frame, outline
from visualize.activation.map_pictures import face_sheet, legend
from visualize.activation.maps import overlay
from visualize.dataset.sheets import Sheet, draw_sheet

HEIGHT, WIDTH = 240, 320


def mapped(activation: np.ndarray, face: Face) -> MappedFace:
    place = FoundFace(0, face, (activation.shape[0], activation.shape[1]))
    picture = np.zeros((*activation.shape, 3), np.uint8)
    return MappedFace("0_0", picture, activation.astype(np.float32), 0.5, place)


def on_frame(face: MappedFace, recipe: AlignRecipe | CropRecipe) -> np.ndarray:
    frame = np.zeros((HEIGHT, WIDTH), np.float32)
    part, left, top = in_frame(face, recipe, HEIGHT, WIDTH)
    frame[top : top + part.shape[0], left : left + part.shape[1]] = part
    return frame


def test_every_face_is_on_the_sheet_in_order():
    colors = [(20 * number, 200, 255 - 20 * number) for number in range(8)]
    faces = [
        MappedFace(f"{n}", np.full((30, 20, 3), c, np.uint8), np.zeros((30, 20)), 0.5) for n, c in enumerate(colors)
    ]
    sheet = face_sheet(faces, ["video", "model"], "gradcam")
    found = []
    for face in faces:
        ys, xs = np.nonzero((sheet == overlay(face.picture, face.activation)[0, 0]).all(2))
        assert np.ptp(ys) + 1 == pytest.approx(1.5 * (np.ptp(xs) + 1), abs=2), "it keeps its shape"
        found.append((int(ys.min()), int(xs.min())))
    assert found == sorted(found) and len({top for top, _ in found}) == 2
    bare = draw_sheet(Sheet("video", [], ["model"]))
    scaled = draw_sheet(Sheet("video", [], ["model"], scale=legend("gradcam")))
    assert scaled.image.shape[0] > bare.image.shape[0]


@given(
    x=st.integers(60, 260),
    y=st.integers(60, 180),
    angle=st.floats(-0.5, 0.5),
    scale=st.floats(0.3, 1.2),
    shift=st.floats(0, 0.9),
)
@settings(max_examples=40, deadline=None)
def test_an_aligned_faces_map_lies_where_the_face_is(x, y, angle, scale, shift):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ((TEMPLATE - TEMPLATE[2]) @ turn.T + (x, y)).astype(int)  # the nose at (x, y)
    face = Face((0, 0, 1, 1), landmarks=tuple(map(tuple, points + shift)))  # fractions that alignment truncates
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[y - 3 : y + 4, x - 3 : x + 4] = 255
    aligned = align_face(frame, points)
    back = on_frame(mapped(aligned[..., 0] / 255, face), AlignRecipe())
    ys, xs = np.nonzero(back > 0.5)
    assert (ys.mean(), xs.mean()) == pytest.approx((y, x), abs=0.6)
    corners = outline(FoundFace(0, face, (320, 320)), AlignRecipe(), HEIGHT, WIDTH)
    sides = np.hypot(*(corners - np.roll(corners, 1, 0)).T)
    assert sides == pytest.approx(np.full(4, sides[0]), rel=1e-6)


@given(left=st.floats(-50, 310), top=st.floats(-50, 230), width=st.floats(10, 200), height=st.floats(10, 200))
@settings(max_examples=60, deadline=None)
def test_a_crops_map_covers_its_window(left, top, width, height):
    box = (left, top, left + width, top + height)
    window = crop_window(box, HEIGHT, WIDTH)
    crop = crop_face(np.zeros((HEIGHT, WIDTH, 3)), box)
    if not crop.size:
        return
    back = on_frame(mapped(np.ones((50, 40)), Face(box)), CropRecipe())
    expected = np.zeros((HEIGHT, WIDTH))
    expected[window[1] : window[3], window[0] : window[2]] = 1
    np.testing.assert_array_equal(back, expected)


def test_a_crops_map_is_not_turned_or_mirrored():
    activation = np.zeros((40, 40))
    activation[:20, 20:] = 1
    back = on_frame(mapped(activation, Face((100, 60, 160, 120))), CropRecipe())
    ys, xs = np.nonzero(back > 0.9)
    assert ys.max() < 90 and xs.min() >= 129


def test_a_face_outside_of_the_frame_covers_nothing():
    part, _, _ = in_frame(mapped(np.ones((9, 9)), Face((400, 10, 450, 60))), CropRecipe(), HEIGHT, WIDTH)
    assert part.size == 0
