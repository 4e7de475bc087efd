"""Contact sheets, and text on pictures."""

import numpy as np
import pytest

from visualize.contact_sheet import CELL, GROUND, Cell, contact_sheet
from visualize.labels import PAPER, paste, text_block


def test_every_picture_is_on_the_sheet_in_order():
    colours = [(10 * number, 200, 255 - 10 * number) for number in range(11)]
    cells = [Cell(np.full((30, 30, 3), colour, np.uint8), ("fake 0.5", "frame 3")) for colour in colours]
    sheet = contact_sheet(cells, ["title", "subtitle"], columns=4)
    found = []
    for colour in colours:
        ys, xs = np.nonzero((sheet == colour).all(2))
        assert len(ys) == CELL * CELL
        found.append((int(ys.min()), int(xs.min())))
    assert found == sorted(found)
    assert len({top for top, _ in found}) == 3 and len({left for _, left in found}) == 4


def test_a_picture_keeps_its_shape():
    sheet = contact_sheet([Cell(np.full((40, 20, 3), 7, np.uint8))])
    ys, xs = np.nonzero((sheet == 7).all(2))
    assert (np.ptp(ys) + 1, np.ptp(xs) + 1) == (CELL, CELL // 2)
    assert (sheet == GROUND).all(2).sum() == CELL * CELL // 2


def test_a_sheet_of_nothing_is_refused():
    with pytest.raises(ValueError, match="one picture or more"):
        contact_sheet([])


@pytest.mark.parametrize("text", ["fünf Gesichter", "лицо", "Πρόσωπο", "", "line\nbreak"])
def test_text_of_any_alphabet_is_drawn(text):
    block = text_block([text], 15)
    assert block.ndim == 3 and bool((block != PAPER).any()) == bool(text)


def test_text_stays_in_its_width():
    block = text_block(["a name much longer than its place", "x"], 15, width=100)
    assert block.shape[1] == 100
    assert (block[:, -3:] == PAPER).all(), "the ellipsis ends before the edge"
    assert text_block(["a", "b"], 15).shape[0] > text_block(["a"], 15).shape[0]


def test_a_patch_is_moved_into_the_picture():
    image = np.zeros((20, 30, 3), np.uint8)
    paste(image, np.full((5, 5, 3), 9, np.uint8), 28, -4)
    assert (image[:5, 25:] == 9).all() and (image == 9).sum() == 75
    paste(image, np.full((50, 50, 3), 9, np.uint8), 0, 0)
    assert (image == 9).all(), "one that is too large is cut"
