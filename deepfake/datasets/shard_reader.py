"""Reading shards where they lie: byte ranges of local files, or of bounded local copies of remote ones."""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import hashlib
import itertools
import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deepfake.datasets.shards import INDEX_CSV, SHARDS_JSON, SUFFIX, Shard, ShardError, ShardIndex, parse_index
from deepfake.storage import atomic
from deepfake.storage.remote import Folder
from deepfake.version import PACKAGE

CACHE_GIB = 50.0
_OPEN_SHARDS = 16
_LOCK_PREFIX = ".lock-"
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def default_cache_dir() -> Path:
    """Below the user's cache folder, or the system's for temporary files if there is no home."""
    with contextlib.suppress(RuntimeError):
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / PACKAGE / "shards"
    return Path(tempfile.gettempdir()) / f"{PACKAGE}-shards"


def is_packed(location: str | Path) -> bool:
    """True for a URL, a pattern of shards, and a folder with an index of shards."""
    folder, pattern = split_location(location)
    return folder.is_remote or pattern is not None or folder.path(SHARDS_JSON).is_file()


def split_location(location: str | Path) -> tuple[Folder, str | None]:
    """The folder, and the pattern of shards' names where the location ends in one (`fold0[0-3]_*.tar`)."""
    text = str(location).rstrip("/")
    if not text.endswith(SUFFIX):
        return Folder(location), None
    folder, _, pattern = text.rpartition("/")
    return Folder(folder or "."), pattern


def open_index(location: str | Path) -> tuple[Folder, ShardIndex]:
    """The shards that a folder, a URL or a pattern names, and where they are.

    A pattern's `*`, `?` and `[...]` mean what they mean to a shell, `{00..15}` a range of numbers.

    Raises:
        ShardError: no shards there, or an index that cannot be used.
        RemoteError: the index cannot be read.
    """
    folder, pattern = split_location(location)
    index = parse_index(folder.read(SHARDS_JSON), folder.read(INDEX_CSV), str(folder))
    if pattern is not None:
        expanded = _expand(pattern)
        index = index.chosen(s.name for s in index.shards if any(fnmatch.fnmatchcase(s.name, p) for p in expanded))
    if not index.shards:
        raise ShardError(f"{location}: no shards of {folder}/{SHARDS_JSON} have such names")
    return folder, index


def _expand(pattern: str) -> list[str]:
    """A pattern without its `{00..15}`: one for each number."""
    match = _RANGE.search(pattern)
    if match is None:
        return [pattern]
    first, last = match.groups()
    before, after = pattern[: match.start()], pattern[match.end() :]
    numbers = (f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1))
    return [expanded for number in numbers for expanded in _expand(f"{before}{number}{after}")]


class ShardCache:
    """Local copies of remote shards, never more than `limit` bytes: the one used longest ago makes room.

    Several processes share a folder: each shard is downloaded by one of them, the others wait for it.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit

    def fetch(self, shard: Shard, source: Folder, packing: str) -> int:
        """An open file descriptor of a shard's copy, downloaded if it is not there.

        Args:
            packing: tells shards of one name apart: the index's checksum.

        Raises:
            RemoteError: it cannot be downloaded.
            ShardError: what was downloaded has another size than the index tells.
        """
        key = hashlib.sha256(f"{source} {packing}".encode()).hexdigest()[:16]
        path = self.folder / f"{key}-{shard.name}"
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            with contextlib.suppress(FileNotFoundError):
                opened = _open(path, shard)
                os.utime(opened)  # used now
                return opened
            with self._reserved(path, shard.bytes):
                if path.exists():
                    continue
                with atomic.atomic_file(path) as partial:
                    source.download(shard.name, partial)
                    if partial.stat().st_size != shard.bytes:
                        raise ShardError(
                            f"{source}/{shard.name}: has {partial.stat().st_size} bytes; {SHARDS_JSON} says "
                            f"{shard.bytes}: they are of two packings, or the upload was cut off"
                        )

    @contextlib.contextmanager
    def _reserved(self, path: Path, size: int) -> Iterator[None]:
        """Alone with one shard, with room for it: its lock file has the size that is going to be needed."""
        with path.with_name(_LOCK_PREFIX + path.name).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():  # another process was quicker
                yield
                return
            with (self.folder / ".lock").open("ab") as everything:
                fcntl.flock(everything, fcntl.LOCK_EX)
                self._make_room(size)
                os.ftruncate(lock.fileno(), size)  # without taking up space
            try:
                yield
            finally:
                os.ftruncate(lock.fileno(), 0)

    def _make_room(self, size: int) -> None:
        reserved = sum(_reserved_bytes(lock) for lock in self.folder.glob(f"{_LOCK_PREFIX}*"))
        files = [path for path in self.folder.glob(f"*{SUFFIX}") if not path.name.startswith(".")]
        copies = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in files)
        used = reserved + sum(bytes_ for _, bytes_, _ in copies)
        for _, bytes_, path in copies:
            if used + size <= self.limit:
                return
            path.unlink()  # whoever reads it keeps it open
            used -= bytes_


def _reserved_bytes(lock: Path) -> int:
    """What a download under way may take; a killed one's reservation is taken back, with what it had written."""
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.fstat(file.fileno()).st_size
        os.ftruncate(file.fileno(), 0)
        atomic.partial_path(lock.with_name(lock.name.removeprefix(_LOCK_PREFIX))).unlink(missing_ok=True)
        return 0


