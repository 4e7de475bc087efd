"""The losses by the names that configs weigh them by: one module of this folder each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from deepfake.storage.registry import Registry

if TYPE_CHECKING:  # torch takes seconds to import
    import torch

Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""(n,) logits of any float type, (n,) labels in 0..1, possibly smoothed -> (n,) losses of the samples, float32."""

LOSSES: Registry[Loss] = Registry("loss", "training.losses")


def weighted_losses(logits: torch.Tensor, labels: torch.Tensor, weights: Mapping[str, float]) -> torch.Tensor:
    """Return the weighted sum of the losses in `weights` (name -> weight), of each sample: (n,) float32."""
    first, *others = (weight * LOSSES[name](logits, labels) for name, weight in weights.items())
    return sum(others, start=first)
