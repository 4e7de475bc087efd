"""Encoding again: four codecs at quality steps, fewer frames a second, and what platforms do to uploads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepfake.media.encode import NEARLY_LOSSLESS, Encoding
from deepfake.synthesis.perturbations.kinds import named, videowise

PLATFORM_SIDE = 720
"""Pixels of the shorter side to which platforms reduce what is larger."""


@videowise("h264", named(18, 23, 28, 33, 40))
def h264(crf: int, video: np.random.Generator) -> Sequence[Encoding]:
    """H.264 at the level's constant rate factor; FaceForensics++'s c23 and c40 are 23 and 40."""
    return [Encoding(crf)]


@videowise("h265", named(18, 23, 28, 33, 40))
def h265(crf: int, video: np.random.Generator) -> Sequence[Encoding]:
    """H.265 by x265 at the level's constant rate factor (a ladder; 28 is the encoder's default)."""
    return [Encoding(crf, "h265")]


@videowise("vp9", named(20, 31, 40, 50, 60))
def vp9(crf: int, video: np.random.Generator) -> Sequence[Encoding]:
    """VP9 by libvpx at the level's constant quality, of 0 to 63 (a ladder; 31 is its authors' advice for 1080p)."""
    return [Encoding(crf, "vp9")]


@videowise("av1", named(23, 35, 43, 53, 63))
def av1(crf: int, video: np.random.Generator) -> Sequence[Encoding]:
    """AV1 by SVT-AV1 at the level's constant rate factor, of 1 to 63 (a ladder; 35 is the encoder's default)."""
    return [Encoding(crf, "av1")]


@videowise("fps", named(24, 15, 10, 5))
def frame_rate(fps: int, video: np.random.Generator) -> Sequence[Encoding]:
    """At most the level's frames a second: others are left out, none is doubled (a ladder in AugLy's range)."""
    return [Encoding(NEARLY_LOSSLESS, fps=fps)]


@videowise("social", named(23, 28, 33))
def social(crf: int, video: np.random.Generator) -> Sequence[Encoding]:
    """What a platform does to an upload that is shared once more: H.264 twice, the shorter side at most 720 pixels."""
    return [Encoding(crf, short_side=PLATFORM_SIDE)] * 2
