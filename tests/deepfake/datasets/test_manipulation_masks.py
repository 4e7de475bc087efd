"""Masks that data sets bring along: which frame they belong to, and which faces they mean."""

import numpy as np
import pytest

from deepfake.datasets.manipulation_masks import manipulated, with_masks
from deepfake.faces.boxes import Face
from deepfake.media.video import Frame

FACES = [Face((0, 0, 10, 10)), Face((20, 0, 30, 10)), Face((40, 0, 50, 10))]


def mask_of(*values: int) -> np.ndarray:
    """A mask that has each value in its third of 20 columns."""
    return np.repeat(np.array([values], np.uint8), 20, axis=1).repeat(10, axis=0)


@pytest.mark.parametrize(
    ("values", "meant"),
    [((0, 255, 0), {1}), ((0, 200, 255), {1, 2}), ((100, 0, 255), {2}), ((0, 0, 0), {0, 1, 2}), ((3, 0, 0), {0})],
)
def test_a_mask_means_the_faces_that_it_covers_most(values, meant):
    assert manipulated(FACES, mask_of(*values)) == meant


def test_frames_have_the_mask_of_their_index_in_their_size():
    frames = [Frame(index, np.zeros((4, 6, 3), np.uint8)) for index in (0, 3, 4, 9)]
    masks = iter(
        [(1, np.full((2, 3), 1, np.uint8)), (3, np.full((2, 3), 3, np.uint8)), (9, np.full((4, 6), 9, np.uint8))]
    )
    found = {frame.index: mask for frame, mask in with_masks(frames, masks)}
    assert list(found) == [0, 3, 4, 9] and found[0] is None and found[4] is None
    assert (found[3].shape, found[3].max()) == ((4, 6), 3) and found[9].min() == 9
