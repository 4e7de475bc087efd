"""The validation metric: how well probabilities of being fake, by frame and by video, tell fakes from reals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

LOG_LOSS_EPS = 1e-15
"""Probabilities are clipped to [eps, 1 - eps]."""
DECISION = 0.5


@dataclass(frozen=True)
class VideoMetrics:
    """Figures of one validation. `fake_loss` and `real_loss` are log losses over videos; `bce`, their mean, is what
    training minimises; `log_loss` is that of all videos alike. `auc` is the area under the ROC curve, `accuracy` that
    at 0.5, `videos` how many there were. `frame_...` are the same over single frames."""

    fake_loss: float
    real_loss: float
    log_loss: float
    auc: float
    accuracy: float
    videos: int
    frame_log_loss: float
    frame_auc: float
    frame_accuracy: float
    frames: int

    @property
    def bce(self) -> float:
        return (self.fake_loss + self.real_loss) / 2

    def to_dict(self) -> dict[str, float]:
        """The figures without the counts."""
        return {"bce": self.bce, **{k: v for k, v in asdict(self).items() if k not in ("videos", "frames")}}


def video_metrics(videos: Sequence[str], labels: np.ndarray, probabilities: np.ndarray) -> VideoMetrics:
    """Metrics of frames: `videos`, `labels` (0 or 1) and `probabilities` of being fake, each (n,).

    Raises:
        ValueError: no fake or no real video.
    """
    labels, probabilities = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    names, of_frame = np.unique(np.asarray(videos), return_inverse=True)
    frames = np.bincount(of_frame, minlength=len(names))
    scores = np.bincount(of_frame, weights=probabilities, minlength=len(names)) / frames
    is_fake = np.bincount(of_frame, weights=labels, minlength=len(names)) / frames > DECISION
    if is_fake.all() or not is_fake.any():
        found = f"{is_fake.sum()} fake and {(~is_fake).sum()} real videos"
        raise ValueError(f"{found} to validate with; at least one of each")
    by_video, by_frame = _figures(scores, is_fake), _figures(probabilities, labels > DECISION)
    return VideoMetrics(
        fake_loss=by_video.fake_loss,
        real_loss=by_video.real_loss,
        log_loss=by_video.log_loss,
        auc=by_video.auc,
        accuracy=by_video.accuracy,
        videos=len(names),
        frame_log_loss=by_frame.log_loss,
        frame_auc=by_frame.auc,
        frame_accuracy=by_frame.accuracy,
        frames=len(probabilities),
    )


@dataclass(frozen=True)
class _Figures:
    fake_loss: float
    real_loss: float
    log_loss: float
    auc: float
    accuracy: float


def _figures(scores: np.ndarray, is_fake: np.ndarray) -> _Figures:
    """Figures of (n,) probabilities of being fake; some are fake, and some are not."""
    losses = -np.log(np.where(is_fake, scores, 1 - scores).clip(LOG_LOSS_EPS, 1 - LOG_LOSS_EPS))
    return _Figures(
        fake_loss=float(losses[is_fake].mean()),
        real_loss=float(losses[~is_fake].mean()),
        log_loss=float(losses.mean()),
        auc=_auc(scores[is_fake], scores[~is_fake]),
        accuracy=float(((scores > DECISION) == is_fake).mean()),
    )


def _auc(fakes: np.ndarray, reals: np.ndarray) -> float:
    """The share of (fake, real) pairs in the right order, ties half (Mann and Whitney 1947)."""
    ordered = np.sort(reals)
    below = np.searchsorted(ordered, fakes, side="left") + np.searchsorted(ordered, fakes, side="right")
    return float(below.mean() / (2 * len(ordered)))
