"""Bytes of pictures as networks want them, on whatever device they are."""

from __future__ import annotations

import torch
from torch import nn

from deepfake.media.images import Normalization


class InputNormalizer(nn.Module):
    """(n, 3, h, w) uint8 -> float32, divided by 255, minus mean, over std; on whatever device the bytes are."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, normalization: Normalization) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(normalization.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(normalization.std).view(3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images.float() - self.mean) / self.std
