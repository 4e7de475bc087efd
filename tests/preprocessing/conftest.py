"""Data sets and commands that the steps' tests share."""

import subprocess
from pathlib import Path

import pytest

from tests.data.steps import linked_root, pairs_in_parts, run_here, step_command

FRAMES = 21


@pytest.fixture(scope="session")
def small_parts(mini_dfdc, tmp_path_factory) -> Path:
    """Two reals and their fakes in two parts, 21 frames each; only to be read."""
    return pairs_in_parts(mini_dfdc, tmp_path_factory.mktemp("small"), FRAMES)


@pytest.fixture
def data_root(small_parts, tmp_path) -> Path:
    """A data root of its own for one test, over the shared clips."""
    return linked_root(small_parts, tmp_path / "data root")


@pytest.fixture(scope="session")
def run_step(project_root):
    """`run_step("extract_crops", root, ...)`: runs a step.

    As a process, as the README prints it, with options of `subprocess.run`, and where the step starts processes that
    write to its output or import its main module (status.py, a cluster).
    """

    def run(step: str, root: Path, *arguments: str, **options) -> subprocess.CompletedProcess:
        if not options and step != "status" and "--scheduler" not in arguments:
            return run_here(step, "--root-dir", root, *arguments)
        command = step_command(step, root, *arguments)
        return subprocess.run(command, cwd=project_root, capture_output=True, text=True, **options)

    return run
