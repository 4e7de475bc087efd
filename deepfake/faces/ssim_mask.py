"""SSIM-difference masks: where a fake's crop differs from its original's.

A mask is (H, W) uint8: 255 * (1 - SSIM), so 0 is unchanged, over 255 / 2 very different. Where SSIM is negative the
value starts again from 0, as in the published masks.
"""

from __future__ import annotations

import cv2
import numpy as np

WINDOW = 7
CHANGED = 20
"""A mask pixel above shows a change (first place)."""

_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim_map(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Structural similarity of two (H, W, 3) uint8 pictures per pixel and channel: (H, W, 3) float32 in -1..1.

    Wang et al. 2004 with a uniform 7x7 window and sample covariance, as scikit-image computes it; in single
    precision, which is several times faster.
    """
    x, y = first.astype(np.float32), second.astype(np.float32)
    sample = WINDOW**2 / (WINDOW**2 - 1)
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    var_x = sample * (_window_mean(x * x) - mean_x * mean_x)
    var_y = sample * (_window_mean(y * y) - mean_y * mean_y)
    cov = sample * (_window_mean(x * y) - mean_x * mean_y)
    above = (2 * mean_x * mean_y + _C1) * (2 * cov + _C2)
    return above / ((mean_x * mean_x + mean_y * mean_y + _C1) * (var_x + var_y + _C2))


def difference_mask(original: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """The mask of two (H, W, 3) uint8 RGB crops of equal size: (H, W) uint8.

    Raises:
        ValueError: crops of different sizes, or smaller than the window.
    """
    if original.shape != fake.shape:
        raise ValueError(f"crops of {original.shape[:2]} and {fake.shape[:2]} pixels cannot be compared")
    if min(original.shape[:2]) < WINDOW:
        raise ValueError(f"crops of {original.shape[:2]} pixels are smaller than the {WINDOW}-pixel window")
    # Truncated like the published masks, then to gray.
    difference = (255 * (1 - ssim_map(original, fake))).astype(np.int32).astype(np.uint8)
    return cv2.cvtColor(difference, cv2.COLOR_RGB2GRAY)


def _window_mean(image: np.ndarray) -> np.ndarray:
    return cv2.blur(image, (WINDOW, WINDOW), borderType=cv2.BORDER_REFLECT)
