"""How far a step over a data root is: its outputs say what is done, the records of its runs say the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.records import Dataset
from deepfake.datasets.run_records import DONE, FAILED, Run, last_entries
from deepfake.datasets.stages import Stage
from deepfake.parallel.workers import output_bytes

_ENOUGH = 20
"""Videos after which a run's rate can be trusted: the first ones wait for what is loaded."""


@dataclass(frozen=True)
class State:
    """How far a step is.

    Attributes:
        done: ids of the videos whose output is there.
        missing: ids of those that were not tried yet.
        failed: video id -> why, when it was last tried; fakes whose original is missing included.
        runs: the step's records, the earliest first.
    """

    stage: Stage
    layout: DataRoot
    done: Sequence[str]
    missing: Sequence[str]
    failed: dict[str, str]
    runs: Sequence[Run]

    @property
    def videos(self) -> int:
        """How many the step is to do."""
        return len(self.done) + len(self.missing) + len(self.failed)

    @property
    def is_shown(self) -> bool:
        """Whether training needs the step, or somebody has used it."""
        return bool(self.stage.needed or self.runs or self.done)

    @property
    def rate(self) -> float | None:
        """Videos per second, by the runs so far."""
        return latest_rate(self.runs)

    def used_bytes(self) -> int:
        """Return the size of the outputs that are there: as recorded, or else measured."""
        recorded = {video: entry.bytes for video, entry in last_entries(self.runs).items()}
        sizes = (recorded.get(video) for video in self.done)
        outputs = (self.stage.output_of(self.layout, video) for video in self.done)
        return sum(output_bytes(output) if size is None else size for output, size in zip(outputs, sizes))


def look_at(stage: Stage, layout: DataRoot, dataset: Dataset, runs: Sequence[Run] = ()) -> State:
    """Return how far a step is.

    Args:
        runs: the step's records; without them nothing is known of failures and rates.
    """
    failed = {
        video: entry.error or ""
        for video, entry in sorted(last_entries(runs).items())
        if entry.status == FAILED and (video in dataset.videos or video in dataset.rejected)
    }
    # One listing in place of a question for each video: file systems on a network answer slowly.
    folder = layout.root / stage.folder(layout)
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    done: list[str] = []
    missing: list[str] = []
    for video in sorted({video.video_id for video in stage.videos(dataset)} - failed.keys()):
        (done if stage.output_of(layout, video).name in there else missing).append(video)
    return State(stage, layout, done, missing, failed, runs)


def latest_rate(runs: Sequence[Run]) -> float | None:
    """Return the videos per second of the latest run that did enough of them; of the one that did most, if none did."""
    counted = [(sum(entry.status == DONE for entry in run.entries), run) for run in reversed(runs)]
    enough = [run for count, run in counted if count >= _ENOUGH]
    most = max(counted, key=itemgetter(0), default=(0, None))[1]
    chosen = enough[0] if enough else most
    return None if chosen is None else chosen.rate


def describe_bytes(count: float) -> str:
    """Return a size in words, in decimal units as disks are sold in: 1.5 kB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} TB"
