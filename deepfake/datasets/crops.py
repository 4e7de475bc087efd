"""Crops of one video by (frame, face): in their files, or still in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from deepfake.datasets.data_root import list_crops, parse_crop_name
from deepfake.faces.boxes import Face, crop_face
from deepfake.media.images import read_image
from deepfake.media.video import Frame

CropName = tuple[int, int]
"""Index of the frame, index of the face in it."""

Crops = Mapping[CropName, np.ndarray]
"""(H, W, 3) uint8 RGB crops, in the order of their names."""

KEPT_BYTES = 128 * 2**20
"""What one video's crops may take in memory: 30 frames (a clip of DFDC) with one face of 600x600 are 31 MiB."""


class CropFolder(Crops):
    """The crops in a folder, each read when it is asked for. Asking raises ImageError for a damaged one."""

    def __init__(self, folder: Path) -> None:
        self._paths = {name: path for path in list_crops(folder) if (name := parse_crop_name(path.name)) is not None}

    def __getitem__(self, name: CropName) -> np.ndarray:
        return read_image(self._paths[name])

    def __contains__(self, name: object) -> bool:
        return name in self._paths  # without reading it

    def __iter__(self) -> Iterator[CropName]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


class KeptCrops:
    """Crops collected in memory, up to `limit` bytes: of more, none is kept."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._left = limit
        self._crops: dict[CropName, np.ndarray] | None = {}

    @property
    def crops(self) -> Crops | None:
        """All that were added; None if they were too many, or given up."""
        return self._crops

    def add(self, name: CropName, crop: np.ndarray) -> None:
        self._left -= crop.nbytes
        if self._left < 0:
            self.give_up()
        if self._crops is not None:
            self._crops[name] = crop

    def give_up(self) -> None:
        self._crops = None


def cut_out(frame: Frame, faces: Iterable[Face]) -> Iterator[tuple[CropName, np.ndarray]]:
    """The crops of a frame's faces, as pictures of their own. A box outside of the frame has none."""
    for i, face in enumerate(faces):
        crop = crop_face(frame.image, face.box)
        if crop.size:
            yield (frame.index, i), crop.copy()
