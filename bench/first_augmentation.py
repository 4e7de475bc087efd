"""First place's augmentation as albumentations' own pipeline: what the training's is measured and tested against."""

from __future__ import annotations

import os
import random
from typing import Any

import cv2
import numpy as np

from deepfake.media.images import center_pad, isotropic_resize
from training.transforms.augment import (
    BLUR_KERNEL,
    BLUR_SIGMA,
    JPEG_QUALITY,
    NOISE_VARIANCE,
    P_COLOR,
    PCA_ALPHA,
    RESIZE_INTERPOLATIONS,
    ROTATE,
    SCALE,
    SHIFT,
)


class FirstAugmentation:
    """The same arguments and distributions as `training.transforms.augment.TrainAugmentation`, other draws."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._before, self._brightness, self._hue, self._after = _pipelines()

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        # One shared state: seeding albumentations instead would give every transform the same draws.
        py_random = random.Random(int(rng.integers(2**63)))
        for pipeline in (self._before, self._brightness, self._hue, self._after):
            pipeline.set_random_state(rng, py_random)
        image = self._before(image=image)["image"]
        down, up = RESIZE_INTERPOLATIONS[rng.integers(len(RESIZE_INTERPOLATIONS))]
        image = center_pad(isotropic_resize(image, self.size, down, up), self.size)
        if rng.random() < P_COLOR:
            image = self._change_color(image, rng)
        return self._after(image=image)["image"]

    def _change_color(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        kind = rng.integers(3)
        if kind == 0:
            return fancy_pca(image, rng)
        return (self._brightness if kind == 1 else self._hue)(image=image)["image"]


def fancy_pca(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As `training.transforms.augment.fancy_pca`, from products of whole matrices."""
    pixels = image.reshape(-1, 3).astype(np.float32) / 255
    pixels -= pixels.mean(axis=0)
    variances, components = np.linalg.eigh(pixels.T @ pixels / len(pixels))
    shift = 255 * components @ (rng.normal(0, PCA_ALPHA, 3) * variances)
    return cv2.add(image, (*shift.tolist(), 0.0))  # type: ignore[call-overload]  # a scalar a channel


def _pipelines() -> tuple[Any, Any, Any, Any]:
    """What comes before the resize, two color changes to choose from, and what comes after them."""
    # Without it albumentations asks the network for updates when it is imported.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations as A

    before = [
        A.ImageCompression(quality_range=JPEG_QUALITY, p=0.5),
        A.GaussNoise(std_range=tuple(v**0.5 / 255 for v in NOISE_VARIANCE), p=0.1),
        A.GaussianBlur(blur_limit=(BLUR_KERNEL, BLUR_KERNEL), sigma_limit=(BLUR_SIGMA, BLUR_SIGMA), p=0.05),
        A.HorizontalFlip(p=0.5),
    ]
    after = [
        A.ToGray(p=0.2),
        A.Affine(
            scale=(1 - SCALE, 1 + SCALE),
            translate_percent=(-SHIFT, SHIFT),
            rotate=(-ROTATE, ROTATE),
            keep_ratio=True,
            border_mode=cv2.BORDER_CONSTANT,
            p=0.5,
        ),
    ]
    brightness = A.Compose([A.RandomBrightnessContrast(p=1)])
    return A.Compose(before), brightness, A.Compose([A.HueSaturationValue(p=1)]), A.Compose(after)
