"""Sheets: pictures side by side on one page, each with a title, marks drawn on it, and notes below.

A picture that is not there leaves its cell in place, with the reason in it. Drawn with Pillow, no display needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from visualize.text import DIM, INK, PAPER, Color, font

WIDTH = 1600
MARGIN, GAP = 32, 16
MOST_ENLARGED = 3.0
MISSING_HEIGHT = 150

MAT: Color = (233, 237, 243)
RULE: Color = (208, 213, 221)
WARNING: Color = (180, 35, 24)

LINE_WIDTH = 3
DOT_RADIUS = 5
_LABEL_HEIGHT = 20


@dataclass(frozen=True)
class Outline:
    """A rectangle (x1, y1, x2, y2) in pixels of the picture, with a text above its upper left corner."""

    box: tuple[float, float, float, float]
    color: Color
    label: str = ""


@dataclass(frozen=True)
class Dot:
    """A point (x, y) in pixels of the picture."""

    at: tuple[float, float]
    color: Color


@dataclass(frozen=True)
class Cell:
    """One picture, (H, W, 3) or (H, W) uint8, or a text that says why there is none."""

    title: str
    content: np.ndarray | str
    notes: Sequence[str] = ()
    marks: Sequence[Outline | Dot] = ()


@dataclass(frozen=True)
class Row:
    """Cells of one width beside each other; pictures are at most `height` pixels high.

    `columns` is how many cells the width is for, if it is more than there are.
    """

    cells: Sequence[Cell]
    height: int
    heading: str = ""
    columns: int = 0


@dataclass(frozen=True)
class Sheet:
    """A title, lines of facts, warnings, a legend of colors and a picture of their scale, and rows of cells."""

    title: str
    rows: Sequence[Row]
    lines: Sequence[str] = ()
    warnings: Sequence[str] = ()
    legend: Sequence[tuple[Color, str]] = ()
    scale: np.ndarray | None = None


@dataclass(frozen=True)
class DrawnSheet:
    """A sheet's picture, (H, WIDTH, 3) uint8 RGB.

    `places` tells where each cell's picture is on it, by row and column: (left, top, width, height); a cell without
    a picture has no place.
    """

    image: np.ndarray
    places: dict[tuple[int, int], tuple[int, int, int, int]]


def draw_sheet(sheet: Sheet) -> DrawnSheet:
    """Draws a sheet as high as it needs to be."""
    strips = [_draw_header(sheet)]
    places: dict[tuple[int, int], tuple[int, int, int, int]] = {}
    top = strips[0].height + GAP
    for i, row in enumerate(sheet.rows):
        strip, found = _draw_row(row)
        places |= {(i, k): (MARGIN + x, MARGIN + top + y, w, h) for k, (x, y, w, h) in found.items()}
        strips.append(strip)
        top += strip.height + GAP
    page = Image.new("RGB", (WIDTH, top - GAP + 2 * MARGIN), PAPER)
    page.paste(_stack(strips, GAP), (MARGIN, MARGIN))
    return DrawnSheet(np.asarray(page), places)


def _draw_header(sheet: Sheet) -> Image.Image:
    width = WIDTH - 2 * MARGIN
    parts = [_text(sheet.title, width, 30, bold=True)]
    parts += [_text(line, width, 18, DIM) for line in sheet.lines]
    parts += [_text(line, width, 18, WARNING) for line in sheet.warnings]
    if sheet.legend:
        parts.append(_draw_legend(sheet.legend, width))
    if sheet.scale is not None:
        parts.append(Image.fromarray(sheet.scale))
    return _stack(parts, 6)


def _draw_legend(legend: Sequence[tuple[Color, str]], width: int) -> Image.Image:
    strip = Image.new("RGB", (width, 28), PAPER)
    draw, x = ImageDraw.Draw(strip), 0
    for color, text in legend:
        draw.rectangle((x, 6, x + 22, 22), outline=color, width=4)
        draw.text((x + 32, 3), text, INK, font(18))
        x += 32 + int(font(18).getlength(text)) + 30
    return strip


def _draw_row(row: Row) -> tuple[Image.Image, dict[int, tuple[int, int, int, int]]]:
    """A row and, by column, where its pictures are in it: (x, y, width, height)."""
    full, wanted = WIDTH - 2 * MARGIN, max(row.columns, len(row.cells))
    width = (full - GAP * (wanted - 1)) // wanted
    heading = [_draw_heading(row.heading, full)] if row.heading else []
    pictures = [_scale(cell, width, row.height) for cell in row.cells]
    # Titles and mats of one row are of one height, whatever the longest title and the highest picture.
    titles = [_text(cell.title, width, 17, bold=True) for cell in row.cells]
    title_height = max(title.height for title in titles) + 4
    mat = max((p.height for p in pictures if p is not None), default=MISSING_HEIGHT)
    top = sum(part.height + 8 for part in heading)
    columns, places = [], {}
    for k, (cell, title, picture) in enumerate(zip(row.cells, titles, pictures)):
        inside = _draw_mat(cell, picture, width, mat)
        notes = [_text(note, width, 15, DIM) for note in cell.notes]
        columns.append(_stack([_heighten(title, title_height), _heighten(inside, mat + 6), *notes], 0))
        if picture is not None:
            x, y = (width - picture.width) // 2, (mat - picture.height) // 2
            places[k] = (k * (width + GAP) + x, top + title_height + y, picture.width, picture.height)
    cells = Image.new("RGB", (full, max(column.height for column in columns)), PAPER)
    for k, column in enumerate(columns):
        cells.paste(column, (k * (width + GAP), 0))
    return _stack([*heading, cells], 8), places


def _draw_mat(cell: Cell, picture: Image.Image | None, width: int, height: int) -> Image.Image:
    """A cell's picture on the middle of its mat, or the reason why there is none."""
    mat = Image.new("RGB", (width, height), MAT)
    if picture is None:
        reason = _text(str(cell.content), width - 24, 15, WARNING, background=MAT)
        mat.paste(reason, (12, max((height - reason.height) // 2, 0)))
    else:
        mat.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    return mat


def _heighten(image: Image.Image, height: int) -> Image.Image:
    taller = Image.new("RGB", (image.width, height), PAPER)
    taller.paste(image, (0, 0))
    return taller


def _draw_heading(heading: str, width: int) -> Image.Image:
    text = _text(heading, width, 18)
    strip = Image.new("RGB", (width, text.height + 13), PAPER)
    ImageDraw.Draw(strip).line((0, 4, width, 4), RULE, 2)
    strip.paste(text, (0, 13))
    return strip


def _scale(cell: Cell, width: int, height: int) -> Image.Image | None:
    """The cell's picture made to fit, its marks drawn on it in full sharpness; None if there is none."""
    if isinstance(cell.content, str):
        return None
    own_height, own_width = cell.content.shape[:2]
    scale = min(width / own_width, height / own_height, MOST_ENLARGED)
    size = max(round(own_width * scale), 1), max(round(own_height * scale), 1)
    scaled = cv2.resize(cell.content, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    picture = Image.fromarray(scaled).convert("RGB")
    draw = ImageDraw.Draw(picture)
    factors = size[0] / own_width, size[1] / own_height
    for mark in cell.marks:
        if isinstance(mark, Dot):
            x, y = mark.at[0] * factors[0], mark.at[1] * factors[1]
            draw.circle((x, y), DOT_RADIUS, mark.color, outline=INK)
        else:
            _draw_outline(draw, mark, factors)
    return picture


def _draw_outline(draw: ImageDraw.ImageDraw, mark: Outline, factors: tuple[float, float]) -> None:
    x1, y1, x2, y2 = (round(value * factors[i % 2]) for i, value in enumerate(mark.box))
    draw.rectangle((x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)), outline=mark.color, width=LINE_WIDTH)
    if mark.label:
        used = font(16, bold=True)
        left, top = max(x1, 0), max(y1 - _LABEL_HEIGHT, 0)
        right = left + int(used.getlength(mark.label)) + 8
        draw.rectangle((left, top, right, top + _LABEL_HEIGHT), fill=mark.color)
        draw.text((left + 4, top + 1), mark.label, INK, used)


def _text(
    text: str, width: int, size: int, color: Color = INK, bold: bool = False, background: Color = PAPER
) -> Image.Image:
    """A text in lines of at most `width` pixels; words that are longer are broken."""
    used = font(size, bold)
    lines = _wrap(text, used, width)
    height = round(size * 1.4)
    image = Image.new("RGB", (width, height * len(lines)), background)
    draw = ImageDraw.Draw(image)
    for i, line in enumerate(lines):
        draw.text((0, i * height), line, color, used)
    return image


def _wrap(text: str, used: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines = [""]
    for word in re.findall(r"\S+", text):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if used.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and used.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def _stack(images: Sequence[Image.Image], gap: int) -> Image.Image:
    height = sum(image.height for image in images) + gap * max(len(images) - 1, 0)
    stacked = Image.new("RGB", (max((image.width for image in images), default=1), height), PAPER)
    top = 0
    for image in images:
        stacked.paste(image, (0, top))
        top += image.height + gap
    return stacked
