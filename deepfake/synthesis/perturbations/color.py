"""RGB to luma and chroma and back, by BT.601 in full range."""

from __future__ import annotations

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""The shares of red, green and blue."""

LUMA_RANGE, CHROMA_RANGE = 235 - 16, 240 - 16
"""Byte values that luma and chroma have in studio range."""

_TO_CB = (np.array([0, 0, 1], np.float32) - LUMA) / (2 * (1 - LUMA[2]))
_TO_CR = (np.array([1, 0, 0], np.float32) - LUMA) / (2 * (1 - LUMA[0]))
_TO_YCBCR = np.stack([LUMA, _TO_CB, _TO_CR])
_TO_RGB = np.linalg.inv(_TO_YCBCR.astype(np.float64)).astype(np.float32)


def to_ycbcr(image: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB as float32 Y in 0..255, Cb and Cr in -127.5..127.5."""
    return image.astype(np.float32) @ _TO_YCBCR.T


def from_ycbcr(ycbcr: np.ndarray) -> np.ndarray:
    """Return the RGB of `to_ycbcr` as float32, which may be outside of 0..255."""
    return ycbcr @ _TO_RGB.T


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Return values rounded and clipped to uint8."""
    return np.rint(values).clip(0, 255).astype(np.uint8)
