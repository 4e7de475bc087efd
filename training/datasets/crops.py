"""Crops as samples: reading, label smoothing, occlusion, margin, validity, augmentation.

Every random draw follows from (seed, epoch, position in the epoch), so a sample does not depend on how many worker
processes or ranks share the epoch, nor on what was trained before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from deepfake.diffs import CHANGED
from deepfake.images import ImageError, fit_square, read_gray, read_image
from deepfake.landmarks import read_landmarks
from deepfake.paths import DataRoot, diff_name, is_plain_name, landmark_name, parse_crop_name
from training.datasets.batch import Sample
from training.datasets.replacing import read_or_replace
from training.transforms.augment import TrainAugmentation
from training.transforms.occlusion import Occlusion, occlude
from training.transforms.padding import narrow_margin

LABEL_SMOOTHING = 0.01
MIN_CHANGED = 32
"""A fake's crop is valid with more changed pixels than this."""
FAKE = 1


@dataclass(frozen=True)
class SampleOptions:
    """What happens to a training sample.

    Attributes:
        label_smoothing: labels are clipped to [this, 1 - this].
        hardcore: occlusions.
        padding_part: above 3, the margin is narrowed to `1 / padding_part` of the box.
        only_changed: find out which fakes' crops show a change (costs reading every mask).
    """

    label_smoothing: float = LABEL_SMOOTHING
    hardcore: bool = True
    padding_part: int = 3
    only_changed: bool = False


class CropRow(NamedTuple):
    """What a sample needs of its row of the fold table."""

    video: str
    file: str
    label: int
    original: str


@dataclass(frozen=True)
class CropFiles:
    """The files that belong to one row of the fold table."""

    crop: Path
    landmarks: Path
    diff: Path

    @staticmethod
    def of(layout: DataRoot, row: Any) -> CropFiles:
        """Raises ValueError if the row does not name a crop below the data root."""
        parsed = parse_crop_name(row.file)
        if parsed is None or not all(is_plain_name(name) for name in (row.video, row.original)):
            raise ValueError(f"fold table: {row.video}/{row.file} (original {row.original}) does not name a crop")
        return CropFiles(
            crop=layout.crops / row.video / row.file,
            landmarks=layout.landmarks / row.original / landmark_name(*parsed),
            diff=layout.diffs / row.video / diff_name(*parsed),
        )


class TrainingCrops:
    """One epoch's samples, by position in the epoch.

    Args:
        rows: the epoch's rows in order (`sampling.training_rows`), those of all ranks.
        positions: which of them this rank trains on.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        positions: np.ndarray,
        layout: DataRoot,
        size: int,
        options: SampleOptions,
        seed: int,
        epoch: int,
    ) -> None:
        self._rows = [CropRow(*values) for values in zip(*(rows[name] for name in CropRow._fields))]
        self._by_label = {label: np.flatnonzero(rows["label"].to_numpy() == label) for label in (0, FAKE)}
        self._positions = positions
        self._layout = layout
        self._options = options
        self._seed = (seed, epoch)
        self._augment = TrainAugmentation(size)

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, i: int) -> Sample:
        """The i-th sample of this rank. A sample with a broken file is replaced by another of its label.

        Raises:
            ValueError: too many replacements in a row were broken, too.
        """
        position = int(self._positions[i])
        rng = np.random.default_rng([*self._seed, position])
        return read_or_replace(
            position,
            self._by_label[self._rows[position].label],
            rng,
            lambda row, broken: self._sample(self._rows[row], position, rng, broken),
            cure="run preprocessing again",
        )

    def _sample(self, row: Any, position: int, rng: np.random.Generator, broken: tuple[str, ...]) -> Sample:
        files, options = CropFiles.of(self._layout, row), self._options
        image = read_image(files.crop)
        is_fake = row.label == FAKE
        read_mask = partial(_read_mask, files.diff, image.shape[:2])
        occlusion = Occlusion()
        if options.hardcore:
            occlusion = occlude(image, is_fake, _read_points(files.landmarks), read_mask, rng)
        valid = True
        if options.only_changed and is_fake:
            mask = read_mask() if occlusion.visible is None else read_mask() * occlusion.visible
            if options.padding_part > SampleOptions.padding_part:
                mask = narrow_margin(mask, options.padding_part)
            valid = int(np.count_nonzero(mask > CHANGED)) > MIN_CHANGED
        if options.padding_part > SampleOptions.padding_part:
            image = narrow_margin(image, options.padding_part)
        smoothing = options.label_smoothing
        return Sample(
            image=self._augment(image, rng),
            label=min(max(float(row.label), smoothing), 1 - smoothing),
            valid=valid,
            index=position,
            name=str(files.crop),
            broken=broken,
            occlusion=occlusion.kind,
        )


class ValidationCrops:
    """Samples of the validation table as prediction sees them: no smoothing, occlusion or augmentation."""

    def __init__(
        self, rows: pd.DataFrame, positions: np.ndarray, layout: DataRoot, size: int, padding_part: int
    ) -> None:
        self._rows = list(rows.iloc[positions].itertuples(index=False))
        self._positions = positions
        self._layout = layout
        self._size = size
        self._padding_part = padding_part

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: int) -> Sample | str:
        """A sample, or what is wrong with its file: a replacement would falsify the metric."""
        row = self._rows[i]
        file = CropFiles.of(self._layout, row).crop
        try:
            image = read_image(file)
        except ImageError as error:
            return str(error)
        if self._padding_part > SampleOptions.padding_part:
            image = narrow_margin(image, self._padding_part)
        return Sample(fit_square(image, self._size), float(row.label), True, int(self._positions[i]), str(file))


def _read_points(file: Path) -> np.ndarray | None:
    """The landmarks, None if the step that makes them found none.

    Raises:
        ImageError: there is a file, but it holds no landmarks.
    """
    if not file.exists():
        return None
    try:
        return read_landmarks(file)
    except ValueError as error:
        raise ImageError(str(error)) from error


def _read_mask(file: Path, shape: tuple[int, int]) -> np.ndarray:
    """The difference mask; zeros where the step that makes them made none.

    Raises:
        ImageError: broken, or of another size than its crop.
    """
    if not file.exists():
        return np.zeros(shape, np.uint8)
    mask = read_gray(file)
    if mask.shape != shape:
        raise ImageError(f"{file}: {mask.shape} pixels beside a crop of {shape}; generate the diffs again")
    return mask
