import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.training_sets import POINTS, SIDE
from training.transforms import occlusion
from training.transforms.occlusion import (
    _black_out_line,
    black_out_half_face,
    black_out_half_image,
    face_outline,
    occlude,
    remove_landmark,
)


def white():
    return np.full((SIDE, SIDE, 3), 255, np.uint8)


def no_mask():
    raise AssertionError("the mask is not needed here")


def test_landmarks_go_in_the_published_shares():
    places = {name: tuple(POINTS[i][::-1]) for name, i in (("eyes", 0), ("mouth", 3), ("nose", 2))}
    seen = {"eyes": 0, "mouth": 0, "nose": 0, "nothing": 0}
    rng = np.random.default_rng(0)
    for _ in range(800):
        image = white()
        message = remove_landmark(image, POINTS, rng)
        blackened = [name for name, at in places.items() if not image[at].any()]
        kind = blackened[0] if blackened else "nothing"  # the dilated line of the nose does not reach the eyes
        seen[kind] += 1
        assert message == ("" if kind == "nothing" else kind)
        assert (kind == "nothing") == bool(image.all())
    assert seen["eyes"] / 800 == pytest.approx(1 / 2, abs=0.06)
    assert seen["mouth"] / 800 == pytest.approx(1 / 4, abs=0.06)
    assert seen["nose"] / 800 == pytest.approx(1 / 8, abs=0.05)


def test_eyes_are_blacked_out_by_a_quarter_of_their_distance():
    class EyesFirst:
        def random(self):
            return 0.0

    image = white()
    remove_landmark(image, POINTS, EyesFirst())
    rows, columns = np.nonzero(image[..., 0] == 0)
    distance = POINTS[1, 0] - POINTS[0, 0]
    reach = distance // 4
    assert columns.min() == pytest.approx(POINTS[0, 0] - reach, abs=2) and columns.max() == pytest.approx(
        POINTS[1, 0] + reach, abs=2
    )
    assert rows.min() == pytest.approx(POINTS[0, 1] - reach, abs=2) and rows.max() == pytest.approx(
        POINTS[0, 1] + reach, abs=2
    )


def test_outline_holds_the_face():
    outline = face_outline(POINTS)
    (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
    assert left < POINTS[:, 0].min() - 3 and right > POINTS[:, 0].max() + 3
    assert top < POINTS[:, 1].min() - 3 and bottom > POINTS[:, 1].max() + 3
    turned = face_outline(np.stack([SIDE - POINTS[:, 1], POINTS[:, 0]], axis=1))
    assert np.ptp(turned[:, 0]) == pytest.approx(np.ptp(outline[:, 1]), abs=2), "turns with the head"


def test_half_of_the_face_goes():
    inside = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillConvexPoly(inside, face_outline(POINTS), 1)
    sides = set()
    rng = np.random.default_rng(0)
    for _ in range(30):
        image = white()
        black_out_half_face(image, POINTS, rng)
        black = image[..., 0] == 0
        assert black.sum() / inside.sum() == pytest.approx(0.5, abs=0.08)
        assert not (black & (inside == 0)).any()
        offset = np.argwhere(black).mean(axis=0) - np.argwhere(inside).mean(axis=0)
        sides.add(tuple(np.sign(np.where(abs(offset) > 4, offset, 0)).astype(int)))
    assert sides == {(1, 0), (-1, 0), (0, 1), (0, -1)}


def test_a_face_outside_of_the_picture_is_left_alone():
    image = white()
    assert not black_out_half_face(image, POINTS + 1000, np.random.default_rng(0))
    assert image.all()


def test_half_images_are_the_six():
    rng, seen = np.random.default_rng(0), set()
    for _ in range(100):
        image = white()
        visible = black_out_half_image(image, False, no_mask, rng)
        assert (image[..., 0] == 255 * visible).all()
        assert visible.mean() == 0.5
        seen.add(visible.tobytes())
    assert len(seen) == 6


def test_a_fake_keeps_enough_of_its_change_visible():
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:30, :30] = occlusion.CHANGED + 1
    rng = np.random.default_rng(0)
    for _ in range(50):
        image = white()
        visible = black_out_half_image(image, True, lambda: mask, rng)
        if visible is None:
            assert image.all()
        else:
            assert visible[:30, :30].all()
    assert black_out_half_image(white(), True, lambda: np.minimum(mask, occlusion.CHANGED), rng) is None, (
        "no pixel over the threshold"
    )


def test_shares_of_the_occlusions(monkeypatch):
    calls = []
    monkeypatch.setattr(occlusion, "remove_landmark", lambda *args: calls.append("landmark"))
    monkeypatch.setattr(occlusion, "black_out_half_face", lambda *args: calls.append("face"))
    monkeypatch.setattr(occlusion, "black_out_half_image", lambda *args: calls.append("image"))
    rng, image = np.random.default_rng(0), white()
    for _ in range(2000):
        occlude(image, True, POINTS, no_mask, rng)
    shares = {kind: calls.count(kind) / 2000 for kind in ("landmark", "face", "image")}
    assert shares == pytest.approx({"landmark": 0.7, "face": 0.3 * 0.2, "image": 0.3 * 0.8 * 0.1}, abs=0.025)
    calls.clear()
    for _ in range(2000):
        occlude(image, True, None, no_mask, rng)
    assert set(calls) == {"image"} and len(calls) / 2000 == pytest.approx(0.8 * 0.1, abs=0.02)


def test_what_was_blacked_out_is_reported():
    rng, kinds = np.random.default_rng(0), set()
    for _ in range(400):
        image = white()
        done = occlude(image, False, POINTS, no_mask, rng)
        assert (done.kind == "") == bool(image.all())
        assert (done.visible is not None) == (done.kind == "half picture")
        kinds.add(done.kind)
    assert kinds == {"", "eyes", "mouth", "nose", "half face", "half picture"}


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 90), st.integers(1, 90), st.lists(st.integers(-20, 110), min_size=4, max_size=4), st.integers(0, 20)
)
def test_a_line_is_blacked_out_as_if_the_whole_picture_were_dilated(height, width, ends, dilation):
    image = np.full((height, width, 3), 9, np.uint8)
    mask = np.zeros((height, width), np.uint8)
    cv2.line(mask, (ends[0], ends[1]), (ends[2], ends[3]), 1, 2)
    if dilation:
        mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), iterations=dilation)
    start, end = np.array(ends, np.int16).reshape(2, 2)
    _black_out_line(image, start, end, dilation)
    assert ((image == 0).all(axis=2) == (mask > 0)).all()
