"""Two public-domain portraits that installed packages carry: faces for samples and checks, without a download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deepfake.media.images import read_image

PERSONS = ("collins", "hopper")
"""Eileen Collins and Grace Hopper, of NASA and the US Navy; scikit-image and matplotlib carry them."""


def read_portrait(person: str) -> np.ndarray:
    """The (H, W, 3) uint8 RGB portrait of one of `PERSONS`.

    Raises:
        ValueError: the package that carries it is not installed.
    """
    try:
        if person == "collins":
            from skimage import data

            return data.astronaut()
        from matplotlib import get_data_path
    except ImportError as error:
        raise ValueError(f"the portrait {person!r} comes with a package that is missing: {error}") from error
    return read_image(Path(get_data_path()) / "sample_data" / "grace_hopper.jpg")
