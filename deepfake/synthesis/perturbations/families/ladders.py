"""Ladders of severity by which papers draw curves: JPEG quality, Gaussian blur, resizing."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from deepfake.synthesis.perturbations.kinds import FrameFunction, framewise, named

RESAMPLINGS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
"""Pillow's six interpolations."""

BLURS = {"5": (5, 0.5), "7": (7, 1.0), "11": (11, 1.5), "13": (13, 2.0), "19": (19, 3.0)}
"""Kernel and sigma in pixels."""


@framewise("jpeg", named(100, 80, 60, 40, 20, 10))
def jpeg(quality: int, video: np.random.Generator) -> FrameFunction:
    """JPEG at the level's quality, each frame by itself (a ladder of papers)."""

    def apply(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None, "what was just encoded"
        return np.ascontiguousarray(decoded[..., ::-1])

    return apply


@framewise("blur", BLURS)
def blur(kernel_and_sigma: tuple[int, float], video: np.random.Generator) -> FrameFunction:
    """Gaussian blur; the level names the kernel's pixels, with sigma 0.5, 1, 1.5, 2 and 3 (a ladder of papers)."""
    kernel, sigma = kernel_and_sigma
    return lambda image, _: cv2.GaussianBlur(image, (kernel, kernel), sigma)


def _register_resizing(name: str, resampling: Image.Resampling) -> None:
    @framewise(f"resize-{name}", named(224, 112, 64))
    def resize(side: int, video: np.random.Generator) -> FrameFunction:
        """The shorter side reduced to the level's pixels, and enlarged again (a ladder of papers).

        Papers do so to finished face crops. Here whole frames come back in their own size, so that faces in them stay
        where they are; frames that are smaller stay as they are.
        """

        def apply(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
            height, width = image.shape[:2]
            scale = side / min(height, width)
            if scale >= 1:
                return image
            small = Image.fromarray(image).resize((round(width * scale), round(height * scale)), resampling)
            return np.asarray(small.resize((width, height), resampling))

        return apply


for _name, _resampling in RESAMPLINGS.items():
    _register_resizing(_name, _resampling)
