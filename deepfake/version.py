"""Which code this is: the package's version, the commit it stands at, and a checksum of the library's own source."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import subprocess
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "deepfake-detection"

_LIBRARY = Path(__file__).resolve().parent
_DIGITS = 12


@dataclass(frozen=True)
class CodeVersion:
    """Attributes:
    package: of the installed package, None where it is not installed.
    commit: that git stands at, None where there is no git.
    source: SHA-256 (its first digits) over names and contents of the library's modules: the same for the same code,
        however it got there, and another one for any change, committed or not.
    """

    package: str | None
    commit: str | None
    source: str


@functools.cache
def code_version() -> CodeVersion:
    return CodeVersion(_package(), _commit(), source_checksum(_LIBRARY))


def source_checksum(folder: Path) -> str:
    """Over all Python files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:_DIGITS]


def _package() -> str | None:
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    root = _LIBRARY.parent
    if not (root / ".git").exists():
        return None
    try:
        told = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True)
    except OSError:  # no git here
        return None
    return told.stdout.strip() if told.returncode == 0 else None
