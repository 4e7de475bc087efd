"""Downloads of the published weights, checked.

No checksum was ever published: the SHA-256 of each file is recorded at its first download and compared from then on.
The record is a file that `sha256sum --check` reads.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from deepfake.published import NAMES, WeightsError
from deepfake.storage import atomic
from deepfake.storage.names import is_plain_name

CHECKSUMS = "SHA256SUMS"

UNCHECKED_SUFFIX = ".unchecked"
"""A download that is complete, but not yet known to be what it should be."""


def missing(folder: Path, names: Sequence[str] = NAMES) -> list[str]:
    """The files that are not in the folder yet, neither checked nor unchecked.

    Raises:
        WeightsError: a name that leaves the folder.
    """
    for name in names:
        if not is_plain_name(name):
            raise WeightsError(f"{name!r}: expected the plain name of a weight file")
    return [name for name in names if not (folder / name).exists() and not _unchecked(folder, name).exists()]


def verify(folder: Path, names: Sequence[str] = NAMES) -> Iterator[str]:
    """Checks every file and gives downloads their names: same checksum as at the first download, loads strictly.

    Yields a line about each file once it is known to be good. A file whose recorded checksum is right is not loaded.

    Raises:
        WeightsError: a file is missing, has changed, or cannot be loaded. A download that cannot be loaded is removed.
    """
    for name in names:
        path, download = folder / name, _unchecked(folder, name)
        if path.exists():
            yield f"{name}: {_check(folder, name, path)}"
        elif download.exists():
            try:
                outcome = _check(folder, name, download)
            except WeightsError:
                download.unlink()
                raise
            os.replace(download, path)
            yield f"{name}: {outcome}"
        else:
            raise WeightsError(f"{path}: no such file; download it again")


def read_checksums(folder: Path) -> dict[str, str]:
    """The recorded SHA-256 by file name.

    Raises:
        WeightsError: a line that is not `HASH  NAME`.
    """
    file = folder / CHECKSUMS
    if not file.is_file():
        return {}
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != hashlib.sha256().digest_size * 2:
            raise WeightsError(f"{file}: {line!r} is not 'SHA256  NAME'; remove the line to record it anew")
        found[name] = digest
    return found


def _check(folder: Path, name: str, path: Path) -> str:
    """Compares with the record, or loads and records. Returns what was done."""
    from deepfake.checkpoints.checkpoint import load_model  # torch takes seconds, and most runs find all recorded
    from deepfake.models.weight_files import file_hash

    recorded = read_checksums(folder)
    digest = file_hash(path)
    if name in recorded:
        if recorded[name] != digest:
            raise WeightsError(
                f"{path}: has changed: SHA-256 is {digest}, but was {recorded[name]} at the first download. Remove the "
                f"file and download it again; if it was replaced on purpose, remove its line from {folder / CHECKSUMS}"
            )
        return "unchanged"
    try:
        load_model(path)
    except ValueError as error:
        raise WeightsError(f"{error}. Remove it and download it again") from error
    recorded[name] = digest
    atomic.write_text(folder / CHECKSUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(recorded.items())))
    return f"loads strictly, SHA-256 {digest} recorded"


def _unchecked(folder: Path, name: str) -> Path:
    return folder / (name + UNCHECKED_SUFFIX)
