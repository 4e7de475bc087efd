"""This project's source alone, as a folder that pip can install: what tasks on other machines need of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("deepfake", "training", "federated", "preprocessing", "export", "visualize")
_BESIDE = ("pyproject.toml", "README.md", "LICENSE", "requirements*.txt", "*.py")
_SUFFIXES = (".py", ".html")


@contextmanager
def project_source(root: Path = _ROOT) -> Iterator[Path]:
    """Yields a temporary folder with the source, without data, weights, tests and environments that lie beside it.

    Raises:
        ValueError: `root` is no checkout of the project.
    """
    if not (root / "pyproject.toml").is_file():
        raise ValueError(f"{root}: no pyproject.toml; run this from a checkout of the project (pip install -e .)")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "deepfake-detection"
        sources = [path for pattern in _BESIDE for path in root.glob(pattern)]
        sources += [p for package in _PACKAGES for p in (root / package).rglob("*") if p.suffix in _SUFFIXES]
        for path in sources:
            target = folder / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        yield folder
