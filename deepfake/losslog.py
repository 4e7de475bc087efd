"""The lines that the trainer logs after each validation and plot_loss reads.

One validation is a pair of lines, `fake_loss X` and `real_loss Y`, as in the published log; this project's log
writes `epoch N` with them. Logs that went through a shell are read, too: UTF-16 (PowerShell's `>`), colors, progress
bars, prefixes of a logger or of torchrun.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from deepfake.storage.text_files import decode_text

FAKE_WEIGHT = 1.4
"""The published plot weighs fake videos 1.4 times as much as real ones."""

FIRST_CANDIDATE_EPOCH = 17
"""The published plot looks for the best epochs after the 16th."""

# `tensor(0.5)` and `np.float64(0.5)` are how torch and numpy print a number inside of other text.
_NUMBER = r"(?:[\w.]+\()?([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf)"
_FAKE = re.compile(rf"\bfake_loss:?\s+{_NUMBER}")
_REAL = re.compile(rf"\breal_loss:?\s+{_NUMBER}")
_EPOCH = re.compile(r"\bepoch:?\s+(\d+)")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
"""Of terminals: colors, cursor movements."""
_GZIP = b"\x1f\x8b"


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


def decode_log(content: bytes) -> list[str]:
    """Decode a log's lines, without the escape sequences of terminals. A progress bar's states are lines of their own.

    Bytes that are no text become replacement characters: a killed writer may leave half a character.

    Raises:
        ValueError: compressed.
    """
    if content.startswith(_GZIP):
        raise ValueError("compressed with gzip; unpack it first (gunzip)")
    return _ESCAPES.sub("", decode_text(content, errors="replace")).splitlines()


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
