"""Files and folders that appear whole or not at all: written under a temporary name, then renamed.

The temporary name follows from the final one, so whoever redoes a killed piece of work also removes what the killed
run left. A writer holds a lock (flock) on what it writes, which ends with its process: what another process is writing
is left alone, and the second writer of one name takes a temporary name with a number.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from deepfake.storage.names import fit

PARTIAL_PREFIX = ".partial-"
_REPLACED_PREFIX = ".replaced-"

_TRIES = 100
"""To put a folder in its place while others put theirs there."""


def whole_files(folder: Path, pattern: str) -> list[Path]:
    """The files in a folder that match, by name, without what a killed run began."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith(PARTIAL_PREFIX))


def partial_path(path: Path, number: int = 1) -> Path:
    """The temporary name, beside it, of what becomes `path`; `number` tells several writers at once apart."""
    return path.with_name(_numbered(PARTIAL_PREFIX, path.name, number))


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it becomes `path`, on an exception it is removed.

    Raises:
        FileNotFoundError: nothing was written.
    """
    with _written_file(path) as partial:
        yield partial
        if partial.stat().st_size == 0:  # a writer that fails without an exception
            raise FileNotFoundError(errno.ENOENT, "nothing was written", str(partial))
        os.replace(partial, path)


@contextlib.contextmanager
def atomic_folder(path: Path, staging: Path | None = None) -> Iterator[Path]:
    """Yields an empty temporary folder; on success it replaces `path`, else it is removed.

    Args:
        staging: where it is made, on the disk of `path`; None for beside `path`.
    """
    staging = staging or path.parent
    staging.mkdir(parents=True, exist_ok=True)
    with _claimed(staging / path.name, _claim_folder) as (partial, number):
        replaced = staging / _numbered(_REPLACED_PREFIX, path.name, number)
        shutil.rmtree(replaced, ignore_errors=True)
        yield partial
        path.parent.mkdir(parents=True, exist_ok=True)
        _put(partial, path, replaced)
        shutil.rmtree(replaced, ignore_errors=True)


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    with _written_file(path) as partial:
        partial.write_bytes(data)
        os.replace(partial, path)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def remove_leftovers(folder: Path, pattern: str) -> None:
    """Removes the temporary files in a folder that match and that no living process is writing."""
    for path in folder.glob(PARTIAL_PREFIX + pattern):
        _remove_leftover(path)


@contextlib.contextmanager
def _written_file(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _claimed(path, _claim_file) as (partial, _):
        yield partial


def _numbered(prefix: str, name: str, number: int) -> str:
    return fit(name, prefix if number == 1 else f"{prefix}{number}-")


@contextlib.contextmanager
def _claimed(path: Path, claim: Callable[[Path], int | None]) -> Iterator[tuple[Path, int]]:
    """Yields a temporary path for `path` that is this process's alone, and its number; what is left of it is removed.

    Args:
        claim: makes the temporary file or folder; returns an open file descriptor that holds its lock, None if it is
            another process's.
    """
    number = 1
    while (opened := claim(partial_path(path, number))) is None:
        number += 1
    partial = partial_path(path, number)
    try:
        for further in itertools.count(number + 1):
            if not _remove_leftover(partial_path(path, further)):
                break
        yield partial, number
    finally:
        if _is(opened, partial):  # else it has its final name, and this one may be another process's by now
            with contextlib.suppress(OSError):  # the error that led here is the one to raise
                _remove(partial)
        os.close(opened)


def _claim_file(partial: Path) -> int | None:
    while True:
        flags, is_new = os.O_RDWR | os.O_CLOEXEC, True
        try:
            opened = os.open(partial, flags | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            is_new = False
            try:
                opened = os.open(partial, flags)
            except FileNotFoundError:  # its writer has just finished
                continue
            except IsADirectoryError:
                return None
        lock = _lock(opened)
        if lock is False or (lock is None and not is_new):
            os.close(opened)
            return None
        if _is(opened, partial):
            if is_new or not stat.S_ISREG(os.fstat(opened).st_mode):
                return opened
            _remove(partial)  # what a killed process left, whose own children may still be writing to it
        os.close(opened)


def _claim_folder(partial: Path) -> int | None:
    while True:
        is_new = True
        try:
            partial.mkdir()
        except FileExistsError:
            is_new = False
        try:
            opened = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # its writer has just finished
            continue
        lock = _lock(opened)
        if lock is False or (lock is None and not is_new):
            os.close(opened)
            return None
        if _is(opened, partial):
            if is_new:
                return opened
            _remove(partial)  # what a killed process left
        os.close(opened)


def _lock(opened: int) -> bool | None:
    """Whether this process has the lock on an open file now; None where the file system has no locks."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is(opened: int, path: Path) -> bool:
    """Whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(opened), path.stat())
    except OSError:
        return False


def _remove_leftover(partial: Path) -> bool:
    """Removes a temporary file or folder if the process that wrote it has ended; whether there was one."""
    try:
        opened = os.open(partial, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return os.path.lexists(partial)
    try:
        if _lock(opened) and _is(opened, partial):
            _remove(partial)
    finally:
        os.close(opened)
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _put(partial: Path, path: Path, replaced: Path) -> None:
    """Gives a folder its name; what has the name is moved aside, also if another process has just put it there."""
    for _ in range(_TRIES):
        try:
            partial.rename(path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        shutil.rmtree(replaced, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.replace(path, replaced)
    raise OSError(errno.EBUSY, "others put theirs there again and again", str(path))
