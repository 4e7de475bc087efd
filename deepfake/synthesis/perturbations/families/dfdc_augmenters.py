"""DFDC's augmenters, and its draw of what happens to each video of the test set.

Dolhansky et al., The DeepFake Detection Challenge Dataset, 2020, name the augmenters, and the shares of videos: about
70 % augmented, 30 % with distractors. Magnitudes were never published: those here are drawn evenly from the ranges of
AugLy, a library of the same authors. Its ends are harsh: at full brightness nothing is left to see, and a contrast
below zero inverts.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from deepfake.media.encode import Encoding
from deepfake.synthesis.perturbations.color import LUMA, from_ycbcr, to_bytes, to_ycbcr
from deepfake.synthesis.perturbations.kinds import FrameFunction, framewise, mixture, videowise

AUGMENTERS = {
    "dfdc-blur": "random",
    "dfdc-brightness": "random",
    "dfdc-contrast": "random",
    "dfdc-fps": "random",
    "dfdc-grayscale": "on",
    "dfdc-hflip": "on",
    "dfdc-silent": "on",
    "dfdc-noise": "random",
    "dfdc-quality": "random",
    "dfdc-resolution": "half",
    "dfdc-rotation": "random",
}
"""Name -> level."""

DISTRACTORS = {"dfdc-text": "random", "dfdc-shapes": "random", "dfdc-dots": "random", "dfdc-images": "random"}

AUGMENTED, DISTRACTED = 0.7, 0.3
"""The shares of videos."""

_MIDDLE = 127.5
_AUGLY_CRF = 23
_WITHOUT = {"on": None}


@mixture("dfdc", {"draw": None})
def dfdc(_: None, video: np.random.Generator) -> Sequence[tuple[str, str]]:
    """One augmenter for 70 % of the videos, one distractor for 30 %, as for DFDC's test set."""
    is_augmented, is_distracted = video.random(2) < (AUGMENTED, DISTRACTED)
    names = (str(video.choice(list(AUGMENTERS))), str(video.choice(list(DISTRACTORS))))
    augmenter = [(names[0], AUGMENTERS[names[0]])] if is_augmented else []
    return augmenter + ([(names[1], DISTRACTORS[names[1]])] if is_distracted else [])


@framewise("dfdc-blur", {"random": (0.0, 10.0)})
def blur(sigmas: tuple[float, float], video: np.random.Generator) -> FrameFunction:
    """Gaussian blur with a sigma of 0 to 10 pixels (DFDC, AugLy's range)."""
    sigma = video.uniform(*sigmas)
    return lambda image, _: cv2.GaussianBlur(image, (0, 0), max(sigma, 0.01))


@framewise("dfdc-brightness", {"random": (-1.0, 1.0)})
def brightness(shifts: tuple[float, float], video: np.random.Generator) -> FrameFunction:
    """Brightness: -1 to 1 times the full range added to all pixels (DFDC, AugLy's range)."""
    shift = np.float32(255 * video.uniform(*shifts))
    return lambda image, _: to_bytes(image + shift)


@framewise("dfdc-contrast", {"random": (-5.0, 5.0)})
def contrast(factors: tuple[float, float], video: np.random.Generator) -> FrameFunction:
    """Contrast: luma around its middle times -5 to 5; chroma stays (DFDC, AugLy's range)."""
    factor = np.float32(video.uniform(*factors))

    def apply(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        luma = (image @ LUMA)[..., None]
        return to_bytes(image + ((luma - _MIDDLE) * factor + _MIDDLE).clip(0, 255) - luma)

    return apply


@videowise("dfdc-fps", {"random": (5.0, 30.0)})
def frame_rate(rates: tuple[float, float], video: np.random.Generator) -> Sequence[Encoding]:
    """At most 5 to 30 frames a second, encoded by ffmpeg's default as AugLy does (DFDC, AugLy's range)."""
    return [Encoding(_AUGLY_CRF, fps=round(video.uniform(*rates), 2))]


@framewise("dfdc-grayscale", _WITHOUT)
def grayscale(_: None, video: np.random.Generator) -> FrameFunction:
    """Luma alone (DFDC)."""
    return lambda image, _: to_bytes(np.repeat((image @ LUMA)[..., None], 3, 2))


@framewise("dfdc-hflip", _WITHOUT)
def mirror(_: None, video: np.random.Generator) -> FrameFunction:
    """Left and right exchanged (DFDC)."""
    return lambda image, _: np.ascontiguousarray(image[:, ::-1])


@videowise("dfdc-silent", _WITHOUT, keeps_sound=False)
def silence(_: None, video: np.random.Generator) -> Sequence[Encoding]:
    """The sound removed (DFDC); its frames stay as they are."""
    return []


@framewise("dfdc-noise", {"random": (0.0, 50.0)})
def noise(strengths: tuple[float, float], video: np.random.Generator) -> FrameFunction:
    """Gaussian noise on luma and chroma, anew in each frame, of strength 0 to 50 (DFDC, AugLy's range).

    A strength is ffmpeg's, whose noise filter AugLy uses: the square root of 3 times the standard deviation in bytes.
    """
    deviation = np.float32(video.uniform(*strengths) / np.sqrt(3))

    def apply(image: np.ndarray, frame: np.random.Generator) -> np.ndarray:
        return to_bytes(from_ycbcr(to_ycbcr(image) + deviation * frame.standard_normal(image.shape, np.float32)))

    return apply


@videowise("dfdc-quality", {"random": (10, 40)})
def quality(crfs: tuple[int, int], video: np.random.Generator) -> Sequence[Encoding]:
    """H.264 at a constant rate factor of 10 to 40 (DFDC's encoding quality, AugLy's range)."""
    return [Encoding(int(video.integers(*crfs, endpoint=True)))]


@framewise("dfdc-resolution", {"half": 0.5})
def resolution(scale: float, video: np.random.Generator) -> FrameFunction:
    """Frames of half the width and height, which stay so small (DFDC, AugLy's default)."""

    def apply(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        # Even sizes, as most encoders need them.
        height, width = (max(round(side * scale / 2) * 2, 2) for side in image.shape[:2])
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)

    return apply


@framewise("dfdc-rotation", {"random": (0.0, 180.0)})
def rotation(angles: tuple[float, float], video: np.random.Generator) -> FrameFunction:
    """Turned by 0 to 180 degrees within the frame, which is black beside it (DFDC, AugLy's range)."""
    angle = video.uniform(*angles)

    def apply(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -angle, 1)
        return cv2.warpAffine(image, matrix, (width, height))

    return apply
