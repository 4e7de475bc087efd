"""The formats that a network can be exported to, by the names that `--format` knows: one module of `formats` each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepfake.backends.registry import FILE_FORMATS, FileFormat
from deepfake.storage.registry import Registry

if TYPE_CHECKING:  # takes torch, and the names alone must not
    from export.graph import ExportJob

Write = Callable[[Path, "ExportJob"], AbstractContextManager[Path]]
"""Yields the finished file under a temporary name; it gets its own if the caller raises nothing. Raises ExportError."""


@dataclass(frozen=True)
class Format:
    """How files of one format are written.

    Attributes:
        file: how they are run.
        check_installed: raises ExportError if something is missing here that writing needs.
        written: writes one.
    """

    file: FileFormat
    check_installed: Callable[[], None]
    written: Write


FORMATS: Registry[Format] = Registry("format", "export.formats", by_module=True)


def export_format(name: str, check_installed: Callable[[], None]) -> Callable[[Write], Write]:
    """Return a decorator that registers the function that writes files of a format; see `Format`."""

    def add(written: Write) -> Write:
        FORMATS.register(name)(Format(FILE_FORMATS[name], check_installed, written))
        return written

    return add
