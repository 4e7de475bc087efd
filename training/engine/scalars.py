"""Scalars for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any


class Scalars:
    """Writes scalars by epoch to `logdir`; with None, nothing (ranks other than the main one).

    Args:
        first_step: entries of an earlier run from this epoch on are replaced (it was killed in that epoch).
    """

    def __init__(self, logdir: Path | None, first_step: int = 0) -> None:
        self._writer: Any = None
        if logdir is not None:
            # Takes seconds to import.
            from tensorboardX import SummaryWriter

            logdir.mkdir(parents=True, exist_ok=True)
            self._writer = SummaryWriter(str(logdir), purge_step=first_step or None)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()

    def __enter__(self) -> Scalars:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._writer is not None:
            self._writer.close()
