"""The memory that reading one video may take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepfake.media.containers import ReadLimits, VideoError
from deepfake.parallel.allocator import is_out_of_memory, limit_growth, return_freed_memory


@contextmanager
def bounded_memory(path: Path, limits: ReadLimits) -> Iterator[None]:
    """Hold this process to the memory that it has and `limits.memory` more, from now on; for one that reads one video.

    A decoder may need many frames at a time, and no header says how many. What reading has freed is given back at the
    end: the process may wait while what it has found is scored.

    Raises:
        VideoError: the body of the statement needs more.
    """
    if limits.memory is not None:
        limit_growth(limits.memory)
    try:
        yield
    except Exception as error:
        if limits.memory is None or not is_out_of_memory(error):
            raise
        raise VideoError(f"{path}: reading it takes more than {limits.memory >> 20} MB of memory, the limit") from error
    if limits.memory is not None:
        return_freed_memory()
