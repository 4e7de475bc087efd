"""A contact sheet: many pictures on one, each with its label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepfake.images import fit_square
from visualize.labels import PAPER, stacked, text_block

CELL = 224
"""Side of a picture's place in pixels."""
GAP = 12
GROUND = (227, 231, 238)
"""What a picture that is not square leaves of its place."""
SHAPE = 1.6
"""A sheet is about this much wider than high."""
LEAST_COLUMNS = 4
"""Fewer leave no room for a title."""
_LABEL_SIZE, _TITLE_SIZE = 15, 22


@dataclass(frozen=True)
class Cell:
    """A picture, (h, w, 3) uint8 RGB of any size, and the lines under it; the first one stands out."""

    picture: np.ndarray
    lines: Sequence[str] = ()


def contact_sheet(
    cells: Sequence[Cell], title: Sequence[str] = (), legend: np.ndarray | None = None, columns: int | None = None
) -> np.ndarray:
    """All cells in rows, in their order: (H, W, 3) uint8 RGB.

    Args:
        cells: one or more.
        title: lines above them.
        legend: a picture below the title.
        columns: cells a row; None chooses a handy shape.

    Raises:
        ValueError: no cell.
    """
    if not cells:
        raise ValueError("a contact sheet needs one picture or more")
    columns = columns or min(len(cells), max(math.ceil(math.sqrt(SHAPE * len(cells))), LEAST_COLUMNS))
    drawn = [_draw(cell) for cell in cells]
    height = max(picture.shape[0] for picture in drawn)
    rows = math.ceil(len(drawn) / columns)
    grid = np.full((GAP + rows * (height + GAP), GAP + columns * (CELL + GAP), 3), PAPER, np.uint8)
    for number, picture in enumerate(drawn):
        row, column = divmod(number, columns)
        top, left = GAP + row * (height + GAP), GAP + column * (CELL + GAP)
        grid[top : top + picture.shape[0], left : left + CELL] = picture
    head = [text_block(title, _TITLE_SIZE, bold_first=True)] if title else []
    return stacked([*head, *([] if legend is None else [legend]), grid])


def _draw(cell: Cell) -> np.ndarray:
    filled = fit_square(np.full(cell.picture.shape[:2], 1, np.uint8), CELL)
    place = np.where(filled[..., None] > 0, fit_square(cell.picture, CELL), np.array(GROUND, np.uint8))
    return stacked([place, *([text_block(cell.lines, _LABEL_SIZE, CELL, bold_first=True)] if cell.lines else [])])
