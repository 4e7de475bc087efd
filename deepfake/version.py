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
_PIPELINE = _LIBRARY.parent / "preprocessing" / "pipeline"
"""What workers of a cluster run beside the library."""
_DIGITS = 12


@dataclass(frozen=True)
class CodeVersion:
    """Attributes:
    package: of the installed package, None where it is not installed.
    commit: that git stands at, None where there is no git.
    source: SHA-256 (its first digits) over names and contents of the modules of the library and of
        `preprocessing.pipeline`: the same for the same code, and another one for any change, committed or not.
    """

    package: str | None
    commit: str | None
    source: str


@functools.cache
def code_version() -> CodeVersion:
    return CodeVersion(package_version(), _commit(), source_checksum(_LIBRARY, _PIPELINE))


def source_checksum(*folders: Path) -> str:
    """Return the checksum of all Python files below folders, their names included."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{folder.name}/{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()[:_DIGITS]


def package_version() -> str | None:
    """Return the installed package's version, None where it is not installed."""
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    root = _LIBRARY.parent
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True)
    except OSError:  # no git here
        return None
    return done.stdout.strip() if done.returncode == 0 else None
