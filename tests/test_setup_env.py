"""The environment that demo.sh and test.sh share: made once, added to, made anew when its requirements change."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

NEEDED = ["setup_env.sh", "signals.sh", "requirements.txt", "constraints.txt", "pyproject.toml"]

# In the place of Python, whose real installation takes minutes and gigabytes: writes down what it is asked to do.
PROGRAM = """#!/bin/bash
case "$*" in
    *version_info* | --version) exit 0 ;;
    "-m venv --clear "*) rm -rf "$4" && mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && echo made >>"{log}" ;;
    "-m pip install "*) echo "${{@: -3}}" >>"{log}"; exit "${{PIP_FAILS:-0}}" ;;
esac
"""


@pytest.fixture
def checkout(project_root, tmp_path) -> Path:
    folder = tmp_path / "checkout"
    for name in NEEDED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(project_root / name, folder / name)
    return folder


@pytest.fixture
def use(checkout, tmp_path):
    """`use(extra)`: what a script that needs the extra does for it; exit code 0 and PYTHON, or else."""
    log = tmp_path / "log"
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "python3"
    program.write_text(PROGRAM.format(log=log))
    program.chmod(0o755)

    def call(extra: str, code: int = 0, **environment: str) -> list[str]:
        log.write_text("")
        given = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", **environment}
        given.pop("PYTHON", None)
        script = f'source "{checkout}/setup_env.sh"; use_environment "{extra}"; echo "$PYTHON" >&2'
        done = subprocess.run(["bash", "-c", script], env=given, capture_output=True, text=True)
        assert done.returncode == code
        assert code or done.stderr == f"{checkout}/.venv/bin/python\n"
        return log.read_text().replace(f"{checkout}", ".").splitlines()

    return call


CORE = "./constraints.txt --editable ."
DEV = "./constraints.txt --editable .[dev]"


def test_the_tests_add_to_the_demos_environment(use):
    assert use("") == ["made", CORE]
    assert use("") == []
    assert use("dev") == [DEV]
    assert use("dev") == use("") == []


def test_the_demo_takes_the_tests_environment_as_it_is(use):
    assert use("dev") == ["made", DEV]
    assert use("") == use("dev") == []


@pytest.mark.parametrize("name", ["requirements.txt", "constraints.txt", "pyproject.toml"])
def test_it_is_made_anew_when_requirements_change(use, checkout, name):
    use("dev")
    with (checkout / name).open("a") as file:
        file.write("# changed\n")
    assert use("") == ["made", CORE]
    assert use("dev") == [DEV]


def test_an_installation_that_failed_is_made_again(use):
    use("")
    assert use("dev", code=1, PIP_FAILS="1") == [DEV]
    assert use("") == ["made", CORE]
