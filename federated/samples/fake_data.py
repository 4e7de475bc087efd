"""Data of noise, for those who try an algorithm without anybody's faces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from deepfake.datasets.folds import COLUMNS, FoldRow
from federated.samples.samples import OwnerData
from federated.samples.splitting import TRAIN

CROP_SIZE = 160
CROPS_A_VIDEO = 4


class NoiseCrops:
    """A `CropReader` of noise: a crop's follows from its row; fakes are darker."""

    def name(self, row: Any) -> str:
        return f"noise:{row.video}/{row.file}"

    def image(self, row: Any) -> np.ndarray:
        rng = np.random.default_rng([*f"{row.video}/{row.file}".encode()])
        return rng.integers(0, 128 if row.label else 256, (CROP_SIZE, CROP_SIZE, 3), np.uint8)

    def points(self, row: Any) -> np.ndarray | None:
        return None

    def mask(self, row: Any, shape: tuple[int, int]) -> np.ndarray:
        return np.full(shape, 255 if row.label else 0, np.uint8)

    def has_points(self, rows: pd.DataFrame) -> np.ndarray:
        return np.zeros(len(rows), bool)

    def has_mask(self, rows: pd.DataFrame) -> np.ndarray:
        return np.ones(len(rows), bool)

    def expect(self, rows: pd.DataFrame) -> None:
        """Nothing has to be fetched."""


def fake_data(samples: int) -> OwnerData:
    """`samples` originals of noise, each with a fake."""
    rows = [
        FoldRow(f"noise{i}{'_fake' * label}", f"{10 * frame}_0.png", label, f"noise{i}", 10 * frame, 0)
        for i in range(samples)
        for label in (0, 1)
        for frame in range(CROPS_A_VIDEO)
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return OwnerData(table, NoiseCrops(), "noise", TRAIN, None, f"noise {samples}")
