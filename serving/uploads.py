"""What a page or a service asks of a user's file before it is scored: that it is what the reader takes, and its length.

A file is read in a process of its own: one that crashes the decoder harms no other user.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from deepfake.media.video import LIMITS, ReadLimits, length_of
from deepfake.parallel.pool import IsCancelled, run_in_subprocess
from deepfake.prediction.bounded_memory import bounded_memory


class TooLong(ValueError):
    """A video is longer than allowed; the message says by how much."""


def check_length(
    file: Path, max_seconds: float, is_cancelled: IsCancelled | None = None, limits: ReadLimits = LIMITS
) -> None:
    """Reads a file's header, or all of it where the header gives no length.

    Raises:
        TooLong: the video is.
        VideoError: it cannot be read, or is over a limit.
        Cancelled: the work was cancelled (`deepfake.parallel.pool.stream`).
        WorkerDied: the decoder crashed.
    """
    seconds = run_in_subprocess(partial(_length, limits=limits), file, is_cancelled)
    if seconds > max_seconds:
        raise TooLong(f"{seconds:.0f} seconds long; at most {max_seconds:.0f} are taken. Cut it first")


def _length(file: Path, limits: ReadLimits) -> float:
    with bounded_memory(file, limits):
        return length_of(file, limits)


def named_as_uploaded(error: Exception | str, file: Path, name: str) -> str:
    """Return an error's message with the upload's name in the place of where it lies."""
    text = str(error)
    for path in (file, file.resolve()):
        text = text.replace(str(path), name)
    for folder in (file.parent, file.resolve().parent):
        text = text.replace(f"{folder}/", "")
    return text
