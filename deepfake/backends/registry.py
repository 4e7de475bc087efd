"""The formats of exported files that can be run, by the names that `--backend` knows: one module of `formats` each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deepfake.storage.registry import Registry

if TYPE_CHECKING:  # these take torch, and the names alone must not
    from deepfake.backends.facts import ExportFacts
    from deepfake.backends.network import Run

OpenFile = Callable[[Path, str], "tuple[Run, ExportFacts]"]
"""A file, a device (`cpu`, `cuda`) -> the file ready to run there, and what it says of itself. Raises ExportError."""


@dataclass(frozen=True)
class FileFormat:
    """How files of one format are run.

    Attributes:
        name: what `--backend` calls it.
        suffix: of the file that is named; others of the same name may lie beside it.
        precisions: in which it can compute, the usual one first.
        device: where it takes images, `cpu` or `cuda`; None: where the caller says.
        open_file: opens one.
    """

    name: str
    suffix: str
    precisions: tuple[str, ...]
    device: str | None
    open_file: OpenFile


FILE_FORMATS: Registry[FileFormat] = Registry("backend", "deepfake.backends.formats", by_module=True)


def file_format(
    name: str, suffix: str, precisions: tuple[str, ...], device: str | None = None
) -> Callable[[OpenFile], OpenFile]:
    """Return a decorator that registers the function that opens files of a format; see `FileFormat`."""

    def add(open_file: OpenFile) -> OpenFile:
        FILE_FORMATS.register(name)(FileFormat(name, suffix, precisions, device, open_file))
        return open_file

    return add
