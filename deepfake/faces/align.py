"""Five-point similarity alignment: moves a face so that its landmarks lie on a template's.

Landmarks are (5, 2): left eye, right eye, nose, left and right mouth corner as seen in the picture, x and y in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from deepfake.faces.boxes import Face

TEMPLATE_SIZE = 320
"""Side of the square picture that `TEMPLATE` is given for (second place)."""

TEMPLATE = np.array([[122.5, 141.25], [197.5, 141.25], [160.0, 178.75], [137.5, 225.25], [182.5, 225.25]])
"""Where the second place's recipe puts the five landmarks, in pixels of a `TEMPLATE_SIZE` square."""


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, uniform scale and shift that move `source` onto `target` with the least squared error.

    Method: Umeyama, Least-squares estimation of transformation parameters between two point patterns, 1991.

    Args:
        source: (n, 2) points, n > 1.
        target: (n, 2) points.

    Returns:
        (2, 3) float64 matrix M with target = M @ (x, y, 1).

    Raises:
        ValueError: the shapes differ from these, or the source points coincide: no scale follows from them.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2 or len(source) < 2:
        raise ValueError(f"points of shapes {source.shape} and {target.shape}: expected (n, 2) twice, n > 1")
    source_mean, target_mean = source.mean(0), target.mean(0)
    source_centred, target_centred = source - source_mean, target - target_mean
    variance = (source_centred**2).sum()
    if variance < np.finfo(np.float64).eps:
        raise ValueError("the points coincide; expected landmarks of a face")
    u, singular, v = np.linalg.svd(target_centred.T @ source_centred)
    # A face is never mirrored: where a reflection would fit better, the smaller axis is turned instead.
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    linear = (u * signs) @ v * (singular @ signs / variance)
    return np.column_stack([linear, target_mean - linear @ source_mean])


def transform_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(n, 2) points moved by a (2, 3) matrix, float64."""
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def alignment(landmarks: np.ndarray, size: int = TEMPLATE_SIZE) -> np.ndarray:
    """The (2, 3) matrix that moves a picture with (5, 2) `landmarks` onto the template's square of `size` pixels."""
    return similarity(landmarks, TEMPLATE * (size / TEMPLATE_SIZE))


def align_face(image: np.ndarray, landmarks: np.ndarray, size: int = TEMPLATE_SIZE) -> np.ndarray:
    """The face of (5, 2) `landmarks`, upright on a (size, size, C) square; bilinear, black past the edge."""
    matrix = alignment(landmarks, size)
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def whole_landmarks(face: Face) -> np.ndarray:
    """A face's landmarks truncated to whole pixels (second place), (5, 2) int; (0,) without any."""
    return np.array(face.landmarks or ()).astype(int)


def largest_face(faces: Sequence[Face]) -> Face | None:
    """The largest face that can be aligned; None if there is none with landmarks, or theirs coincide."""
    return next((face for face in sorted(faces, key=lambda face: -face.area) if _can_be_aligned(face)), None)


def align_largest(
    image: np.ndarray, faces: Sequence[Face], size: int = TEMPLATE_SIZE
) -> tuple[Face, np.ndarray] | None:
    """The `largest_face` of a frame and its aligned picture, (size, size, C); None if there is none.

    The landmarks are `whole_landmarks`.

    Args:
        image: the frame, (H, W, C) uint8.
        faces: its faces in its pixels, in any order.
    """
    face = largest_face(faces)
    return None if face is None else (face, align_face(image, whole_landmarks(face), size))


def _can_be_aligned(face: Face) -> bool:
    points = whole_landmarks(face)
    return len(points) == len(TEMPLATE) and bool(np.ptp(points, axis=0).any())
