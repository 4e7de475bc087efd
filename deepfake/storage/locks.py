"""One writer at a time for a folder or a file: a data root, the faces of a data set, a run's checkpoints, a table.

The lock is advisory (flock) on a hidden file in the folder, or beside the file. It ends with the process that holds it,
whatever ends that one; processes that it has forked do not keep it alive. Readers need none.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from deepfake.storage.names import fit, one_line

FOLDER_LOCK = ".writer.lock"
_FILE_PREFIX, _FILE_SUFFIX = ".", ".lock"
_MOST_BYTES = 4096

log = logging.getLogger(__name__)


class Locked(ValueError):
    """Another process writes there; the message says which."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes:
        pid: the process on `host`.
        command: the name of its program.
        since: date and time when it took the lock, local, ISO 8601.
    """

    pid: int
    host: str
    command: str
    since: str

    def __str__(self) -> str:
        since = datetime.fromisoformat(self.since).strftime("%Y-%m-%d %H:%M")
        return one_line(f"process {self.pid} ({self.command}, since {since} on host {self.host})")


@contextlib.contextmanager
def writing_folder(folder: Path) -> Iterator[None]:
    """Be the one writer of a folder, which must exist, until the context ends. A process may enter it several times.

    Raises:
        Locked: another process is.
        OSError: the folder cannot be written.
    """
    with _held(folder / FOLDER_LOCK, folder):
        yield


@contextlib.contextmanager
def writing_file(path: Path) -> Iterator[None]:
    """The same for a file, and what is kept beside it under its name. Its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _held(path.with_name(fit(path.name, _FILE_PREFIX, _FILE_SUFFIX)), path):
        yield


@contextlib.contextmanager
def writing_table(path: Path, folder: Path) -> Iterator[None]:
    """The same for a table of what a folder holds: of the folder, if the table is in it, else of the table."""
    inside = path.resolve().is_relative_to(folder.resolve())
    with writing_folder(folder) if inside else writing_file(path):
        yield


def exec_writing(folder: Path, script: Path, arguments: Sequence[str]) -> None:
    """Becomes a bash script, which is then the one writer of a folder, with all processes that it starts.

    Raises:
        Locked: another process is.
        OSError: the folder cannot be written, or there is no bash.
    """
    folder.mkdir(parents=True, exist_ok=True)
    opened = _take(folder / FOLDER_LOCK, folder, script.name)
    if opened is not None:
        os.set_inheritable(opened, True)
    os.execvp("bash", ["bash", str(script), *arguments])


@dataclass
class _Hold:
    opened: int
    entered: int = 1


_held_here: dict[Path, _Hold] = {}
"""By the lock file's real path."""


@contextlib.contextmanager
def _held(file: Path, place: Path) -> Iterator[None]:
    key = file.parent.resolve() / file.name
    if key in _held_here:
        _held_here[key].entered += 1
    else:
        opened = _take(file, place, Path(sys.argv[0]).name)
        if opened is None:
            yield
            return
        _held_here[key] = _Hold(opened)
    try:
        yield
    finally:
        hold = _held_here.get(key)  # none in a forked process
        if hold is not None:
            hold.entered -= 1
        if hold is not None and not hold.entered:
            del _held_here[key]
            with contextlib.suppress(OSError):
                file.unlink()  # before it is let go: whoever opens it now finds that it is not there any more
            os.close(hold.opened)


def _take(file: Path, place: Path, command: str) -> int | None:
    """Locks a file, made if need be: an open file descriptor; None where the file system has no locks."""
    while True:
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _read(os.read(opened, _MOST_BYTES))
            os.close(opened)
            raise Locked(f"{place} is being written by {holder}; wait for it or stop it") from error
        except OSError as error:
            os.close(opened)
            log.warning("%s: locks do not work here (%s); see to it that nobody else writes there", place, error)
            return None
        if _is_named(opened, file):
            break
        os.close(opened)  # its holder has just let it go, and removed it
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    content = json.dumps(asdict(Holder(os.getpid(), socket.gethostname(), command, now)))
    try:
        os.ftruncate(opened, 0)
        os.write(opened, f"{content}\n".encode())
    except OSError:
        os.close(opened)
        raise
    return opened


def _read(content: bytes) -> str:
    try:
        return str(Holder(**json.loads(content)))
    except (ValueError, TypeError):  # it has only just been taken
        return "another process"


def _is_named(opened: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(opened), file.stat())
    except FileNotFoundError:
        return False


def _let_go() -> None:
    """In a process that was just forked: the lock is its parent's."""
    for hold in _held_here.values():
        os.close(hold.opened)
    _held_here.clear()


os.register_at_fork(after_in_child=_let_go)
