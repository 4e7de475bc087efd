"""Classical face swap: similarity warp by five points, colors matched, Poisson blending under a feathered mask.

Blending: Perez, Gangnet, Blake, Poisson image editing, 2003. Colors: Reinhard et al., Color transfer between images,
2001 (mean and deviation per channel in Lab).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.fft import dstn, idstn

from deepfake.faces.align import TEMPLATE, similarity, transform_points
from deepfake.faces.boxes import Face, crop_window
from deepfake.faces.detectors import FaceDetector
from deepfake.media.encode import write_video
from deepfake.media.video import LIMITS, Frame, ReadLimits, iter_every, iter_spread, probe

SOURCE_FRAMES = 16
"""Frames of the source that its faces are taken from: bounds memory, and gives several poses to choose from."""

FRAMES_AT_ONCE = 4
"""Frames of the target that are held and detected together."""

FEATHER = 0.12
"""Width of the mask's soft edge, in distances between the eyes' centres."""

_MIN_PIXELS = 64
"""A mask of fewer pixels is not worth blending; Poisson's equation needs an inside."""

# Brows, cheeks and chin of a frontal face whose five points are the template's: what a swap replaces.
FACE_OUTLINE = np.array(
    [
        *[(108.0, 118.0), (135.0, 106.0), (160.0, 110.0), (185.0, 106.0), (212.0, 118.0)],
        *[(220.0, 150.0), (217.0, 190.0), (206.0, 228.0), (186.0, 254.0), (160.0, 264.0)],
        *[(134.0, 254.0), (114.0, 228.0), (103.0, 190.0), (100.0, 150.0)],
    ]
)
"""Convex outline of a face, (n, 2) in pixels of the alignment template."""


class NoFaceError(ValueError):
    """A video shows no face; the message names it."""


@dataclass(frozen=True)
class FacePicture:
    """A face to put elsewhere: an (H, W, 3) uint8 RGB picture around it and its (5, 2) landmarks in that picture."""

    image: np.ndarray
    landmarks: np.ndarray


