"""DFDC's distractors: text, shapes, dots and images over the video, which stay in their place.

Dolhansky et al., The DeepFake Detection Challenge Dataset, 2020, show them without a magnitude. Places and sizes are
drawn once for each video, as shares of the frame.
"""

from __future__ import annotations

import string
from collections.abc import Callable

import cv2
import numpy as np
from skimage import data

from deepfake.synthesis.perturbations.kinds import FrameFunction, framewise

FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
FONT_PIXELS = 22
"""The height of a capital at scale 1."""

LETTERS = 10
"""Of a text, AugLy's default."""

DOTS = 100
"""AugLy's default."""

Draw = Callable[[np.ndarray], None]

_RANDOM = {"random": None}


@framewise("dfdc-text", _RANDOM)
def text(_: None, video: np.random.Generator) -> FrameFunction:
    """One to three lines of ten random letters and digits in random fonts and colors (DFDC)."""
    words = ["".join(video.choice(list(string.ascii_letters + string.digits), LETTERS)) for _ in range(_few(video))]
    fonts = [int(font) for font in video.choice(FONTS, len(words))]
    places, sizes, colors = (
        video.random((len(words), 2)),
        video.uniform(0.04, 0.1, len(words)),
        _colors(video, len(words)),
    )

    def draw(canvas: np.ndarray) -> None:
        height, width = canvas.shape[:2]
        for word, font, (x, y), size, color in zip(words, fonts, places, sizes, colors):
            scale = size * min(height, width) / FONT_PIXELS
            thickness = max(round(2 * scale), 1)
            (long, high), _ = cv2.getTextSize(word, font, scale, thickness)
            corner = (round(x * max(width - long, 0)), round(high + y * max(height - high, 0)))
            cv2.putText(canvas, word, corner, font, scale, color, thickness, cv2.LINE_AA)

    return _over(draw, video)


@framewise("dfdc-shapes", _RANDOM)
def shapes(_: None, video: np.random.Generator) -> FrameFunction:
    """One to three filled circles, rectangles or triangles in random colors (DFDC)."""
    count = _few(video)
    kinds, centers, sizes = video.integers(0, 3, count), video.random((count, 2)), video.uniform(0.05, 0.15, count)
    colors = _colors(video, count)

    def draw(canvas: np.ndarray) -> None:
        height, width = canvas.shape[:2]
        for kind, center, size, color in zip(kinds, centers, sizes, colors):
            x, y = (round(float(value)) for value in center * (width, height))
            radius = max(round(size * min(height, width)), 1)
            if kind == 0:
                cv2.circle(canvas, (x, y), radius, color, cv2.FILLED, cv2.LINE_AA)
            elif kind == 1:
                cv2.rectangle(canvas, (x - radius, y - radius), (x + radius, y + radius), color, cv2.FILLED)
            else:
                corners = np.array([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)])
                cv2.fillPoly(canvas, [corners], color, cv2.LINE_AA)

    return _over(draw, video)


@framewise("dfdc-dots", _RANDOM)
def dots(_: None, video: np.random.Generator) -> FrameFunction:
    """A hundred small dots in random colors (DFDC; AugLy's number)."""
    centers, colors = video.random((DOTS, 2)), _colors(video, DOTS)

    def draw(canvas: np.ndarray) -> None:
        height, width = canvas.shape[:2]
        for center, color in zip(centers, colors):
            x, y = (round(float(value)) for value in center * (width, height))
            cv2.circle(canvas, (x, y), max(min(height, width) // 100, 1), color, cv2.FILLED, cv2.LINE_AA)

    return _over(draw, video)


@framewise("dfdc-images", _RANDOM)
def images(_: None, video: np.random.Generator) -> FrameFunction:
    """A small picture without a person, of those that scikit-image carries, over the frame (DFDC)."""
    picture = (data.chelsea, data.coffee, data.rocket)[video.integers(3)]()
    place, size = video.random(2), video.uniform(0.15, 0.35)

    def draw(canvas: np.ndarray) -> None:
        height, width = canvas.shape[:2]
        side = max(round(size * min(height, width)), 1)
        x, y = (int(value) for value in place * (width - side, height - side))
        canvas[y : y + side, x : x + side] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)

    return _over(draw, video)


def _few(video: np.random.Generator) -> int:
    return int(video.integers(1, 4))


def _colors(video: np.random.Generator, count: int) -> list[tuple[int, ...]]:
    return [tuple(int(value) for value in color) for color in video.integers(0, 256, (count, 3))]


def _over(draw: Draw, video: np.random.Generator) -> FrameFunction:
    """What is drawn, over the frame with an opacity of the video's own."""
    opacity = video.uniform(0.5, 1)

    def apply(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        canvas = image.copy()
        draw(canvas)
        return cv2.addWeighted(canvas, opacity, image, 1 - opacity, 0)

    return apply
