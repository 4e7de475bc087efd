"""A folder for the temporary files of one run; what killed runs have left is deleted by later ones.

A run holds a lock on its folder as long as its process lives, however that ends. Folders without a lock file, of other
users, or with a lock that is held are left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_LOCK = ".lock"


@contextlib.contextmanager
def run_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """Yield a new folder that nobody else can read, and delete it in the end. Sweeps first.

    Args:
        prefix: what the names of the folders of this kind of run begin with.
        parent: where the folder is made (default: the system's folder for temporary files).
    """
    parent = (parent or Path(tempfile.gettempdir())).resolve()
    sweep(prefix, parent)
    folder, lock = _make(prefix, parent)
    try:
        yield folder
    finally:
        _delete(folder)
        os.close(lock)


def sweep(prefix: str, parent: Path | None = None) -> None:
    """Delete the folders of runs whose process is gone."""
    for entry in os.scandir(parent or Path(tempfile.gettempdir())):
        if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False):
            with contextlib.suppress(OSError):  # another sweeper was faster, or the folder is another user's
                _delete_if_left(Path(entry.path))


def delete_older(folder: Path, seconds: float, keep: frozenset[Path] = frozenset()) -> None:
    """Delete the files below a run's folder that have not changed for that long, but for `keep` and the lock.

    Folders that are empty by then go too, but for those directly in it, which the run goes on using.
    """
    deadline = time.time() - seconds
    for root, _, names in os.walk(folder, topdown=False):
        for file in (Path(root, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                if file not in keep and file.name != _LOCK and file.lstat().st_mtime < deadline:
                    file.unlink()
        if folder not in (Path(root), Path(root).parent) and Path(root).stat().st_mtime < deadline:
            with contextlib.suppress(OSError):  # not empty
                Path(root).rmdir()


def _make(prefix: str, parent: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return folder, lock
        os.close(lock)  # a sweeper came between the two lines above


def _delete_if_left(folder: Path) -> None:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        info = os.fstat(lock)
        if info.st_uid != os.getuid() or not stat.S_ISREG(info.st_mode):
            return
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _delete(folder)
    finally:
        os.close(lock)


def _delete(folder: Path) -> None:
    """The lock goes last: a deletion that is killed is taken up by the next sweep."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        elif entry.name != _LOCK:
            Path(entry.path).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
