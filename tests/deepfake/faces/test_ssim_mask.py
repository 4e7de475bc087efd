"""SSIM masks agree with scikit-image, which the published masks were made with."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from deepfake.faces.ssim_mask import WINDOW, difference_mask, ssim_map


def pair(height: int, width: int, seed: int, change: float) -> tuple[np.ndarray, np.ndarray]:
    """A structured picture and a copy of which a part is disturbed."""
    rng = np.random.default_rng(seed)
    first = cv2.resize(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(0, 255 * change, first.shape)
    noise[: height // 2] = 0
    return first, np.clip(first + noise, 0, 255).astype(np.uint8)


def reference_map(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return structural_similarity(first, second, channel_axis=2, data_range=255, full=True)[1]


PAIRS = st.builds(
    pair, st.integers(WINDOW, 90), st.integers(WINDOW, 90), st.integers(0, 10**6), st.sampled_from([0, 0.02, 0.2, 1.0])
)


@given(PAIRS)
@settings(max_examples=40)
def test_the_map_is_scikit_images(images):
    first, second = images
    ours = ssim_map(first, second)
    assert ours.shape == first.shape and ours.dtype == np.float32
    assert np.abs(ours - reference_map(first, second)).max() < 1e-3


@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_flat_pictures(value):
    """Nothing varies, so the result hangs on rounding."""
    flat = np.full((40, 30, 3), value, np.uint8)
    assert np.abs(ssim_map(flat, flat) - 1).max() < 1e-4
    assert difference_mask(flat, flat).max() == 0
    other = np.full_like(flat, 255 - value)
    assert np.abs(ssim_map(flat, other) - reference_map(flat, other)).max() < 1e-4


@given(PAIRS)
@settings(max_examples=40)
def test_the_mask_is_the_published_one(images):
    first, second = images
    mask = difference_mask(first, second)
    assert mask.shape == first.shape[:2] and mask.dtype == np.uint8
    difference = 255 * (1 - reference_map(first, second))
    expected = cv2.cvtColor(difference.astype(np.int64).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    # A value within rounding of a whole number may be cut to either side; where it passes 255 it starts from 0.
    near_wrap = (np.abs(difference - 256) < 0.1).any(-1) | (np.abs(difference) < 0.1).any(-1)
    assert np.abs(mask.astype(int) - expected)[~near_wrap].max(initial=0) <= 1


def test_unchanged_is_black_and_changed_is_bright():
    first, second = pair(60, 60, 0, 0.5)
    mask = difference_mask(first, second)
    assert mask[: 30 - WINDOW].max() == 0
    assert mask[30 + WINDOW :].mean() > 100
    assert difference_mask(first, first.copy()).max() == 0


def test_gray_weighs_channels_as_colors():
    """Red, green and blue count 0.299, 0.587 and 0.114: an exchanged order would show."""
    first = np.full((20, 20, 3), 100, np.uint8)
    means = []
    for channel in range(3):
        second = first.copy()
        second[..., channel] = 220
        means.append(difference_mask(first, second).mean())
    assert means[1] > means[0] > means[2] > 0
    assert means[0] / means[2] == pytest.approx(0.299 / 0.114, rel=0.15)


def test_crops_of_different_sizes(tmp_path):
    with pytest.raises(ValueError, match=r"\(20, 30\) and \(20, 31\) pixels cannot be compared"):
        difference_mask(np.zeros((20, 30, 3), np.uint8), np.zeros((20, 31, 3), np.uint8))


@pytest.mark.parametrize("shape", [(6, 30, 3), (30, 6, 3), (0, 0, 3)])
def test_crops_smaller_than_the_window(shape):
    with pytest.raises(ValueError, match="smaller than the 7-pixel window"):
        difference_mask(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))
