"""Reasons for doubt: what makes the faces of a video hard to judge, measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from deepfake.media.video import VideoInfo

SMALL_FACE = 80
"""Pixels: a face whose box is narrower or lower holds too little detail for networks that see 300 pixels and more."""
BLURRED = 25.0
"""Sharpness below is blurred; see `sharpness`."""
SHARPNESS_SIZE = 128
HEAVILY_COMPRESSED = 0.02
"""Bits a pixel below which H.264 visibly smears faces (streaming services use 0.05 to 0.15)."""
FEW_FACES = 8
"""A score of fewer faces rests on little."""


def sharpness(face: np.ndarray) -> float:
    """The variance of the Laplacian of a face on a gray square of SHARPNESS_SIZE pixels, in squared gray levels.

    All faces are compared at one size, enlarged ones being blurred (Pech-Pacheco et al. 2000).

    Args:
        face: (h, w, 3) uint8 RGB.
    """
    gray = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    shrinks = min(gray.shape) > SHARPNESS_SIZE
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    gray = cv2.resize(gray, (SHARPNESS_SIZE, SHARPNESS_SIZE), interpolation=interpolation)
    return float(cv2.Laplacian(gray, cv2.CV_64F).var())


def bits_per_pixel(path: Path, info: VideoInfo) -> float | None:
    """Bits of a video's file for each pixel of each frame, sound included; None without a count of frames.

    A picture has none either: what is little for a frame that follows others is much less for one alone.
    """
    pixels = info.frames * info.width * info.height
    return 8 * path.stat().st_size / pixels if pixels > 0 and info.fps > 0 else None


def reasons_for_doubt(
    sizes: Sequence[float], sharpnesses: Sequence[float], bits: float | None, frames: int
) -> list[str]:
    """What speaks against trusting a score, in plain words; empty if nothing does.

    Args:
        sizes: the shorter side of each face's box in pixels.
        sharpnesses: of the same faces.
        bits: see `bits_per_pixel`.
        frames: how many frames were looked at.
    """
    doubts = []
    if sizes and np.median(sizes) < SMALL_FACE:
        doubts.append(f"small faces: {np.median(sizes):.0f} pixels, where {SMALL_FACE} or more are wanted")
    if sharpnesses and np.median(sharpnesses) < BLURRED:
        doubts.append(f"blurred faces: sharpness {np.median(sharpnesses):.0f}, where {BLURRED:.0f} or more is wanted")
    if bits is not None and bits < HEAVILY_COMPRESSED:
        doubts.append(f"heavily compressed: {bits:.3f} bits a pixel, where {HEAVILY_COMPRESSED} or more are wanted")
    if 0 < len(sizes) < FEW_FACES:
        doubts.append(f"few faces: {len(sizes)} in {frames} frames, where {FEW_FACES} or more are wanted")
    return doubts