def swap_face(image: np.ndarray, landmarks: np.ndarray, source: FacePicture) -> np.ndarray:
    """Puts a face onto the one in `image`.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (5, 2) of the face to be replaced.
        source: the face that replaces it.

    Returns:
        A changed copy; equal to `image` outside of the face's outline. An unchanged copy if the outline covers next
        to nothing of the picture.
    """
    result = image.copy()
    outline = transform_points(FACE_OUTLINE, similarity(TEMPLATE, landmarks))
    left, top, right, bottom = _window(outline, *image.shape[:2])
    if right - left < 3 or bottom - top < 3:
        return result
    window = result[top:bottom, left:right]
    corner = np.array([left, top])
    matrix = similarity(source.landmarks, landmarks - corner)
    size = (right - left, bottom - top)
    face = cv2.warpAffine(source.image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    mask = _outline_mask(outline - corner, size)
    if (mask > 0).sum() < _MIN_PIXELS:
        return result
    blended = _poisson_blend(_match_colors(face, window, mask), window, mask)
    soft = _feathered(mask, FEATHER * float(np.hypot(*(landmarks[1] - landmarks[0]))))[..., None]
    window[:] = np.rint(soft * blended + (1 - soft) * window).astype(np.uint8)
    return result


def swap_video(
    target: Path, source: Path, output: Path, detector: FaceDetector, crf: int = 20, limits: ReadLimits = LIMITS
) -> int:
    """Writes `target` with the largest face of each frame replaced by the face of `source`.

    Size, frame rate and number of frames stay; frames without a face pass unchanged; sound is not kept. Of the
    source's faces the one whose landmarks fit best is taken for each frame.

    Returns:
        The number of frames in which a face was replaced.

    Raises:
        NoFaceError: no frame of one of them shows a face.
        VideoError: one of them cannot be read.
        EncodeError: the output cannot be written.
    """
    faces = source_faces(source, detector, limits=limits)
    swapped = 0

    def pictures() -> Iterator[np.ndarray]:
        nonlocal swapped
        for frame, points in _with_landmarks(target, detector, limits):
            if points is None:
                yield frame.image
            else:
                swapped += 1
                yield swap_face(frame.image, points, best_fit(faces, points))
        if swapped == 0:
            raise NoFaceError(f"{target}: no face found in any frame; nothing to replace")

    write_video(output, pictures(), probe(target, limits).fps, crf)
    return swapped


def source_faces(
    path: Path, detector: FaceDetector, count: int = SOURCE_FRAMES, limits: ReadLimits = LIMITS
) -> list[FacePicture]:
    """The largest faces of at most `count` frames spread over a video.

    Raises:
        NoFaceError: none of these frames shows a face.
        VideoError: the video cannot be read.
    """
    found = []
    for frame in iter_spread(path, count, limits=limits):
        face = _largest(detector.detect([frame.image])[0])
        if face is not None and face.landmarks is not None:
            left, top, right, bottom = crop_window(face.box, *frame.image.shape[:2])
            picture = frame.image[top:bottom, left:right].copy()
            found.append(FacePicture(picture, np.array(face.landmarks) - [left, top]))
    if not found:
        raise NoFaceError(f"{path}: no face found in {count} frames spread over the video; nothing to take a face from")
    return found


def best_fit(faces: Sequence[FacePicture], landmarks: np.ndarray) -> FacePicture:
    """The face whose landmarks, aligned to (5, 2) `landmarks`, lie nearest to them: the nearest pose."""

    def error(face: FacePicture) -> float:
        moved = transform_points(face.landmarks, similarity(face.landmarks, landmarks))
        return float(((moved - landmarks) ** 2).sum())

    return min(faces, key=error)


def _with_landmarks(
    path: Path, detector: FaceDetector, limits: ReadLimits
) -> Iterator[tuple[Frame, np.ndarray | None]]:
    """Every frame of a video with the (5, 2) landmarks of its largest face, None without one."""
    batch: list[Frame] = []

    def flush() -> Iterator[tuple[Frame, np.ndarray | None]]:
        for frame, faces in zip(batch, detector.detect([frame.image for frame in batch])):
            face = _largest(faces)
            yield frame, None if face is None or face.landmarks is None else np.array(face.landmarks)
        batch.clear()

    for frame in iter_every(path, 1, limits=limits):
        batch.append(frame)
        if len(batch) == FRAMES_AT_ONCE:
            yield from flush()
    if batch:
        yield from flush()


def _largest(faces: Sequence[Face]) -> Face | None:
    return faces[0] if faces else None


def _window(outline: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 of the outline's bounding box with a pixel around it, clipped to the picture."""
    left, top = np.floor(outline.min(0)).astype(int) - 1
    right, bottom = np.ceil(outline.max(0)).astype(int) + 2
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def _outline_mask(outline: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 mask, 255 inside the outline. The outermost pixels stay 0: blending takes its colors from them."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(outline).astype(np.int32), 255)
    mask[[0, -1]] = 0
    mask[:, [0, -1]] = 0
    return mask


def _match_colors(face: np.ndarray, window: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`face` with the mean and deviation of `window` per Lab channel, both measured under the mask."""
    inside = mask > 0
    source = cv2.cvtColor(face, cv2.COLOR_RGB2LAB).astype(np.float32)
    target = cv2.cvtColor(window, cv2.COLOR_RGB2LAB)[inside].astype(np.float32)
    pixels = source[inside]
    gain = target.std(0) / np.maximum(pixels.std(0), 1.0)
    matched = (source - pixels.mean(0)) * gain + target.mean(0)
    return cv2.cvtColor(np.clip(np.rint(matched), 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)


def _poisson_blend(face: np.ndarray, window: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The gradients of `face` under the mask, those of `window` elsewhere, the colors of `window` at the border.

    Solves Poisson's equation on the whole rectangle, where the sine transform diagonalises the Laplacian. Not OpenCV's
    seamlessClone: 5.0 returns the target unchanged for some memory layouts.

    Returns:
        (H, W, 3) float32, 0..255.
    """
    source, target = face.astype(np.float32), window.astype(np.float32)
    inside = (mask > 0)[..., None]
    divergence = np.zeros_like(target)
    for axis in (0, 1):
        # The step between two neighbors is the face's where both lie under the mask.
        both = np.logical_and(*_neighbors(inside, axis))
        step = np.where(both, np.diff(source, axis=axis), np.diff(target, axis=axis))
        low, high = _neighbors(divergence, axis)
        low += step
        high -= step
    # With the window as the first guess the border's values are 0, as the sine transform wants them.
    residual = (divergence - _laplacian(target))[1:-1, 1:-1]
    spectrum = dstn(residual, type=1, axes=(0, 1)) / _laplacian_eigenvalues(*residual.shape[:2])
    blended = target.copy()
    blended[1:-1, 1:-1] += idstn(spectrum, type=1, axes=(0, 1))
    return np.clip(blended, 0, 255)


def _neighbors(array: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Views on all elements but the last, and all but the first, along an axis."""
    return (array[:-1], array[1:]) if axis == 0 else (array[:, :-1], array[:, 1:])


def _laplacian(image: np.ndarray) -> np.ndarray:
    """Five-point Laplacian of (H, W, C); its outermost pixels mean nothing."""
    return cv2.Laplacian(image, cv2.CV_32F, ksize=1)


def _laplacian_eigenvalues(height: int, width: int) -> np.ndarray:
    """(height, width, 1) eigenvalues of the five-point Laplacian with zeros around, in sine transform order."""
    rows, columns = (2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1)) - 2 for n in (height, width))
    return (rows[:, None] + columns[None, :]).astype(np.float32)[..., None]


def _feathered(mask: np.ndarray, width: float) -> np.ndarray:
    """(H, W) float32 weights: 0 outside of the mask and at its edge, 1 from `width` pixels inwards."""
    return np.minimum(cv2.distanceTransform(mask, cv2.DIST_L2, 5) / max(width, 1.0), 1.0)
