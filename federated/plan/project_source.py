"""This project's source alone, as a folder that pip can install: what tasks on other machines need of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("deepfake", "training", "federated")
_BESIDE = ("README.md", "LICENSE", "requirements.txt")
_PYPROJECT = "pyproject.toml"
_IN_A_WHEEL = 'include = ["deepfake*"]'
"""The line of pyproject.toml that leaves the other rooms out of a wheel."""


@contextmanager
def project_source(root: Path = _ROOT) -> Iterator[Path]:
    """Yield a temporary folder with the source that tasks need, without data and environments that lie beside it.

    A wheel built there holds all rooms in it, not the library alone.

    Raises:
        ValueError: `root` is no checkout of the project.
    """
    if not (root / _PYPROJECT).is_file():
        raise ValueError(f"{root}: no pyproject.toml; run this from a checkout of the project (pip install -e .)")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "deepfake-detection"
        sources = [root / name for name in _BESIDE]
        sources += [path for package in _PACKAGES for path in (root / package).rglob("*.py")]
        for path in sources:
            target = folder / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        project = (root / _PYPROJECT).read_text(encoding="utf-8")
        packages = ", ".join(f'"{package}*"' for package in _PACKAGES)
        (folder / _PYPROJECT).write_text(project.replace(_IN_A_WHEEL, f"include = [{packages}]"), encoding="utf-8")
        yield folder
