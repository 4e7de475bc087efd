"""Losses averaged over the fakes and over the reals of a batch separately, as first place did."""

from __future__ import annotations

from dataclasses import dataclass

import torch

FAKE_LABEL = 0.5
"""Labels above are fakes'; smoothing moves no label across it."""


@dataclass(frozen=True)
class ClassLosses:
    """Scalar losses of the fakes and of the reals of one batch."""

    fake: torch.Tensor
    real: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        return (self.fake + self.real) / 2

    def weighted(self, fake: torch.Tensor | float, real: torch.Tensor | float) -> ClassLosses:
        """Return each class' loss times its weight."""
        return ClassLosses(self.fake * fake, self.real * real)


def class_shares(part: torch.Tensor, whole: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how much of a batch's fakes and of its reals are in a part of it, each in 0..1, by labels (n,), (m,)."""
    counts = [torch.stack([(labels > FAKE_LABEL).sum(), (labels <= FAKE_LABEL).sum()]) for labels in (part, whole)]
    fake, real = counts[0] / counts[1].clamp(min=1)
    return fake, real


def class_means(losses: torch.Tensor, labels: torch.Tensor, ohem_samples: int | None = None) -> ClassLosses:
    """Return the mean loss of each class' samples; a class without samples counts 0.

    Args:
        losses: (n,), of the samples.
        labels: (n,) in 0..1, possibly smoothed.
        ohem_samples: online hard-example mining (Shrivastava et al. 2016): only the that many largest losses of each
            class count.
    """
    fake = labels > FAKE_LABEL
    return ClassLosses(_mean(losses[fake], losses, ohem_samples), _mean(losses[~fake], losses, ohem_samples))


def _mean(of_class: torch.Tensor, losses: torch.Tensor, ohem_samples: int | None) -> torch.Tensor:
    if of_class.numel() == 0:
        # Zero, but joined to the graph: every process of a distributed run must go backward.
        return losses[:0].sum()
    if ohem_samples is not None and ohem_samples < of_class.numel():
        of_class = of_class.topk(ohem_samples).values
    return of_class.mean()
