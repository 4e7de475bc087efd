"""Crops as samples: reading, label smoothing, occlusion, margin, validity, augmentation.

Every random draw follows from (seed, epoch, position in the epoch), so a sample does not depend on how many worker
processes or ranks share the epoch, nor on what was trained before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from deepfake.faces.ssim_mask import CHANGED
from deepfake.media.images import ImageError, fit_square
from training.datasets.batch import Sample
from training.datasets.crop_reading import CropReader, as_rows
from training.datasets.replacing import read_or_replace
from training.options import RunOptions
from training.transforms.augment import TrainAugmentation
from training.transforms.occlusion import Occlusion, occlude
from training.transforms.padding import narrow_margin

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

    label_smoothing: float = RunOptions.label_smoothing
    hardcore: bool = True
    padding_part: int = RunOptions.padding_part
    only_changed: bool = False


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
        crops: CropReader,
        size: int,
        options: SampleOptions,
        seed: int,
        epoch: int,
    ) -> None:
        self._rows = as_rows(rows)
        self._by_label = {label: np.flatnonzero(rows["label"].to_numpy() == label) for label in (0, FAKE)}
        self._positions = positions
        self._crops = crops
        self._options = options
        self._seed = (seed, epoch)
        self._augment = TrainAugmentation(size)
        crops.expect(rows.iloc[positions])

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
        crops, options = self._crops, self._options
        image = crops.image(row)
        is_fake = row.label == FAKE
        read_mask = partial(crops.mask, row, image.shape[:2])
        occlusion = Occlusion()
        if options.hardcore:
            occlusion = occlude(image, is_fake, crops.points(row), read_mask, rng)
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
            name=crops.name(row),
            broken=broken,
            occlusion=occlusion.kind,
        )


class ValidationCrops:
    """Samples of the validation table as prediction sees them: no smoothing, occlusion or augmentation."""

    def __init__(
        self, rows: pd.DataFrame, positions: np.ndarray, crops: CropReader, size: int, padding_part: int
    ) -> None:
        self._rows = as_rows(rows.iloc[positions])
        self._positions = positions
        self._crops = crops
        self._size = size
        self._padding_part = padding_part
        crops.expect(rows.iloc[positions])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: int) -> Sample | str:
        """A sample, or what is wrong with its file: a replacement would falsify the metric."""
        row = self._rows[i]
        try:
            image = self._crops.image(row)
        except ImageError as error:
            return str(error)
        if self._padding_part > SampleOptions.padding_part:
            image = narrow_margin(image, self._padding_part)
        return Sample(
            fit_square(image, self._size), float(row.label), True, int(self._positions[i]), self._crops.name(row)
        )
