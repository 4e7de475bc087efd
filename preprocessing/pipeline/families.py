"""A family: an original and its fakes, taken through all steps in one go, each video decoded once.

What is still in memory is not read again: the original's crops for its landmarks and for the masks of its fakes, a
fake's crops for its masks. Fakes come one after the other, so at most two videos' crops are held (`crops.KEPT_BYTES`).
Every output is there or not by itself, as if the steps had been run: a family that was stopped goes on with what is
missing, and an output that fails costs only what is made from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from deepfake.datasets.crops import Crops
from deepfake.datasets.layout import DataRoot
from deepfake.datasets.metadata import Dataset, VideoRecord
from deepfake.datasets.stages import CROPS, DETECT, DIFFS, LANDMARKS, Stage
from deepfake.faces.detectors.portable import PortableDetector
from deepfake.media.video import LIMITS, ReadLimits
from deepfake.parallel.pool import portable
from deepfake.parallel.workers import UNMEASURED, Cost, output_bytes
from deepfake.storage.disk_full import OutOfSpace
from preprocessing.pipeline.video_steps import compare_crops, cut_crops, detect_boxes, find_landmarks

Result = TypeVar("Result")

_STAGES = {stage.name: stage for stage in (DETECT, CROPS, LANDMARKS, DIFFS)}

Output = tuple[str, str]
"""A step's name, and a video's id."""


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
        """Those that something is to be done for."""
        return {video for _, video in self.todo}

    def pieces(self, todo: Collection[Output]) -> tuple[list[Family], list[Family]]:
        """The family in two rounds, for what is left to do: the original alone, then each fake alone."""
        of_original = frozenset(output for output in todo if output[1] == self.original.video_id)
        alone = [Family(self.original, (), of_original)]
        fakes = [
            Family(self.original, (fake,), frozenset(output for output in todo if output[1] == fake.video_id))
            for fake in self.fakes
        ]
        return [family for family in alone if family.todo], [family for family in fakes if family.todo]


@dataclass(frozen=True)
class Ending:
    """What came of one output: made, or failed for a reason."""

    output: Output
    reason: str | None
    cost: Cost = UNMEASURED


@dataclass(frozen=True)
class Recipe:
    """How a family's outputs are made. Picklable.

    Attributes:
        boxes: finds the boxes.
        facts: how, for the box file; see `video_steps.detect_boxes`.
        landmarks: find the landmarks; each looks where those before it found nothing.
        suffix: of the crops' files.
        limits: of reading a video.
    """

    layout: DataRoot
    boxes: PortableDetector
    facts: Mapping[str, Any]
    landmarks: Sequence[PortableDetector]
    suffix: str
    limits: ReadLimits = LIMITS

    def load(self) -> None:
        """Builds the detectors."""
        for detector in (self.boxes, *self.landmarks):
            detector.load()

    def __call__(self, family: Family) -> list[Ending]:
        """Makes a family's outputs, and tells what came of each.

        Raises OSError if the disk is full; nothing else.
        """
        return _Pass(self, family).run()


def families(dataset: Dataset, todo: Collection[Output]) -> list[Family]:
    """The families of a data set for which an output is to be made."""
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
    """The file or folder of an output."""
    name, video = output
    return _STAGES[name].output_of(layout, video)


@dataclass
class _Pass:
    """The work on one family."""

    recipe: Recipe
    family: Family
    endings: list[Ending] = field(default_factory=list)

    def run(self) -> list[Ending]:
        crops = self._do_original()
        for fake in self.family.fakes:
            self._do_fake(fake, crops)
        return self.endings

    def _do_original(self) -> Crops | None:
        """Returns its crops if they are in memory."""
        recipe, layout, original = self.recipe, self.recipe.layout, self.family.original
        facts = dict(recipe.facts)
        limits, keep = recipe.limits, self._wants(CROPS, original)
        cut = self._make(DETECT, original, lambda: detect_boxes(original, recipe.boxes, layout, facts, keep, limits))
        crops = self._make(CROPS, original, lambda: cut_crops(original, layout, recipe.suffix, cut, True, limits))
        self._make(LANDMARKS, original, lambda: find_landmarks(original, recipe.landmarks, layout, crops))
        return crops

    def _do_fake(self, fake: VideoRecord, theirs: Crops | None) -> None:
        recipe, layout = self.recipe, self.recipe.layout
        keep = self._wants(DIFFS, fake)
        own = self._make(CROPS, fake, lambda: cut_crops(fake, layout, recipe.suffix, None, keep, recipe.limits))
        self._make(DIFFS, fake, lambda: compare_crops(fake, layout, theirs, own))

    def _wants(self, stage: Stage, video: VideoRecord) -> bool:
        return (stage.name, video.video_id) in self.family.todo

    def _make(self, stage: Stage, video: VideoRecord, make: Callable[[], Result]) -> Result | None:
        """What `make` returns; None if the output is not to be made, or failed."""
        output = stage.name, video.video_id
        if output not in self.family.todo:
            return None
        start = time.monotonic()
        result, reason, size = None, None, None
        try:
            result = make()
            size = output_bytes(output_path(self.recipe.layout, output))
        except Exception as error:  # handed on as this output's failure
            told = portable(error)
            if isinstance(told, OutOfSpace):
                raise
            reason = str(told)
        cost = Cost(time.monotonic() - start, size)
        self.endings.append(Ending(output, reason, cost))
        return result
