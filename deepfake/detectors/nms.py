"""Non-maximum suppression, for every detector."""

from __future__ import annotations

import numpy as np


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
    edge = 1.0 if smaller_area else 0.0
    x1, y1, x2, y2 = (boxes[:, i].astype(np.float32) for i in range(4))
    areas = (x2 - x1 + edge) * (y2 - y1 + edge)
    # Of equal scores (two boxes cut out to one patch) the published last stage prefers the later box.
    order = np.argsort(scores, kind="stable")[::-1] if smaller_area else np.argsort(-scores, kind="stable")
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        width = np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest]) + edge
        height = np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest]) + edge
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        whole = np.minimum(areas[best], areas[rest]) if smaller_area else areas[best] + areas[rest] - shared
        order = rest[shared <= threshold * whole]
    return np.array(kept, dtype=np.int64)
