"""Non-maximum suppression, for every detector."""

from __future__ import annotations

import numpy as np

BEST_AT_ONCE = 64
"""Boxes compared with all others at a time: far fewer calls than one by one, and memory stays small."""


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float, smaller_area: bool = False) -> np.ndarray:
    """Greedy non-maximum suppression.

    Args:
        boxes: (n, 4) as x1, y1, x2, y2.
        scores: (n,).
        threshold: a box that overlaps a better one by more is dropped.
        smaller_area: overlap is measured against the smaller box, counting edge pixels as MTCNN's last stage does,
            instead of intersection over union.

    Returns:
        Indices of the kept boxes, best first.
    """
    if len(boxes) < 2:
        return np.arange(len(boxes))
    edge = 1.0 if smaller_area else 0.0
    x1, y1, x2, y2 = (boxes[:, i].astype(np.float32) for i in range(4))
    areas = (x2 - x1 + edge) * (y2 - y1 + edge)
    # Of equal scores (two boxes cut out to one patch) the published last stage prefers the later box.
    order = np.argsort(scores, kind="stable")[::-1] if smaller_area else np.argsort(-scores, kind="stable")
    kept: list[np.ndarray] = [np.empty(0, np.int64)]
    while order.size:
        best = order[:BEST_AT_ONCE]
        b, o = best[:, None], order
        width = np.minimum(x2[b], x2[o]) - np.maximum(x1[b], x1[o]) + edge
        height = np.minimum(y2[b], y2[o]) - np.maximum(y1[b], y1[o]) + edge
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        whole = np.minimum(areas[b], areas[o]) if smaller_area else areas[b] + areas[o] - shared
        stays = _survivors(shared > threshold * whole)
        kept.append(best[stays[: len(best)]])
        order = order[len(best) :][stays[len(best) :]]
    return np.concatenate(kept)


def _survivors(overlaps: np.ndarray) -> np.ndarray:
    """(n,) whether each box stays; `overlaps` (m, n) tells which of them each of the m best overlaps too much."""
    stays = np.ones(overlaps.shape[1], bool)
    for i, dropped in enumerate(overlaps):
        if stays[i]:
            stays[i + 1 :] &= ~dropped[i + 1 :]
    return stays
