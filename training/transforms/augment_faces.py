"""Second place's augmentations of aligned faces, with the arguments that today's albumentations takes.

Pictures are (H, W, 3) uint8 RGB. All randomness comes from the generator that is handed in: one picture's
augmentation depends on nothing else.
"""

from __future__ import annotations

import os
import random
from abc import ABC, abstractmethod
from typing import Any

import cv2
import numpy as np

NOISE_DEVIATION = (10**0.5 / 255, 50**0.5 / 255)
"""Gaussian noise of variance 10 to 50 in squared gray levels, as a part of the largest."""
ADDITIVE_DEVIATION = (0.01, 0.05)
"""The other Gaussian noise, likewise; the same for all channels of a pixel."""
BLURS = ((3, 0.8), (5, 1.1), (7, 1.4))
"""Gaussian kernels, each with the sigma that OpenCV takes for it: 0.3 * ((size - 1) / 2 - 1) + 0.8."""
BRIGHTNESS = 0.2
P_WSDAN = 0.5
"""The share of pictures that WS-DAN's augmentation touches at all."""


class FaceAugmentation(ABC):
    """Augments a picture at random and gives it the input's size: (H, W, 3) uint8 -> (size, size, 3) uint8."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pipeline = self._make_pipeline()

    @abstractmethod
    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray: ...

    @abstractmethod
    def _make_pipeline(self) -> Any: ...

    def _augmented(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        # One shared state, as in first place's augmentation.
        self.pipeline.set_random_state(rng, random.Random(int(rng.integers(2**63))))
        return self.pipeline(image=image)["image"]


class XceptionAugmentation(FaceAugmentation):
    """Augments, then resizes."""

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return resize(self._augmented(image, rng), self.size)

    def _make_pipeline(self) -> Any:
        return _xception_pipeline()


class WSDANAugmentation(FaceAugmentation):
    """Resizes, then augments."""

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self._augmented(resize(image, self.size), rng)

    def _make_pipeline(self) -> Any:
        return _wsdan_pipeline()


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """An aligned face at a network's input size, bilinear as published: (H, W, 3) uint8 -> (size, size, 3) uint8."""
    if image.shape[:2] == (size, size):
        return image
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)


def _library() -> Any:
    # Without it albumentations asks the network for updates when it is imported.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations


def _xception_pipeline() -> Any:
    A = _library()
    return A.Compose(
        [
            A.ChannelShuffle(p=0.1),
            A.GaussNoise(std_range=NOISE_DEVIATION, p=0.1),
            _gaussian_blur(A, p=0.1),
            A.HueSaturationValue(p=0.1),
            A.GaussNoise(std_range=ADDITIVE_DEVIATION, per_channel=False, p=0.1),
            A.Sharpen(p=0.5),
            A.ISONoise(p=0.3),
            _brightness(A, p=0.8),
            A.RandomBrightnessContrast(p=0.2),
            A.ToSepia(p=0.1),
        ]
    )


def _wsdan_pipeline() -> Any:
    A = _library()
    noises = [
        A.GaussNoise(std_range=ADDITIVE_DEVIATION, per_channel=False, p=0.5),
        A.GaussNoise(std_range=NOISE_DEVIATION, p=0.5),
    ]
    blurs = [A.MotionBlur(p=0.25), _gaussian_blur(A, p=0.5), A.Blur(blur_limit=3, p=0.25)]
    contrasts = [_brightness(A, p=0.5), A.Sharpen(p=0.5), A.Emboss(p=0.5), A.RandomBrightnessContrast(p=0.5)]
    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.OneOf(noises, p=0.2),
            A.OneOf(blurs, p=0.2),
            A.HueSaturationValue(p=0.2),
            A.OneOf(contrasts, p=0.6),
            A.ToSepia(p=0.1),
        ],
        p=P_WSDAN,
    )


def _gaussian_blur(A: Any, p: float) -> Any:
    # Today's transform draws kernel and sigma independently.
    kinds = [A.GaussianBlur(blur_limit=(k, k), sigma_limit=(sigma, sigma), p=1) for k, sigma in BLURS]
    return A.OneOf(kinds, p=p)


def _brightness(A: Any, p: float) -> Any:
    return A.RandomBrightnessContrast(brightness_limit=BRIGHTNESS, contrast_limit=0, p=p)
