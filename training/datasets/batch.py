"""One batch as the data loader hands it to a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from operator import itemgetter

import numpy as np
import torch


@dataclass(frozen=True)
class Sample:
    """One training or validation sample.

    Attributes:
        image: (size, size, 3) uint8 RGB.
        label: 0 for real, 1 for fake; smoothed in training.
        valid: False for a fake's crop that shows no change.
        index: the sample's position in its epoch or in the validation table.
        name: the crop's file.
        broken: files that could not be read and made room for this sample.
        occlusion: what was blacked out (`transforms.occlusion.Occlusion.kind`); empty for nothing.
    """

    image: np.ndarray
    label: float
    valid: bool
    index: int
    name: str
    broken: tuple[str, ...] = ()
    occlusion: str = ""


@dataclass(frozen=True)
class Batch:
    """n samples.

    Attributes:
        images: (n, 3, size, size) uint8 RGB.
        labels: (n,) float32.
        valid: (n,) bool.
        index: (n,) int64.
        names: the crops' files.
        broken: what is wrong with files that could not be read.
    """

    images: torch.Tensor
    labels: torch.Tensor
    valid: torch.Tensor
    index: torch.Tensor
    names: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    def pin_memory(self) -> Batch:
        """Called by the data loader: page-locked memory goes to the GPU without waiting."""
        return self._map(lambda tensor: tensor.pin_memory())

    def to(self, device: torch.device) -> Batch:
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def parts(self, count: int) -> list[Batch]:
        """The samples in order, in `count` parts whose lengths differ by one at most; fewer parts of fewer samples."""
        count = max(1, min(count, len(self)))
        if count == 1:
            return [self]
        bounds = [len(self) * n // count for n in range(count + 1)]
        return [replace(self._map(itemgetter(part := slice(a, b))), names=self.names[part], broken=[])
                for a, b in pairwise(bounds)]  # fmt: skip

    def on_stream(self, stream: torch.cuda.Stream) -> None:
        """Keeps the memory of tensors that another stream has made until this one has done with them."""
        self._map(lambda tensor: tensor.record_stream(stream))

    def _map(self, function) -> Batch:
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: function(v) for k, v in tensors.items() if isinstance(v, torch.Tensor)})


def collate(samples: Sequence[Sample | str]) -> Batch:
    """Joins samples; a text among them is a file that could not be read and has no sample (validation)."""
    good = [s for s in samples if isinstance(s, Sample)]
    broken = [s for s in samples if isinstance(s, str)] + [name for s in good for name in s.broken]
    # Pixels stay bytes and channels stay last until they are on the device: a quarter of the traffic.
    stacked = np.stack([s.image for s in good]) if good else np.zeros((0, 1, 1, 3), np.uint8)
    return Batch(
        images=torch.from_numpy(stacked).permute(0, 3, 1, 2),
        labels=torch.tensor([s.label for s in good], dtype=torch.float32),
        valid=torch.tensor([s.valid for s in good], dtype=torch.bool),
        index=torch.tensor([s.index for s in good], dtype=torch.int64),
        names=[s.name for s in good],
        broken=broken,
    )
