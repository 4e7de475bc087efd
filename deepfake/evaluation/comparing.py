"""Runs on the same videos side by side: differences with intervals from a paired bootstrap over groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from deepfake.evaluation.evaluating import Evaluation, MeasureOptions
from deepfake.scoring.detection_metrics import METRICS, point_metrics, resampled_metrics
from deepfake.scoring.reliability import CONFIDENCE, Estimate


@dataclass(frozen=True)
class Compared:
    """A run beside the first one: its values on the videos that all runs have, and differences to the first."""

    name: str
    values: dict[str, float]
    differences: dict[str, Estimate]


def compare(runs: Sequence[Evaluation], options: MeasureOptions) -> tuple[int, list[Compared]]:
    """Return how many videos all runs have, and each run compared with the first on those.

    Raises:
        ValueError: fewer than two runs, no video that all have, or one with different labels.
    """
    if len(runs) < 2:
        raise ValueError("one run alone; expected two or more to compare")
    by_id = [{video.video_id: video for video in run.videos} for run in runs]
    shared = sorted(set.intersection(*(set(videos) for videos in by_id)))
    if not shared:
        raise ValueError("the runs have no video in common")
    for video_id in shared:
        if len({(videos[video_id].label, videos[video_id].group) for videos in by_id}) > 1:
            raise ValueError(f"{video_id!r} has different labels or groups in these runs")
    samples = [
        replace(run, videos=[videos[video_id] for video_id in shared]).labeled_scores()
        for run, videos in zip(runs, by_id)
    ]
    points = [point_metrics(sample) for sample in samples]
    drawn = [resampled_metrics(sample, options.bootstrap, options.seed) for sample in samples]
    tail = (1 - CONFIDENCE) / 2
    found = []
    for run, values, resampled in zip(runs, points, drawn):
        both = [metric for metric in METRICS if metric in values and metric in points[0]]
        differences = {
            metric: Estimate(
                values[metric] - points[0][metric],
                *map(float, np.quantile(resampled[metric] - drawn[0][metric], [tail, 1 - tail])),
            )
            for metric in both
        }
        found.append(Compared(run.name, values, {} if run is runs[0] else differences))
    return len(shared), found
