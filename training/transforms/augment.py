"""First place's augmentation: the draws of the published albumentations pipeline, each operation in its cheapest form.

Pictures are (H, W, 3) uint8 RGB. All randomness comes from the generator that is handed in: one picture's
augmentation depends on nothing else. Order and distributions are those of the recipe, and of albumentations 2.0.8
down to how it rounds: compression, noise and blur act on the crop's own pixels and cannot wait for the resize; what
saves time is that nothing is drawn, converted or copied that the picture does not need. bench/first_augmentation.py
keeps the pipeline of albumentations that this one is measured and tested against.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from deepfake.media.images import center_pad, isotropic_resize, isotropic_size
from training.transforms.area import area_resize

P_JPEG = 0.5
JPEG_QUALITY = (60, 100)
P_NOISE = 0.1
NOISE_VARIANCE = (10.0, 50.0)
"""In squared gray levels of 0..255; the standard deviation is drawn evenly between the roots."""
P_BLUR = 0.05
BLUR_KERNEL = 3
BLUR_SIGMA = 0.8
"""What OpenCV takes for a kernel of 3: 0.3 * ((3 - 1) / 2 - 1) + 0.8."""
P_FLIP = 0.5

RESIZE_INTERPOLATIONS = (
    (cv2.INTER_AREA, cv2.INTER_CUBIC),
    (cv2.INTER_AREA, cv2.INTER_LINEAR),
    (cv2.INTER_LINEAR, cv2.INTER_LINEAR),
)
"""(down, up) of the isotropic resize; one is drawn for each picture."""

P_COLOR = 0.7
PCA_ALPHA = 0.1
BRIGHTNESS = CONTRAST = 0.2
"""Brightness in units of 255; contrast is a factor of 1 plus or minus this."""
HUE, SATURATION, VALUE = 20, 30, 20
"""Largest shifts, in the units of OpenCV's 8-bit HSV (hue 0..179)."""
P_GRAY = 0.2
P_AFFINE = 0.5
SHIFT, SCALE, ROTATE = 0.1, 0.2, 10

_HUES = 180
_BLUR = cv2.getGaussianKernel(BLUR_KERNEL, BLUR_SIGMA)
_LEVELS = np.arange(256)


class TrainAugmentation:
    """Augments a picture and makes it a square of `size`: (H, W, 3) uint8 -> (size, size, 3) uint8."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < P_JPEG:
            image = compress(image, int(rng.integers(JPEG_QUALITY[0], JPEG_QUALITY[1] + 1)))
        if rng.random() < P_NOISE:
            low, high = NOISE_VARIANCE
            image = add_noise(image, rng.uniform(math.sqrt(low), math.sqrt(high)), rng)
        if rng.random() < P_BLUR:
            image = cv2.sepFilter2D(image, -1, _BLUR, _BLUR)
        if rng.random() < P_FLIP:
            image = cv2.flip(image, 1)
        down, up = RESIZE_INTERPOLATIONS[rng.integers(len(RESIZE_INTERPOLATIONS))]
        image = center_pad(_resize(image, self.size, down, up), self.size)
        if rng.random() < P_COLOR:
            image = _change_color(image, rng)
        if rng.random() < P_GRAY:
            image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if rng.random() < P_AFFINE:
            image = _warp(image, draw_affine(self.size, rng))
        return image


def _resize(image: np.ndarray, size: int, down: int, up: int) -> np.ndarray:
    height, width = image.shape[:2]
    if down == cv2.INTER_AREA and max(height, width) > size:
        return area_resize(image, isotropic_size(height, width, size))
    return isotropic_resize(image, size, down, up)


def compress(image: np.ndarray, quality: int) -> np.ndarray:
    """The picture after JPEG compression, which takes red for blue: as albumentations does it."""
    _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)  # type: ignore[return-value]  # None for broken bytes only


def add_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Adds N(0, sigma) to each value, cut towards zero to whole gray levels; `sigma` in gray levels."""
    noise = np.empty(image.shape, np.float32)
    # OpenCV draws normal numbers three times as fast as NumPy; its own generator is seeded for each picture.
    cv2.setRNGSeed(int(rng.integers(2**31)))
    cv2.randn(noise, np.zeros(3), np.full(3, sigma))
    return cv2.add(image, noise.astype(np.int16), dtype=cv2.CV_8U)


