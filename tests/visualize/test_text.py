"""Text on pictures."""

import numpy as np
import pytest

from visualize.text import PAPER, paste, text_block


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
