"""First place's "hardcore" occlusions: parts of a face are blacked out, so that no single clue is enough.

Pictures are (H, W, 3) uint8 and changed in place; landmarks are (5, 2) integers, x and y in the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from deepfake.faces.landmarks import LEFT_EYE, MOUTH_LEFT, MOUTH_RIGHT, NOSE, RIGHT_EYE

P_LANDMARK = 0.7
P_HALF_FACE = 0.2
P_HALF_IMAGE = 0.1

LINE_THICKNESS = 2
EYES_DILATION = 4
"""The eyes' and the nose's line is dilated by the eyes' distance over this."""
MOUTH_DILATION = 3

CHANGED = 102
"""A mask pixel above (0.4 of 255) is clearly changed."""
MIN_VISIBLE_CHANGED = 20
HALF_IMAGE_TRIES = 5

# The face as an ellipse about the axis through the eyes' and the mouth's midpoints, in units of their distance. A
# face's five points give no outline; these are the rough proportions of an adult's face: brows a third of that
# distance above the eyes, chin 0.8 below the mouth, cheeks 1.1 beside the axis.
_TOP, _BOTTOM, _HALF_WIDTH = -0.35, 1.8, 1.1
_OUTLINE_POINTS = 32


@dataclass(frozen=True)
class Occlusion:
    """What was blacked out.

    Attributes:
        kind: "eyes", "mouth", "nose", "half face" or "half picture"; empty for nothing.
        visible: (H, W) uint8 of 0 and 1, what a half picture left visible; None for the other kinds.
    """

    kind: str = ""
    visible: np.ndarray | None = None


def occlude(
    image: np.ndarray,
    is_fake: bool,
    points: np.ndarray | None,
    read_mask: Callable[[], np.ndarray],
    rng: np.random.Generator,
) -> Occlusion:
    """Applies one of the occlusions, or none, to `image` in place.

    Args:
        points: the landmarks, None where there are none.
        read_mask: gives the (H, W) uint8 difference mask; called only if it is needed.
    """
    if points is not None and rng.random() < P_LANDMARK:
        return Occlusion(remove_landmark(image, points, rng))
    if rng.random() < P_HALF_FACE:
        if points is not None and black_out_half_face(image, points, rng):
            return Occlusion("half face")
    elif rng.random() < P_HALF_IMAGE:
        visible = black_out_half_image(image, is_fake, read_mask, rng)
        return Occlusion() if visible is None else Occlusion("half picture", visible)
    return Occlusion()


def remove_landmark(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> str:
    """Blacks out the eyes (1/2), else the mouth (1/2), else the nose (1/2), else nothing; says which."""
    eyes = points[[LEFT_EYE, RIGHT_EYE]]
    eye_distance = _distance(*eyes)
    if rng.random() < 0.5:
        _black_out_line(image, eyes[0], eyes[1], int(eye_distance // EYES_DILATION))
        return "eyes"
    if rng.random() < 0.5:
        left, right = points[MOUTH_LEFT], points[MOUTH_RIGHT]
        _black_out_line(image, left, right, int(_distance(left, right) // MOUTH_DILATION))
        return "mouth"
    if rng.random() < 0.5:
        between = eyes.astype(int).sum(axis=0) // 2
        _black_out_line(image, points[NOSE], between, int(eye_distance // EYES_DILATION))
        return "nose"
    return ""


def face_outline(points: np.ndarray) -> np.ndarray:
    """A convex outline of the face from its five points: (32, 2) int32, x and y; may reach over the picture."""
    at = points.astype(np.float32)
    eyes = (at[LEFT_EYE] + at[RIGHT_EYE]) / 2
    down = (at[MOUTH_LEFT] + at[MOUTH_RIGHT]) / 2 - eyes
    across = np.array([-down[1], down[0]], np.float32)
    center = eyes + down * (_TOP + _BOTTOM) / 2
    angle = np.linspace(0, 2 * np.pi, _OUTLINE_POINTS, endpoint=False, dtype=np.float32)[:, None]
    outline = center + np.cos(angle) * across * _HALF_WIDTH + np.sin(angle) * down * (_BOTTOM - _TOP) / 2
    return np.rint(outline).astype(np.int32)


def black_out_half_face(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> bool:
    """Blacks out one half of the face's outline, cut through its centroid, horizontally or vertically.

    Returns:
        False if the outline lies outside of the picture, which is left alone.
    """
    inside = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(face_outline(points)), 1)
    moments = cv2.moments(inside, binaryImage=True)
    if moments["m00"] == 0:
        return False
    x, y = int(moments["m10"] / moments["m00"]), int(moments["m01"] / moments["m00"])
    first = rng.random() < 0.5
    if rng.random() < 0.5:
        inside[slice(None, y) if first else slice(y, None)] = 0
    else:
        inside[:, slice(None, x) if first else slice(x, None)] = 0
    image[inside > 0] = 0
    return True


def black_out_half_image(
    image: np.ndarray, is_fake: bool, read_mask: Callable[[], np.ndarray], rng: np.random.Generator
) -> np.ndarray | None:
    """Blacks out a half or two opposite quadrants; of a fake, only where enough changed pixels stay visible.

    Returns:
        (H, W) uint8, 1 where the picture stays visible; None if no try left enough of a fake.
    """
    changed = read_mask() > CHANGED if is_fake else None
    for _ in range(HALF_IMAGE_TRIES):
        visible = _half_mask(image.shape[0], image.shape[1], int(rng.integers(6)))
        if changed is None or np.count_nonzero(changed & (visible > 0)) > MIN_VISIBLE_CHANGED:
            image *= visible[..., None]
            return visible
    return None


def _half_mask(height: int, width: int, kind: int) -> np.ndarray:
    """One of six (H, W) masks: 1 in the bottom, top, right or left half, or in either diagonal pair of quadrants."""
    y, x = height // 2, width // 2
    pairs: list[list[tuple[slice, slice]]] = [
        [(slice(None, y), slice(None))],
        [(slice(y, None), slice(None))],
        [(slice(None), slice(None, x))],
        [(slice(None), slice(x, None))],
        [(slice(None, y), slice(None, x)), (slice(y, None), slice(x, None))],
        [(slice(None, y), slice(x, None)), (slice(y, None), slice(None, x))],
    ]
    visible = np.ones((height, width), np.uint8)
    for part in pairs[kind]:
        visible[part] = 0
    return visible


def _black_out_line(image: np.ndarray, start: np.ndarray, end: np.ndarray, dilation: int) -> None:
    ends = np.array([start, end], int)
    # Only what the line can reach: dilating a mask of the whole picture takes longer than decoding it.
    reach = dilation + LINE_THICKNESS
    left, top = np.clip(ends.min(axis=0) - reach, 0, None)
    right, bottom = np.clip(ends.max(axis=0) + reach + 1, 0, None)
    part = image[top:bottom, left:right]
    if part.size == 0:
        return
    line: np.ndarray = np.zeros(part.shape[:2], np.uint8)
    (x1, y1), (x2, y2) = (ends - (left, top)).tolist()
    cv2.line(line, (x1, y1), (x2, y2), 1, LINE_THICKNESS)
    if dilation > 0:
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        line = cv2.dilate(line, cross, iterations=dilation)
    part[line > 0] = 0


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    # int16 coordinates of large crops would overflow when squared.
    return float(np.hypot(*(first.astype(np.float64) - second.astype(np.float64))))
