"""What a network is judged by at each owner: log loss, area under the ROC curve and accuracy over videos.

The signatures are substrafl's; the figures are those of training's validation (`deepfake.scoring.metrics`).
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from deepfake.scoring.metrics import VideoMetrics, video_metrics
from federated.samples.samples import OwnerData


def log_loss(data_from_opener: OwnerData, predictions: pd.DataFrame) -> float:
    """Of videos, whose score is the mean of their crops'; DFDC's metric."""
    return evaluate(data_from_opener, predictions).log_loss


def auc(data_from_opener: OwnerData, predictions: pd.DataFrame) -> float:
    """Area under the ROC curve over videos."""
    return evaluate(data_from_opener, predictions).auc


def accuracy(data_from_opener: OwnerData, predictions: pd.DataFrame) -> float:
    """Share of the videos on the right side of 0.5."""
    return evaluate(data_from_opener, predictions).accuracy


Metric = Callable[[OwnerData, pd.DataFrame], float]

METRICS: dict[str, Metric] = {"log_loss": log_loss, "auc": auc, "accuracy": accuracy}


def evaluate(data: OwnerData, predictions: pd.DataFrame) -> VideoMetrics:
    """All figures of an owner's samples and of scores of their crops (`federated.owner.predictions`).

    Raises:
        ValueError: a score of a crop that is not in the samples or has two, a video without any, or one class only.
    """
    labels = data.table.set_index(["video", "file"])["label"]
    scored = predictions.set_index(["video", "file"])["score"]
    if scored.index.has_duplicates:
        raise ValueError(f"{data.owner}: two scores for a crop")
    if len(strange := scored.index.difference(labels.index)):
        raise ValueError(f"{data.owner}: a score of {'/'.join(strange[0])}, which is not in the samples")
    videos = scored.index.get_level_values("video")
    if missing := sorted(set(data.table["video"]) - set(videos)):
        raise ValueError(f"{data.owner}: no score for {len(missing)} videos ({', '.join(missing[:5])})")
    return video_metrics(videos.to_numpy(), labels[scored.index].to_numpy(), scored.to_numpy())