def _open(path: Path, shard: Shard) -> int:
    """Raises ShardError if the file is not as large as the index tells."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    size = os.fstat(opened).st_size
    if size != shard.bytes:
        os.close(opened)
        raise ShardError(f"{path}: has {size} bytes; {SHARDS_JSON} says {shard.bytes}: pack again, or copy it again")
    return opened


class ShardReader:
    """Bytes of shards. Shards are opened when they are first read, and the one read longest ago is closed.

    Args:
        cache: where copies of remote shards go.
    """

    def __init__(self, folder: Folder, index: ShardIndex, cache: ShardCache) -> None:
        self._folder = folder
        self._shards = {shard.name: shard for shard in index.shards}
        self._packing = index.checksum
        self._cache = cache
        self._opened: OrderedDict[str, int] = OrderedDict()
        self._next: dict[str, str] = {}

    def expect(self, order: Sequence[str]) -> None:
        """Tells in which order shards are going to be read first: the next is downloaded while one is read."""
        self._next = dict(itertools.pairwise(order)) if self._folder.is_remote else {}

    def read(self, shard: str, at: int, size: int) -> bytes:
        """Bytes `at` to `at + size` of a shard.

        Raises:
            ShardError: not as the index tells.
            RemoteError: a remote shard cannot be read.
        """
        data = os.pread(self._open(shard), size, at)
        if len(data) != size:
            raise ShardError(f"{self._folder}/{shard}: ends before byte {at + size}, where its index has a file")
        return data

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": OrderedDict()}  # another process opens its own

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        while self._opened:
            os.close(self._opened.popitem()[1])

    def _open(self, name: str) -> int:
        if name in self._opened:
            self._opened.move_to_end(name)
            return self._opened[name]
        if len(self._opened) >= _OPEN_SHARDS:
            os.close(self._opened.popitem(last=False)[1])
        self._opened[name] = self._descriptor(name)
        if name in self._next:
            threading.Thread(target=self._fetch_ahead, args=(self._next[name],), daemon=True).start()
        return self._opened[name]

    def _descriptor(self, name: str) -> int:
        shard = self._shards[name]
        if self._folder.is_remote:
            return self._cache.fetch(shard, self._folder, self._packing)
        try:
            return _open(self._folder.path(name), shard)
        except OSError as error:
            raise ShardError(f"{self._folder}/{name}: cannot be read: {error.strerror}") from error

    def _fetch_ahead(self, name: str) -> None:
        # Whoever needs the shard tries again, and tells what is wrong with it.
        with contextlib.suppress(ValueError, OSError):
            os.close(self._cache.fetch(self._shards[name], self._folder, self._packing))


def first_uses(shards: Iterable[str]) -> list[str]:
    """Names in the order of their first appearance."""
    return list(dict.fromkeys(shards))
