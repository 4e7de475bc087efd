"""The results of a run that is under way, beside its output, for the run that continues it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deepfake.media.files import absolute
from deepfake.scoring.results import NO_FACE, OK, UNREADABLE, VideoResult
from deepfake.storage.journal import Journal

LASTING = (OK, NO_FACE, UNREADABLE)
"""Statuses that another attempt on the same file would give again."""


class ResultJournal(Journal):
    """The results of a run that is under way, beside its output. A video that has changed is scored again."""

    def __init__(self, output: Path, run: Mapping[str, Any], videos: Iterable[Path]) -> None:
        super().__init__(output, dict(run))
        self._keys = {path: _file_key(path) for path in videos}

    def results(self) -> dict[Path, VideoResult]:
        """Return the results that an earlier, stopped run of the same kind has left.

        Raises:
            ValueError: the journal is damaged.
        """
        finished = self.read()
        try:
            return {path: VideoResult.from_dict(finished[key]) for path, key in self._keys.items() if key in finished}
        except ValueError as error:
            raise ValueError(f"{self.path}: damaged ({error}); remove it to start over") from error

    def record(self, path: Path, result: VideoResult) -> None:
        """Record a result, unless another attempt might give a better one. Raises OutOfSpace."""
        if result.status in LASTING:
            self.add(self._keys[path], result.to_dict())


def _file_key(path: Path) -> str:
    """Return what tells whether a video is the same file as before: its place, size and time of change."""
    try:
        facts = path.stat()
    except OSError:  # reading it will tell why
        return absolute(path)
    return f"{absolute(path)} {facts.st_size} {facts.st_mtime_ns}"
