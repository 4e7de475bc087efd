"""Files in a folder that is here or behind a URL (fsspec: s3, gs, http, ...), read whole or downloaded.

Needs the extra `remote` for URLs; it is imported at the first of them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_TRIES = 3
_PAUSE = 1.0
"""Seconds before the second try; twice that before the third."""


class RemoteError(ValueError):
    """A file cannot be read; the message names it."""


def is_url(location: str | Path) -> bool:
    return "://" in str(location)


def as_location(text: str) -> str | Path:
    """A URL as it is, everything else as a path (a path would lose one of a URL's slashes)."""
    return text if is_url(text) else Path(text)


class Folder:
    """A folder, here or behind a URL."""

    def __init__(self, location: str | Path) -> None:
        self.location = str(location).rstrip("/") or "/"
        self.is_remote = is_url(location)

    def __str__(self) -> str:
        return self.location

    def path(self, name: str) -> Path:
        """A file of a folder that is here."""
        return Path(self.location, name)

    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            RemoteError: missing, or not to be had.
        """
        if not self.is_remote:
            try:
                return self.path(name).read_bytes()
            except OSError as error:
                raise RemoteError(f"{self}/{name}: cannot be read: {error.strerror}") from error
        return self._try(name, lambda files, place: files.cat_file(place))

    def download(self, name: str, target: Path) -> None:
        """Copies a file of a remote folder to `target`, which callers make atomic.

        Raises:
            RemoteError: missing, or not to be had.
        """
        self._try(name, lambda files, place: files.get_file(place, str(target)))

    def _try(self, name: str, use: Callable[[Any, str], T]) -> T:
        files, root = _file_system(self.location)
        for pause in [_PAUSE * 2**n for n in range(_TRIES - 1)] + [None]:
            try:
                return use(files, f"{root.rstrip('/')}/{name}")
            except (FileNotFoundError, PermissionError) as error:
                raise RemoteError(f"{self}/{name}: cannot be read: no such file, or not for you") from error
            except Exception as error:  # each protocol's library has its own kinds of errors
                if pause is None:
                    raise RemoteError(f"{self}/{name}: cannot be read: {type(error).__name__}: {error}") from error
            with contextlib.suppress(KeyError):
                files.invalidate_cache()
            time.sleep(pause)
        raise AssertionError("unreachable")


def _file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the URL as it wants it. fsspec keeps one for each process."""
    missing = f"{url}: the extra 'remote' is not installed; python -m pip install -e '.[remote]'"
    try:
        import fsspec
    except ImportError as error:
        raise RemoteError(missing) from error
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise RemoteError(f"{missing} ({error})") from error
    except (ValueError, OSError) as error:
        raise RemoteError(f"{url}: not a URL that can be read: {error}") from error
