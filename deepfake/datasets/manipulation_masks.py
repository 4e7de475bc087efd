"""Masks of the manipulated pixels that data sets bring along: which faces they mean, and their parts on crops.

A mask is (H, W) uint8, 0 where nothing was manipulated. It belongs to the frame of the same index.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from deepfake.faces.boxes import NO_MARGIN, Face, crop_face
from deepfake.media.video import LIMITS, Frame, ReadLimits, iter_frames

MASK_SOURCES = (SSIM, DATASET) = ("ssim", "dataset")
"""Where the masks of fake crops come from: compared with the original's crops, or the data set's own."""

_SHARE = 0.5
"""Faces that are covered this much of what the most covered one is are manipulated, too."""


def iter_masks(
    masks: Path | None, indices: Collection[int], limits: ReadLimits = LIMITS
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the masks of some frames, as many as there are, with their indices in ascending order.

    Args:
        masks: the video or pictures that they are; None has none.

    Raises:
        VideoError: the masks cannot be read.
    """
    if masks is not None and indices:
        for frame in iter_frames(masks, indices, limits=limits):
            yield frame.index, frame.image.max(axis=2)


def with_masks(
    frames: Iterable[Frame], masks: Iterator[tuple[int, np.ndarray]]
) -> Iterator[tuple[Frame, np.ndarray | None]]:
    """Yield each frame with its mask, as large as the frame; None where it has none. Both come in ascending order."""
    index, mask = next(masks, (-1, None))
    for frame in frames:
        while mask is not None and index < frame.index:
            index, mask = next(masks, (-1, None))
        found = mask is not None and index == frame.index
        yield frame, resized(mask, frame.image.shape[:2]) if mask is not None and found else None


def manipulated(faces: Sequence[Face], mask: np.ndarray) -> frozenset[int]:
    """Return the places of the faces that a frame's mask shows as manipulated; all of them where it covers none."""
    parts = [crop_face(mask, face.box, NO_MARGIN) for face in faces]
    covered = [float(part.mean()) if part.size else 0.0 for part in parts]
    least = _SHARE * max(covered, default=0.0)
    return frozenset(place for place, cover in enumerate(covered) if cover >= least)


def resized(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return a mask in another (height, width)."""
    return mask if mask.shape == tuple(size) else cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_AREA)
