"""How well probabilities of being fake tell fakes from reals: log loss, area under the ROC curve, accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

LOG_LOSS_EPS = 1e-15
"""Validation clips probabilities to [eps, 1 - eps], as sklearn once did; a sure mistake costs 34.5."""
DECISION = 0.5


def log_losses(labels: np.ndarray, probabilities: np.ndarray, clip: float) -> np.ndarray:
    """Return -log of the probability that was given to each label, (n,) float64.

    Args:
        labels: (n,) 0 real or 1 fake.
        probabilities: (n,) of being fake, 0..1.
        clip: probabilities count as no nearer to 0 or 1 than this.
    """
    given = np.where(labels > DECISION, probabilities, 1 - probabilities)
    return -np.log(given.clip(clip, 1 - clip))


def roc_auc(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the area under the ROC curve: the share of (fake, real) pairs in the right order, ties half.

    sklearn computes the same, but its import takes a second, in each process of a training.

    Args:
        labels: (n,) 0 or 1; both are there, or numpy warns and the area is NaN.
        probabilities: (n,) of being fake.
        weights: (n,) how often each counts; None for once.
    """
    values, at = np.unique(probabilities, return_inverse=True)
    counts = np.ones(len(at)) if weights is None else weights
    fakes = np.bincount(at, counts * (labels > DECISION), len(values))
    reals = np.bincount(at, counts * (labels <= DECISION), len(values))
    below = np.cumsum(reals) - reals / 2  # reals with a lower probability, and half of those with the same
    return float(fakes @ below / (fakes.sum() * reals.sum()))


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
    """Return metrics of frames: `videos`, `labels` (0 or 1) and `probabilities` of being fake, each (n,).

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
    """Return figures of (n,) probabilities of being fake; some are fake, and some are not."""
    losses = log_losses(is_fake, scores, LOG_LOSS_EPS)
    return _Figures(
        fake_loss=float(losses[is_fake].mean()),
        real_loss=float(losses[~is_fake].mean()),
        log_loss=float(losses.mean()),
        auc=roc_auc(is_fake, scores),
        accuracy=float(((scores > DECISION) == is_fake).mean()),
    )
