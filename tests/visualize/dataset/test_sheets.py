"""Sheets hold their cells, whatever the sizes and texts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visualize.dataset.sheets import MARGIN, WIDTH, Cell, Dot, Outline, Row, Sheet, draw_sheet

RED, GREEN = (255, 0, 0), (0, 255, 0)


def gray(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def pixels(picture: np.ndarray, color) -> np.ndarray:
    """(n, 2) rows and columns of a color."""
    return np.argwhere((picture == color).all(axis=-1))


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900)), min_size=1, max_size=5),
    height=st.integers(50, 400),
    text=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=200),
)
def test_pictures_keep_their_shape_and_stay_on_the_sheet(sizes, height, text):
    cells = [Cell(text, gray(*size), [text]) for size in sizes]
    drawn = draw_sheet(Sheet(text, [Row(cells, height, text)], [text], [text]))
    assert drawn.image.shape[1] == WIDTH and set(drawn.places) == {(0, k) for k in range(len(sizes))}
    last = 0
    for (_, k), (left, top, w, h) in sorted(drawn.places.items()):
        assert left >= max(last, MARGIN) and left + w <= WIDTH - MARGIN and top + h <= drawn.image.shape[0]
        assert h <= height and w >= 1
        rows, columns = sizes[k]
        scale = h / rows if rows > columns else w / columns
        assert abs(max(columns * scale, 1) - w) <= 1.01 and abs(max(rows * scale, 1) - h) <= 1.01
        last = left + w


def test_marks_are_drawn_at_their_scaled_places_and_nowhere_else():
    marks = [Outline((100, 50, 300, 250), RED), Dot((200, 150), GREEN)]
    drawn = draw_sheet(Sheet("", [Row([Cell("", gray(400, 800), marks=marks)], 200)]))
    left, top, w, h = drawn.places[0, 0]
    assert (w, h) == (400, 200)
    picture = drawn.image[top : top + h, left : left + w]
    outline = pixels(picture, RED)
    assert outline.min(axis=0).tolist() == [25, 50] and outline.max(axis=0).tolist() == [124, 149]
    assert not (picture[40:60, 70:90] == RED).all(axis=-1).any(), "an outline is hollow"
    assert pixels(picture, GREEN).mean(axis=0) == pytest.approx([75, 100], abs=1)


def test_a_missing_picture_says_why_in_its_cell():
    def cell(reason):
        return draw_sheet(Sheet("", [Row([Cell("a", gray(100, 100)), Cell("b", reason)], 200)]))

    message, other = cell("no crops: run extract_crops.py"), cell("no diffs")
    assert set(message.places) == {(0, 0)}
    changed = np.argwhere((message.image[: other.image.shape[0]] != other.image).any(axis=-1))
    assert len(changed) and changed[:, 1].min() > WIDTH // 2, "the reason stands in the cell of the picture"
    same = message.image[:, : WIDTH // 2] == other.image[:, : WIDTH // 2]
    assert same.all()


def test_long_words_are_broken_and_not_cut():
    short = draw_sheet(Sheet("a" * 20, []))
    long = draw_sheet(Sheet("a" * 200, []))
    assert long.image.shape[0] > 2 * (short.image.shape[0] - 2 * MARGIN)
    assert (long.image[:, -MARGIN:] == 255).all()
