"""Data sets and commands that the steps' tests share."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.clips import cut, write_metadata

FRAMES = 21


@pytest.fixture(scope="session")
def small_parts(mini_dfdc, tmp_path_factory) -> Path:
    """Two reals and their fakes in two parts, 21 frames each; only to be read."""
    root = tmp_path_factory.mktemp("small")
    for part, real, fake in ((1, "d0", "d0_d3"), (3, "d19", "d19_d18")):
        folder = root / f"dfdc_train_part_{part}"
        folder.mkdir()
        for name in (real, fake):
            cut(mini_dfdc / folder.name / f"{name}.mp4", folder / f"{name}.mp4", FRAMES)
        write_metadata(folder, [f"{real}.mp4"], {f"{fake}.mp4": f"{real}.mp4"})
    return root


@pytest.fixture
def data_root(small_parts, tmp_path) -> Path:
    """A data root of its own for one test, over the shared clips."""
    root = tmp_path / "data root"
    root.mkdir()
    for part in small_parts.iterdir():
        (root / part.name).symlink_to(part)
    return root


@pytest.fixture(scope="session")
def run_step(project_root):
    """`run_step("extract_crops", root, ...)`: runs a step as the README prints it."""

    def run(step: str, root: Path, *arguments: str, **options) -> subprocess.CompletedProcess:
        command = step_command(step, root, *arguments)
        return subprocess.run(command, cwd=project_root, capture_output=True, text=True, **options)

    return run


def step_command(step: str, root: Path, *arguments: str) -> list[str]:
    return [sys.executable, f"preprocessing/{step}.py", "--root-dir", str(root), *arguments]


def tree(root: Path) -> dict[str, bytes]:
    """All files that steps write below a data root, by relative name."""
    made = (
        path for path in root.rglob("*") if path.is_file() and not path.relative_to(root).parts[0].startswith("dfdc")
    )
    return {str(path.relative_to(root)): path.read_bytes() for path in made}
