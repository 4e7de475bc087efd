"""First place's loss: binary cross entropy with logits."""

from __future__ import annotations

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from training.losses.registry import LOSSES


@LOSSES.register("BinaryCrossentropy")
def binary_crossentropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the samples' losses; see `training.losses.registry.Loss`."""
    return binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")
