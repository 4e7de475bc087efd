"""The steps over a data root that do one thing for each video: which videos, where a video's output is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.records import Dataset, VideoRecord
from deepfake.datasets.run_records import Run, read_runs


@dataclass(frozen=True)
class Stage:
    """One step.

    Attributes:
        name: of the step's file, without suffix.
        makes: what its outputs are, in words.
        videos: those that it does.
        output_of: the file or folder that is a video's output, by its id.
        source: the step whose outputs it works on.
        works_on_fakes: through their originals' outputs, so fakes whose original is missing cannot be done.
        needed: training needs its outputs.
    """

    name: str
    makes: str
    videos: Callable[[Dataset], list[VideoRecord]]
    output_of: Callable[[DataRoot, str], Path]
    source: Stage | None = None
    works_on_fakes: bool = False
    needed: bool = True

    def folder(self, layout: DataRoot) -> str:
        """The folder of its outputs below the data root."""
        return self.output_of(layout, "ID").parent.name

    def runs(self, layout: DataRoot) -> list[Run]:
        """Return the records of its runs, the earliest first. Raises what `read_runs` raises."""
        return read_runs(layout.root, self.name, self.folder(layout))

    def source_settings(self, layout: DataRoot) -> dict[str, Any]:
        """The settings that what it works on was made with, by the step that made it; empty if nobody wrote it down.

        They are settings of its own: other boxes make other crops.
        """
        if self.source is None:
            return {}
        runs = self.source.runs(layout)
        return {self.source.name: runs[-1].header.settings} if runs else {}


def _boxes(layout: DataRoot, video_id: str) -> Path:
    return layout.boxes_file(video_id)


def _crops(layout: DataRoot, video_id: str) -> Path:
    return layout.crops / video_id


def _landmarks(layout: DataRoot, video_id: str) -> Path:
    return layout.landmarks / video_id


def _diffs(layout: DataRoot, video_id: str) -> Path:
    return layout.diffs / video_id


def _images(layout: DataRoot, video_id: str) -> Path:
    return layout.images / video_id


def _sources(dataset: Dataset) -> list[VideoRecord]:
    return dataset.sources


def _fakes(dataset: Dataset) -> list[VideoRecord]:
    return [fake for _, fake in dataset.pairs]


def _sources_and_fakes(dataset: Dataset) -> list[VideoRecord]:
    return _sources(dataset) + _fakes(dataset)


def _all(dataset: Dataset) -> list[VideoRecord]:
    return list(dataset.videos.values())


DETECT = Stage("detect_original_faces", "boxes", _sources, _boxes)
CROPS = Stage("extract_crops", "crops", _sources_and_fakes, _crops, source=DETECT, works_on_fakes=True)
LANDMARKS = Stage("generate_landmarks", "landmarks", _sources, _landmarks, source=CROPS)
DIFFS = Stage("generate_diffs", "SSIM masks", _fakes, _diffs, source=CROPS, works_on_fakes=True)
IMAGES = Stage("extract_images", "frames", _all, _images, needed=False)

STAGES = (DETECT, CROPS, LANDMARKS, DIFFS, IMAGES)
"""In the order of work."""
