"""Runs on the same videos side by side: differences with intervals from a paired bootstrap over groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deepfake.evaluation.evaluating import Evaluation, MeasureOptions, protocol_line
from deepfake.scoring.detection_metrics import METRICS, LabeledScores, point_metrics, resampled_metrics
from deepfake.scoring.reliability import CONFIDENCE, Estimate
from deepfake.storage.schema import Count, read_json_as, write_json_as

COMPARISON_FORMAT = 1


@dataclass(frozen=True)
class ComparedRun:
    """A run beside the first one.

    Attributes:
        protocol: as in `Evaluation`.
        values: its metrics on the videos that all runs have.
        differences: of its metrics to the first run's; none of the first one itself.
    """

    name: str
    protocol: dict[str, str]
    values: dict[str, float]
    differences: dict[str, Estimate]

    @property
    def protocol_line(self) -> str:
        return protocol_line(self.protocol)


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        videos, groups: that all runs have.
        too_few: why intervals say little; empty if they do not.
        runs: the baseline first.
    """

    videos: Count
    groups: Count
    too_few: str
    runs: list[ComparedRun]

    @property
    def metrics(self) -> list[str]:
        """Those that any run has, in their order."""
        return [metric for metric in METRICS if any(metric in run.values for run in self.runs)]


def shared_scores(runs: Sequence[Evaluation]) -> list[LabeledScores]:
    """Return each run's scores of the videos that all of them have, in one order.

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
    return [
        replace(run, videos=[videos[video_id] for video_id in shared]).labeled_scores()
        for run, videos in zip(runs, by_id)
    ]


def compare(runs: Sequence[Evaluation], options: MeasureOptions) -> Comparison:
    """Compare runs with the first, on the videos that all of them have. Raises ValueError: see `shared_scores`."""
    samples = shared_scores(runs)
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
        found.append(ComparedRun(run.name, run.protocol, values, {} if run is runs[0] else differences))
    return Comparison(len(samples[0].labels), len(np.unique(samples[0].groups)), samples[0].too_few, found)


def write_comparison(path: Path, found: Comparison) -> None:
    """Write a comparison as JSON, atomically."""
    write_json_as(path, found, COMPARISON_FORMAT, indent=1)


def read_comparison(path: Path) -> Comparison:
    """Read what `write_comparison` wrote. Raises ValueError: missing, or of another format."""
    return read_json_as(path, Comparison, "comparison", file_format=COMPARISON_FORMAT)
