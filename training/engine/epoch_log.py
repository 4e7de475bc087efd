"""The log's entry on an epoch, written exactly once however often the run is killed.

The entry is put down in a file before the epoch's checkpoint appears, logged after, and the file is removed. A run that
finds the file completes what the killed one has left out: nothing if the checkpoint is not there, as the epoch is
trained again.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deepfake.storage import atomic
from deepfake.storage.json_files import parse_json
from deepfake.storage.schema import from_plain

UNFINISHED = "unfinished_lines"
"""Attribute of a log record: its lines may be in the log already, or some of them."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpochEntry:
    """What the log says about an epoch.

    Attributes:
        epoch: from 0.
        lines: without times.
        seconds: when it was made, since 1970; stands before each line.
    """

    epoch: int
    lines: tuple[str, ...]
    seconds: float

    @staticmethod
    def of(epoch: int, lines: Sequence[str]) -> EpochEntry:
        return EpochEntry(epoch, tuple(lines), time.time())

    def write(self, path: Path) -> None:
        """Puts the entry down until it is logged."""
        atomic.write_text(path, json.dumps(asdict(self)) + "\n")

    def log(self) -> None:
        """Logs the lines."""
        for line in self.lines:
            log.handle(self._record(line))

    def log_missing(self) -> None:
        """Logs the lines that are not in the log yet: for handlers that can look, see `UNFINISHED`."""
        record = self._record("\n".join(self.lines))
        setattr(record, UNFINISHED, self.lines)
        log.handle(record)

    def _record(self, message: str) -> logging.LogRecord:
        record = log.makeRecord(log.name, logging.INFO, __file__, 0, message, (), None)
        record.created = self.seconds
        return record


def complete_entry(path: Path, epochs: int) -> None:
    """Completes the log if a run was killed between an epoch's checkpoint and the end of its entry.

    Args:
        path: where `EpochEntry.write` put it; removed.
        epochs: how many the checkpoint that training goes on from has finished.

    Raises:
        ValueError: the file is not such an entry.
    """
    try:
        entry = from_plain(EpochEntry, parse_json(path.read_bytes()))
    except FileNotFoundError:
        return
    except ValueError as error:
        raise ValueError(f"{path}: not an epoch's log entry ({error}); delete it") from error
    if entry.epoch < epochs:
        entry.log_missing()
    path.unlink()


def lines_there(lines: Sequence[str], log: str) -> int:
    """The number of lines, from the first on, that a log holds one after the other."""
    return next(n for n in range(len(lines), -1, -1) if n == 0 or "\n".join(lines[:n]) + "\n" in log)
