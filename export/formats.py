"""The formats that a network can be exported to, by the names that commands know."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, cast

from export import onnx_format, openvino_format, tensorrt_format
from export.facts import ExportFacts
from export.network import ExportJob, Run


class Format(Protocol):
    """What a module of a format offers."""

    NAME: str
    SUFFIX: str
    """Of the file that is named; others of the same name may lie beside it."""
    PRECISIONS: tuple[str, ...]
    """In which it can compute, the usual one first."""
    PLACE: str
    """Where it takes pictures, `cpu` or `cuda`."""

    @property
    def check_installed(self) -> Callable[[], None]:
        """Raises ExportError if something is missing here that exporting needs."""

    @property
    def written(self) -> Callable[[Path, ExportJob], AbstractContextManager[Path]]:
        """Yields the finished file under a temporary name; it gets its own if the caller raises nothing."""

    @property
    def open_file(self) -> Callable[[Path, str], tuple[Run, ExportFacts]]:
        """A file ready to run on a device (`cpu`, `cuda`), and what it tells."""


FORMATS = {module.NAME: cast(Format, module) for module in (onnx_format, openvino_format, tensorrt_format)}