def _change_color(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    kind = rng.integers(3)
    if kind == 0:
        return fancy_pca(image, rng)
    if kind == 1:
        contrast, brightness = rng.uniform(-CONTRAST, CONTRAST), rng.uniform(-BRIGHTNESS, BRIGHTNESS)
        return change_brightness(image, 1 + contrast, 255 * brightness)
    return shift_hsv(image, *(rng.uniform(-limit, limit) for limit in (HUE, SATURATION, VALUE)))


def fancy_pca(image: np.ndarray, rng: np.random.Generator, alpha: float = PCA_ALPHA) -> np.ndarray:
    """Shifts all colors along their principal components (Krizhevsky et al. 2012): (H, W, 3) uint8 -> the same.

    Each component's shift is its variance (of values in 0..1) times a draw from N(0, alpha). albumentations' transform
    of this name scales the deviations from the mean instead.
    """
    covariance = _covariance(image) / 255**2
    variances, components = np.linalg.eigh(covariance)
    shift = 255 * components @ (rng.normal(0, alpha, 3) * variances)
    return cv2.add(image, (*shift.tolist(), 0.0))  # type: ignore[call-overload]  # a scalar a channel


def _covariance(image: np.ndarray) -> np.ndarray:
    """Of the three channels, in squared gray levels: (3, 3) float64."""
    # 2ab = a^2 + b^2 - (a - b)^2: sums of squares of bytes and of their differences, without one floating-point copy.
    planes, means = cv2.split(image), np.array(cv2.mean(image)[:3])
    squares = np.array([cv2.norm(plane, cv2.NORM_L2SQR) for plane in planes])
    differences = [[0.0 if a is b else cv2.norm(a, b, cv2.NORM_L2SQR) for b in planes] for a in planes]
    products = (squares[:, None] + squares - np.array(differences)) / 2
    return products / planes[0].size - np.outer(means, means)


def change_brightness(image: np.ndarray, factor: float, offset: float) -> np.ndarray:
    """`factor * value + offset`, clipped to 0..255 and cut to whole gray levels."""
    return cv2.LUT(image, np.clip(_LEVELS * factor + offset, 0, 255).astype(np.uint8))


def shift_hsv(image: np.ndarray, hue: float, saturation: float, value: float) -> np.ndarray:
    """Shifts hue (around the circle), saturation and value (clipped); colorless pixels stay colorless."""
    planes = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    saturations = np.clip(_LEVELS + int(saturation), 0, 255)
    saturations[0] = 0
    tables = ((_LEVELS + hue) % _HUES, saturations, np.clip(_LEVELS + int(value), 0, 255))
    shifted = [cv2.LUT(plane, table.astype(np.uint8)) for plane, table in zip(planes, tables)]
    return cv2.cvtColor(cv2.merge(shifted), cv2.COLOR_HSV2RGB)


def _warp(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    # OpenCV interpolates four channels faster than three, to the same values.
    padded = cv2.warpAffine(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA), matrix, image.shape[1::-1])
    return cv2.cvtColor(padded, cv2.COLOR_RGBA2RGB)


def draw_affine(size: int, rng: np.random.Generator) -> np.ndarray:
    """A draw of shift, scale and rotation: see `affine_matrix`."""
    across, down = rng.uniform(-SHIFT, SHIFT, 2)
    return affine_matrix(size, across, down, rng.uniform(1 - SCALE, 1 + SCALE), rng.uniform(-ROTATE, ROTATE))


def affine_matrix(size: int, across: float, down: float, scale: float, degrees: float) -> np.ndarray:
    """(2, 3) for `cv2.warpAffine`: about the center of a square; shifts are parts of `size`, cut to whole pixels."""
    angle, center = math.radians(degrees), size / 2 - 0.5
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return np.array(
        [
            [cos, sin, center * (1 - cos - sin) + int(across * size)],
            [-sin, cos, center * (1 + sin - cos) + int(down * size)],
        ]
    )
