"""One crop as training sees it, many times over: for looking at."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from deepfake.datasets.data_root import DataRoot, list_crops, parse_crop_name
from deepfake.datasets.folds import FoldRow
from deepfake.datasets.records import VideoRecord
from training.datasets.batch import Sample
from training.datasets.crop_reading import FolderCrops
from training.datasets.crops import SampleOptions, TrainingCrops, ValidationCrops


@dataclass(frozen=True)
class CropVariants:
    """What the network is given of one crop, but for the normalization.

    Attributes:
        row: which crop.
        plain: as validation and prediction see it.
        samples: as training draws it.
    """

    row: FoldRow
    plain: Sample
    samples: list[Sample]


def draw_variants(
    layout: DataRoot, video: VideoRecord, frame: int, face: int, size: int, count: int, seed: int
) -> CropVariants:
    """Return the samples of an epoch that has nothing but one crop, drawn by the training data set itself.

    Args:
        face: which of the frame's faces, 0 is the largest.
        size: side of the samples in pixels.

    Raises:
        ValueError: no such crop, or its file, landmarks or mask is broken.
    """
    crops, options = FolderCrops(layout), SampleOptions()
    row = _find_row(layout, video, frame, face)
    rows, positions = pd.DataFrame([asdict(row)] * count), np.arange(count)
    plain = ValidationCrops(rows, positions[:1], crops, size, options.padding_part)[0]
    if isinstance(plain, str):
        raise ValueError(plain)
    training = TrainingCrops(rows, positions, crops, size, options, seed, epoch=0)
    return CropVariants(row, plain, [training[i] for i in range(count)])


def _find_row(layout: DataRoot, video: VideoRecord, frame: int, face: int) -> FoldRow:
    """Return a crop as a row of a fold table, in fold 0: the data set may have no table yet."""
    folder = layout.crops / video.video_id
    for path in list_crops(folder) if folder.is_dir() else []:
        if parse_crop_name(path.name) == (frame, face):
            return FoldRow(video.video_id, path.name, video.label, video.identity, frame, fold=0)
    raise ValueError(f"{folder}: no crop of frame {frame}, face {face}; run extract_crops.py, or name another")
