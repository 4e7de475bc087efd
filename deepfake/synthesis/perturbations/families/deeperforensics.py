"""DeeperForensics-1.0's seven distortions at five levels, with the parameters of its published code.

Jiang et al., DeeperForensics-1.0, CVPR 2020. Values are rounded here, which the published code cuts off.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from deepfake.media.encode import Encoding
from deepfake.synthesis.perturbations.color import CHROMA_RANGE, LUMA_RANGE, from_ycbcr, to_bytes, to_ycbcr
from deepfake.synthesis.perturbations.kinds import FrameFunction, framewise, mixture, numbered, videowise

SEVEN = ("CS", "CC", "BW", "GNC", "GB", "JPEG", "VC")

_BLOCK = 8
_GRAY = 128
_BLOCKS_EVERY = 256


@framewise("CS", numbered(0.4, 0.3, 0.2, 0.1, 0.0))
def saturation(factor: float, video: np.random.Generator) -> FrameFunction:
    """Color saturation: Cb and Cr are pulled to the middle, times the level's factor (DeeperForensics)."""

    def apply(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        ycbcr = to_ycbcr(image)
        ycbcr[..., 1:] *= factor
        return to_bytes(from_ycbcr(ycbcr))

    return apply


@framewise("CC", numbered(0.85, 0.725, 0.6, 0.475, 0.35))
def contrast(factor: float, video: np.random.Generator) -> FrameFunction:
    """Contrast as DeeperForensics has it: all pixels times the level's factor, so that the frame darkens."""
    return lambda image, _: to_bytes(image * np.float32(factor))


@framewise("BW", numbered(16, 32, 48, 64, 80))
def blocks(count: int, video: np.random.Generator) -> FrameFunction:
    """Gray 8x8 blocks anywhere: the level's count for each whole 256 pixels of the shorter side (DeeperForensics)."""

    def apply(image: np.ndarray, frame: np.random.Generator) -> np.ndarray:
        out = image.copy()
        height, width = image.shape[:2]
        number = min(height, width) // _BLOCKS_EVERY * count
        # The published code leaves out the last row and column.
        for y, x in frame.integers(0, (height - _BLOCK, width - _BLOCK), (number, 2)) if number else ():
            out[y : y + _BLOCK, x : x + _BLOCK] = _GRAY
        return out

    return apply


@framewise("GNC", numbered(0.001, 0.002, 0.005, 0.01, 0.05))
def noise(variance: float, video: np.random.Generator) -> FrameFunction:
    """Gaussian noise on studio-range YCbCr in 0..1, of the level's variance, anew in each frame (DeeperForensics)."""
    deviation = 255 * np.float32(np.sqrt(variance))
    # Studio range packs luma and chroma into fewer values: back in full range the noise is larger.
    scale = deviation * 255 / np.array([LUMA_RANGE, CHROMA_RANGE, CHROMA_RANGE], np.float32)

    def apply(image: np.ndarray, frame: np.random.Generator) -> np.ndarray:
        return to_bytes(from_ycbcr(to_ycbcr(image) + scale * frame.standard_normal(image.shape, np.float32)))

    return apply


@framewise("GB", numbered(7, 9, 13, 17, 21))
def blur(kernel: int, video: np.random.Generator) -> FrameFunction:
    """Gaussian blur with a kernel of the level's size in pixels, sigma a sixth of it (DeeperForensics)."""
    return lambda image, _: cv2.GaussianBlur(image, (kernel, kernel), kernel / 6)


@framewise("JPEG", numbered(2, 3, 4, 5, 6))
def pixelation(divisor: int, video: np.random.Generator) -> FrameFunction:
    """No JPEG, whatever DeeperForensics calls it: reduced by 1 / divisor and enlarged again, bilinear both ways."""

    def apply(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        small = cv2.resize(image, (max(width // divisor, 1), max(height // divisor, 1)))
        return cv2.resize(small, (width, height))

    return apply


@videowise("VC", numbered(30, 32, 35, 38, 40))
def compression(crf: int, video: np.random.Generator) -> Sequence[Encoding]:
    """H.264 at the level's constant rate factor, as x264 encodes by default (DeeperForensics)."""
    return [Encoding(crf)]


@mixture("deeperforensics-random", {"any": None})
def one_at_random(_: None, video: np.random.Generator) -> Sequence[tuple[str, str]]:
    """One of DeeperForensics' seven at one of its five levels, drawn for each video (its std/rand)."""
    return [(str(video.choice(SEVEN)), str(video.integers(1, 6)))]


@mixture("deeperforensics-mixed", {"2": 2, "3": 3, "4": 4})
def several_at_random(count: int, video: np.random.Generator) -> Sequence[tuple[str, str]]:
    """Two, three or four of DeeperForensics' seven, each at a random level, drawn for each video (its mixed)."""
    return [(str(name), str(video.integers(1, 6))) for name in video.choice(SEVEN, count, replace=False)]
