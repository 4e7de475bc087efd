"""`--padding-part`: less of a face's surroundings."""

from __future__ import annotations

import numpy as np

from deepfake.faces.boxes import MARGIN

BOX_SHARE = MARGIN / (MARGIN + 2)
"""A crop is its box and a third of it on both sides: the box is the middle 3/5."""


def narrow_margin(image: np.ndarray, part: int) -> np.ndarray:
    """A view of a crop (H, W, ...) whose margin is `1 / part` of the box on each side instead of a third.

    Raises:
        ValueError: `part` does not narrow the margin.
    """
    if part < MARGIN:
        raise ValueError(f"padding part {part}: expected {MARGIN} or more")
    height, width = image.shape[:2]
    return image[_inner(height, part), _inner(width, part)]


def _inner(length: int, part: int) -> slice:
    box = length * BOX_SHARE
    cut = int(box / MARGIN - box / part)
    return slice(cut, length - cut)
