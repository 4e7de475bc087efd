"""Exported files in the place of checkpoints: found, opened, and scoring faces as torch's networks do."""

from __future__ import annotations

from pathlib import Path

from deepfake.backends.facts import ExportError, again
from deepfake.backends.network import ExportedNetwork
from deepfake.backends.registry import FILE_FORMATS
from deepfake.models.weight_files import file_hash


def exported_path(named: Path, backend: str) -> Path:
    """The exported file that is meant: NAME + suffix for a checkpoint's name, or the file named itself."""
    suffix = FILE_FORMATS[backend].suffix
    return named if named.name.endswith(suffix) else named.with_name(named.name + suffix)


def checkpoint_path(named: Path, backend: str) -> Path:
    """Where the checkpoint of an exported file would lie: beside it."""
    return named.with_name(named.name.removesuffix(FILE_FORMATS[backend].suffix))


def open_exported(named: Path, backend: str, device: str = "cpu") -> ExportedNetwork:
    """An exported file as a network.

    Args:
        named: the checkpoint's path, or the exported file itself.
        backend: a name in FILE_FORMATS.
        device: `cpu` or `cuda`.

    Raises:
        ExportError: missing, damaged, made from another checkpoint than the one that lies beside it, or its library is
            not installed.
    """
    path, checkpoint = exported_path(named, backend), checkpoint_path(named, backend)
    if not path.is_file():
        raise ExportError(
            f"{path}: no such file; make it: python -m export {checkpoint} --format {backend} --out {path.parent}"
        )
    file_format = FILE_FORMATS[backend]
    run, facts = file_format.open_file(path, device)
    if checkpoint.is_file() and file_hash(checkpoint) != facts.sha256:
        raise ExportError(
            f"{path}: was made from another checkpoint than {checkpoint}; {again(checkpoint, backend, path.parent)}"
        )
    return ExportedNetwork(run, facts, file_format.device or device)
