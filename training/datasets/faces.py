"""Aligned faces as samples: choosing the picture, reading, augmentation.

Every random draw follows from (seed, epoch, position in the epoch), as for first place's crops.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from deepfake.datasets.aligned_faces import list_faces
from deepfake.media.images import ImageError, read_image
from training.datasets.batch import Sample
from training.datasets.replacing import read_or_replace

LISTED_VIDEOS = 1024
"""So many videos' pictures are remembered by each process."""

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""(H, W, 3) uint8 RGB -> (size, size, 3) uint8."""


class FaceFolder:
    """The pictures below one folder, by sample (rows as `training.datasets.face_sampling` gives them)."""

    def __init__(self, folder: Path, rows: pd.DataFrame) -> None:
        self.labels = rows["label"].to_numpy()
        self._folder = folder
        self._videos = rows["video"].to_numpy(object)
        self._part = rows["part"].to_numpy(np.int64)
        self._parts = rows["parts"].to_numpy(np.int64)

    def read(self, row: int) -> tuple[Path, np.ndarray]:
        """The file and picture of a row.

        Raises:
            ImageError: the video has no pictures, or this one is broken.
        """
        video = self._folder / self._videos[row]
        names = _picture_names(video)
        if not names:
            raise ImageError(f"{video}: no pictures in this folder")
        file = video / names[len(names) * int(self._part[row]) // int(self._parts[row])]
        return file, read_image(file)


class TrainingFaces:
    """One epoch's samples, by position in the epoch.

    Args:
        rows: the epoch's samples in order, those of all ranks.
        positions: which of them this rank trains on.
    """

    def __init__(
        self, rows: pd.DataFrame, positions: np.ndarray, folder: Path, augment: Augment, seed: int, epoch: int
    ) -> None:
        self._faces = FaceFolder(folder, rows)
        self._by_label = {label: np.flatnonzero(self._faces.labels == label) for label in (0, 1)}
        self._positions = positions
        self._augment = augment
        self._seed = (seed, epoch)

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, i: int) -> Sample:
        """The i-th sample of this rank. A sample with a broken file is replaced by another of its label.

        Raises:
            ValueError: too many replacements in a row were broken, too.
        """
        position = int(self._positions[i])
        rng = np.random.default_rng([*self._seed, position])
        label = int(self._faces.labels[position])

        def read(row: int, broken: tuple[str, ...]) -> Sample:
            file, image = self._faces.read(row)
            return Sample(self._augment(image, rng), float(label), True, position, str(file), broken)

        return read_or_replace(position, self._by_label[label], rng, read, cure="extract the faces again")


class ValidationFaces:
    """Samples of the validation table, resized and nothing else."""

    def __init__(
        self, rows: pd.DataFrame, positions: np.ndarray, folder: Path, resize: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self._faces = FaceFolder(folder, rows)
        self._positions = positions
        self._resize = resize

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, i: int) -> Sample | str:
        """A sample, or what is wrong with its file: a replacement would falsify the metric."""
        position = int(self._positions[i])
        try:
            file, image = self._faces.read(position)
        except ImageError as error:
            return str(error)
        return Sample(self._resize(image), float(self._faces.labels[position]), True, position, str(file))


@lru_cache(LISTED_VIDEOS)
def _picture_names(video: Path) -> list[str]:
    try:
        return [path.name for path in list_faces(video)]
    except OSError as error:
        raise ImageError(f"{video}: cannot be read: {error.strerror}") from error
