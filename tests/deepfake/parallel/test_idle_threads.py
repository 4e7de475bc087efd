"""Every program has idle OpenMP threads sleep before it imports torch."""

from deepfake.parallel.idle_threads import WAIT_POLICY

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_rooms import source_files

ROOT = Path(__file__).resolve().parents[3]

STARTED_BY_OTHERS = {
    "kernel_utils.py",
    "federated/owner/opener.py",
    "federated/owner/algorithm.py",
    "deepfake/parallel/cluster.py",
}
"""What notebooks, Substra and Dask workers import first."""

WATCH = f"""
import importlib.abc, os, runpy, sys

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch":
            print("torch with", os.environ.get({WAIT_POLICY!r}))
            raise KeyboardInterrupt

sys.meta_path.insert(0, Watch())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program until it imports torch."""


def programs() -> list[str]:
    names = [path.relative_to(ROOT).as_posix() for path in source_files(ROOT)]
    return [name for name in names if name in STARTED_BY_OTHERS or 'if __name__ == "__main__"' in read(name)]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("program", programs())
def test_first_import(program: str) -> None:
    imports = [n for n in ast.parse(read(program)).body if isinstance(n, (ast.Import, ast.ImportFrom))]
    first = next(ast.unparse(node) for node in imports if ast.unparse(node) != "from __future__ import annotations")
    assert first == "import deepfake.parallel.idle_threads"


@pytest.mark.parametrize("given", [None, "ACTIVE"])
@pytest.mark.parametrize("program", ["kernel_utils.py", "training/pipelines/launch.py command", "bench/train.py"])
def test_variable_is_set_before_torch(program: str, given: str | None) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop(WAIT_POLICY, None)
    if given is not None:
        environment[WAIT_POLICY] = given
    command = [sys.executable, "-c", WATCH, *program.split()]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.stdout.splitlines() == [f"torch with {given or 'PASSIVE'}"]
