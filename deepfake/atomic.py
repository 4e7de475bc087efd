"""Files and folders that appear whole or not at all: written under a temporary name, then renamed.

The temporary name follows from the final one, so whoever redoes a killed piece of work also removes what
the killed run left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

PARTIAL_PREFIX = ".partial-"
_REPLACED_PREFIX = ".replaced-"


def whole_files(folder: Path, pattern: str) -> list[Path]:
    """The files in a folder that match, by name, without what a killed run began."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith(PARTIAL_PREFIX))


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it becomes `path`, on an exception it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(PARTIAL_PREFIX + path.name)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, staging: Path | None = None) -> Iterator[Path]:
    """Yields an empty temporary folder; on success it replaces `path`, else it is removed.

    Args:
        staging: where it is made, on the disk of `path`; None for beside `path`.
    """
    staging = staging or path.parent
    partial = staging / (PARTIAL_PREFIX + path.name)
    replaced = staging / (_REPLACED_PREFIX + path.name)
    for leftover in (partial, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            os.replace(path, replaced)
        os.replace(partial, path)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    with atomic_file(path) as partial:
        partial.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))
