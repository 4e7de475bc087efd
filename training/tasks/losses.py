"""First place's loss: binary cross entropy over the fakes and over the reals of a batch, averaged separately."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

FAKE_LABEL = 0.5
"""Labels above are fakes'; smoothed labels stay on their side."""


@dataclass(frozen=True)
class SideLosses:
    """Scalar losses of the fakes and of the reals of one batch."""

    fake: torch.Tensor
    real: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        return (self.fake + self.real) / 2

    def weighted(self, fake: torch.Tensor | float, real: torch.Tensor | float) -> SideLosses:
        """Each side times its weight."""
        return SideLosses(self.fake * fake, self.real * real)


def side_shares(part: torch.Tensor, whole: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How much of a batch's fakes and of its reals are in a part of it, each in 0..1, by labels (n,) and (m,)."""
    counts = [torch.stack([(labels > FAKE_LABEL).sum(), (labels <= FAKE_LABEL).sum()]) for labels in (part, whole)]
    fake, real = counts[0] / counts[1].clamp(min=1)
    return fake, real


def real_fake_bce(logits: torch.Tensor, labels: torch.Tensor, ohem_samples: int | None = None) -> SideLosses:
    """Binary cross entropy with logits, the mean over each side's samples; a side without samples counts 0.

    Args:
        logits: (n,), any float type; the loss is computed in float32.
        labels: (n,) in 0..1, possibly smoothed.
        ohem_samples: online hard-example mining (Shrivastava et al. 2016): only the that many largest losses of each
            side count.
    """
    losses = binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")
    fake = labels > FAKE_LABEL
    return SideLosses(_side_mean(losses[fake], losses, ohem_samples), _side_mean(losses[~fake], losses, ohem_samples))


def _side_mean(side: torch.Tensor, losses: torch.Tensor, ohem_samples: int | None) -> torch.Tensor:
    if side.numel() == 0:
        # Zero, but joined to the graph: every process of a distributed run must go backward.
        return losses[:0].sum()
    if ohem_samples is not None and ohem_samples < side.numel():
        side = side.topk(ohem_samples).values
    return side.mean()
