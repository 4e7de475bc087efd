"""The error of a full disk, which ends a run: nothing that follows could be written either."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OutOfSpace(OSError):
    """The disk is full: nothing that follows can be written either."""


def is_disk_full(error: OSError) -> bool:
    """Return whether the system refused to write because a disk or a quota is full."""
    return error.errno in _FULL


@contextlib.contextmanager
def out_of_space(path: Path) -> Iterator[None]:
    """Turn the errors of a full disk into OutOfSpace, which names `path`."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise OutOfSpace(f"{path}: the disk is full ({error.strerror})") from error
