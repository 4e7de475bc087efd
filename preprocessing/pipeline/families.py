"""A family: an original and its fakes. The outputs that are wanted of it are made in one go, each video decoded once.

What is still in memory is not read again: the original's crops for its landmarks and for the masks of its fakes, a
fake's crops for its masks. Fakes come one after the other, so at most two videos' crops are held (`crops.KEPT_BYTES`).
Outputs are written independently, exactly as the single steps write them: a family that was stopped goes on with what
is missing, and an output that fails costs only what is made from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepfake.datasets.crops import Crops
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.records import Dataset, VideoRecord
from deepfake.datasets.stages import CROPS, DETECT, DIFFS, LANDMARKS, Stage
from deepfake.parallel.pool import portable
from deepfake.parallel.workers import Cost, Task, output_bytes
from deepfake.storage.disk_full import OutOfSpace
from preprocessing.pipeline.work import Output, OutputResult

FAMILY_STAGES = (DETECT, CROPS, LANDMARKS, DIFFS)
"""Steps 1 to 4, in the order of work."""

_BY_NAME = {stage.name: stage for stage in FAMILY_STAGES}


@dataclass(frozen=True)
class Family:
    """An original, its fakes, and which outputs of theirs are to be made.

    A fake that names no original stands in the original's place: faces are looked for in it.
    """

    original: VideoRecord
    fakes: tuple[VideoRecord, ...]
    todo: frozenset[Output]

    @property
    def videos(self) -> set[str]:
        """The ids of those that something is to be done for."""
        return {video for _, video in self.todo}

    def pieces(self, todo: Collection[Output]) -> tuple[list[Family], list[Family]]:
        """Return the family in two rounds, for what is left to do: the original alone, then each fake alone."""
        of_original = frozenset(output for output in todo if output[1] == self.original.video_id)
        alone = [Family(self.original, (), of_original)]
        fakes = [
            Family(self.original, (fake,), frozenset(output for output in todo if output[1] == fake.video_id))
            for fake in self.fakes
        ]
        return [family for family in alone if family.todo], [family for family in fakes if family.todo]


@dataclass(frozen=True)
class FamilyJob:
    """How a family's outputs are made. Picklable.

    Attributes:
        tasks: name of each step that may be wanted -> its work on one video, a function of `video_steps`.
    """

    layout: DataRoot
    tasks: Mapping[str, Task[VideoRecord]]

    def load(self) -> None:
        """Load what the tasks need: detectors."""
        for task in self.tasks.values():
            if task.prepare is not None:
                task.prepare()

    def __call__(self, family: Family) -> list[OutputResult]:
        """Make a family's outputs, and return what came of each.

        Raises:
            OSError: the disk is full.
        """
        return _Pass(self, family).run()


def families(dataset: Dataset, todo: Collection[Output]) -> list[Family]:
    """Return the families of a data set for which an output is to be made."""
    fakes: dict[str, list[VideoRecord]] = {source.video_id: [] for source in dataset.sources}
    for original, fake in dataset.pairs:
        fakes[original.video_id].append(fake)
    outputs: dict[str, list[Output]] = {}
    for output in todo:
        outputs.setdefault(dataset.videos[output[1]].identity, []).append(output)
    return [
        Family(source, tuple(fakes[source.video_id]), frozenset(outputs[source.video_id]))
        for source in dataset.sources
        if source.video_id in outputs
    ]


def output_path(layout: DataRoot, output: Output) -> Path:
    """Return the file or folder of an output."""
    name, video = output
    return _BY_NAME[name].output_of(layout, video)


@dataclass
class _Pass:
    """The work on one family."""

    job: FamilyJob
    family: Family
    results: list[OutputResult] = field(default_factory=list)

    def run(self) -> list[OutputResult]:
        crops = self._do_original()
        for fake in self.family.fakes:
            self._do_fake(fake, crops)
        return self.results

    def _do_original(self) -> Crops | None:
        """Return its crops if they are in memory."""
        original = self.family.original
        masked = any(self._wants(DIFFS, video) for video in (original, *self.family.fakes))
        of_use = masked or self._wants(LANDMARKS, original)
        cut = self._make(DETECT, original, keep=self._wants(CROPS, original))
        crops = self._make(CROPS, original, crops=cut, keep=of_use)
        self._make(LANDMARKS, original, crops=crops)
        self._make(DIFFS, original, own=crops)  # a fake that stands for itself, with a mask of the data set's
        return crops

    def _do_fake(self, fake: VideoRecord, theirs: Crops | None) -> None:
        own = self._make(CROPS, fake, keep=self._wants(DIFFS, fake))
        self._make(DIFFS, fake, theirs=theirs, own=own)

    def _wants(self, stage: Stage, video: VideoRecord) -> bool:
        return (stage.name, video.video_id) in self.family.todo

    def _make(self, stage: Stage, video: VideoRecord, **in_memory: Any) -> Any:
        """Return what the step's function returns; None if the output is not to be made, or failed."""
        output = stage.name, video.video_id
        if output not in self.family.todo:
            return None
        function: Callable[..., Any] = self.job.tasks[stage.name].function
        start = time.monotonic()
        result, reason, size = None, None, None
        try:
            result = function(video, **in_memory)
            size = output_bytes(output_path(self.job.layout, output))
        except Exception as raised:  # becomes the reason of this output's failure
            error = portable(raised)
            if isinstance(error, OutOfSpace):
                raise
            reason = str(error)
        cost = Cost(time.monotonic() - start, size)
        self.results.append(OutputResult(output, reason, cost))
        return result
