"""Text on pictures, in any alphabet that DejaVu Sans knows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK, DIM, PAPER = (29, 36, 48), (102, 112, 133), (255, 255, 255)
"""Colors of text, lesser text and ground: those of the pages."""
PADDING = 0.4
"""Room around text, in font sizes."""
LINE = 1.35
"""From line to line, in font sizes."""

Color = tuple[int, int, int]


def text_block(
    lines: Sequence[str],
    size: int,
    width: int | None = None,
    ink: Color = INK,
    paper: Color = PAPER,
    bold_first: bool = False,
) -> np.ndarray:
    """Lines of text on plain ground: (h, width, 3) uint8 RGB. What is too long for the width ends in an ellipsis.

    Args:
        size: of the font in pixels.
        width: in pixels; None for as wide as the text.
        bold_first: the first line stands out, the others are dimmed.
    """
    fonts = [font(size, bold_first and number == 0) for number in range(len(lines))]
    padding = round(PADDING * size)
    if width is None:
        width = 2 * padding + max((math.ceil(used.getlength(line)) for used, line in zip(fonts, lines)), default=0)
    height = 2 * padding + round(LINE * size * len(lines))
    image = Image.new("RGB", (max(width, 1), max(height, 1)), paper)
    draw = ImageDraw.Draw(image)
    for number, (used, line) in enumerate(zip(fonts, lines)):
        fill = DIM if bold_first and number else ink
        draw.text(
            (padding, padding + round(LINE * size * number)), _fitted(line, used, width - 2 * padding), fill, used
        )
    return np.array(image)


def paste(image: np.ndarray, patch: np.ndarray, left: int, top: int) -> None:
    """Puts a patch onto a picture, in place, moved so that it lies inside as far as it fits."""
    height, width = image.shape[:2]
    top = max(min(top, height - patch.shape[0]), 0)
    left = max(min(left, width - patch.shape[1]), 0)
    part = image[top : top + patch.shape[0], left : left + patch.shape[1]]
    part[:] = patch[: part.shape[0], : part.shape[1]]


def stacked(pictures: Sequence[np.ndarray], paper: Color = PAPER) -> np.ndarray:
    """Pictures one below the other, from the left edge; as wide as the widest."""
    sheet = np.empty((sum(p.shape[0] for p in pictures), max(p.shape[1] for p in pictures), 3), np.uint8)
    sheet[:] = paper
    top = 0
    for picture in pictures:
        sheet[top : top + picture.shape[0], : picture.shape[1]] = picture
        top += picture.shape[0]
    return sheet


def _fitted(text: str, used: ImageFont.FreeTypeFont, width: int) -> str:
    text = text.replace("\n", " ")
    if used.getlength(text) <= width:
        return text
    while text and used.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans: the same on every system."""
    import matplotlib  # it carries the font

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
