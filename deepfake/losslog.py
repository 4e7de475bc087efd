"""The lines that the trainer logs after each validation and plot_loss reads.

One validation is a pair of lines, `fake_loss X` and `real_loss Y`, as in the published log; this project's log
writes `epoch N` with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

FAKE_WEIGHT = 1.4
"""The published plot weighs fake videos 1.4 times as much as real ones."""

FIRST_CANDIDATE_EPOCH = 17
"""The published plot looks for the best epochs after the 16th."""

_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf)"
_FAKE = re.compile(rf"\bfake_loss:?\s+{_NUMBER}")
_REAL = re.compile(rf"\breal_loss:?\s+{_NUMBER}")
_EPOCH = re.compile(r"\bepoch:?\s+(\d+)")


@dataclass(frozen=True)
class EpochLoss:
    """Log losses over the fake and over the real videos of the validation fold after one epoch (from 0)."""

    epoch: int
    fake: float
    real: float

    def weighted(self, fake_weight: float = FAKE_WEIGHT) -> float:
        return (fake_weight * self.fake + self.real) / 2


def format_losses(losses: EpochLoss) -> list[str]:
    """The log lines of one validation."""
    return [f"epoch {losses.epoch}", f"fake_loss {losses.fake:.10g}", f"real_loss {losses.real:.10g}"]


def parse_losses(lines: Iterable[str]) -> list[EpochLoss]:
    """All validations in a log, by epoch; a later one of the same epoch (a resumed run) replaces an earlier one.

    Logs without `epoch` lines (the published ones) count epochs from 0.
    """
    found: dict[int, EpochLoss] = {}
    epoch: int | None = None
    fake: float | None = None
    for line in lines:
        if (match := _EPOCH.search(line)) is not None:
            epoch = int(match[1])
        if (match := _FAKE.search(line)) is not None:
            fake = float(match[1])
        if (match := _REAL.search(line)) is not None and fake is not None:
            number = len(found) if epoch is None else epoch
            found[number] = EpochLoss(number, fake, float(match[1]))
            epoch = fake = None
    return [found[number] for number in sorted(found)]
