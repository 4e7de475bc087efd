"""The validation metric: how well the mean of a video's frame probabilities tells fakes from reals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LOG_LOSS_EPS = 1e-15
"""Probabilities are clipped to [eps, 1 - eps]."""
DECISION = 0.5


@dataclass(frozen=True)
class VideoMetrics:
    """Figures of one validation. `fake_loss` and `real_loss` are log losses over videos; `bce`, their mean, is what
    training minimises. `auc` is the area under the ROC curve, `accuracy` that at 0.5, `videos` how many there were."""

    fake_loss: float
    real_loss: float
    auc: float
    accuracy: float
    videos: int

    @property
    def bce(self) -> float:
        return (self.fake_loss + self.real_loss) / 2


def video_metrics(videos: Sequence[str], labels: np.ndarray, probabilities: np.ndarray) -> VideoMetrics:
    """Metrics of frames: `videos`, `labels` (0 or 1) and `probabilities` of being fake, each (n,).

    Raises:
        ValueError: no fake or no real video.
    """
    names, of_frame = np.unique(np.asarray(videos), return_inverse=True)
    frames = np.bincount(of_frame, minlength=len(names))
    scores = np.bincount(of_frame, weights=np.asarray(probabilities, np.float64), minlength=len(names)) / frames
    is_fake = np.bincount(of_frame, weights=np.asarray(labels, np.float64), minlength=len(names)) / frames > DECISION
    fakes, reals = scores[is_fake], scores[~is_fake]
    if fakes.size == 0 or reals.size == 0:
        raise ValueError(f"{fakes.size} fake and {reals.size} real videos to validate with; at least one of each")
    return VideoMetrics(
        fake_loss=float(-np.log(fakes.clip(LOG_LOSS_EPS, 1 - LOG_LOSS_EPS)).mean()),
        real_loss=float(-np.log((1 - reals).clip(LOG_LOSS_EPS, 1 - LOG_LOSS_EPS)).mean()),
        auc=_auc(fakes, reals),
        accuracy=float(((scores > DECISION) == is_fake).mean()),
        videos=len(names),
    )


def _auc(fakes: np.ndarray, reals: np.ndarray) -> float:
    """The share of (fake, real) pairs in the right order, ties half (Mann and Whitney 1947)."""
    ordered = np.sort(reals)
    below = np.searchsorted(ordered, fakes, side="left") + np.searchsorted(ordered, fakes, side="right")
    return float(below.mean() / (2 * len(ordered)))
