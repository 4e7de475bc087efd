"""Running preprocessing steps, as processes or in this one, and comparing what they write."""

import contextlib
import importlib
import io
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from deepfake.cli.commandline import run_guarded
from deepfake.storage.own_folders import RUNS_DIR
from tests.data.clips import cut, write_metadata


def pairs_in_parts(mini_dfdc: Path, root: Path, frames: int) -> Path:
    """Two reals and their fakes in two parts below a folder, cut to that many frames."""
    for part, real, fake in ((1, "d0", "d0_d3"), (3, "d19", "d19_d18")):
        folder = root / f"dfdc_train_part_{part}"
        folder.mkdir()
        for name in (real, fake):
            cut(mini_dfdc / folder.name / f"{name}.mp4", folder / f"{name}.mp4", frames)
        write_metadata(folder, [f"{real}.mp4"], {f"{fake}.mp4": f"{real}.mp4"})
    return root


def linked_root(parts: Path, root: Path) -> Path:
    """A data root of its own over shared clips."""
    root.mkdir()
    for part in parts.iterdir():
        (root / part.name).symlink_to(part)
    return root


def step_command(step: str, root: Path, *arguments: str) -> list[str]:
    return [sys.executable, f"preprocessing/{step}.py", "--root-dir", str(root), *arguments]


def run_here(step: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run a step in this process, which has torch: a process of its own and its workers would all import it."""
    import torch  # noqa: F401

    main = importlib.import_module(f"preprocessing.{step}").main
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", [f"preprocessing/{step}.py", *map(str, arguments)])
        try:
            code = run_guarded(main, err.write)
        except SystemExit as ended:  # argparse's own
            code = ended.code
    return subprocess.CompletedProcess([step, *arguments], code, out.getvalue(), err.getvalue())


def tree(root: Path) -> dict[str, bytes]:
    """All files that steps make of the videos below a data root, by relative name: not the records of their runs."""
    made = (
        path
        for path in root.rglob("*")
        if path.is_file() and not path.relative_to(root).parts[0].startswith(("dfdc", RUNS_DIR))
    )
    return {str(path.relative_to(root)): path.read_bytes() for path in made}


def killed(command: list[str], root: Path, until: Callable[[], object]) -> int:
    """Starts a command in the project's root, and kills it with all its processes once `until` returns: its code."""
    process = subprocess.Popen(
        command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    until()
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


FULL_DISK = textwrap.dedent("""
    set -e
    mount -t tmpfs -o size="$1" tmpfs "$2"
    code=0; "${@:3}" || code=$?
    find "$2" -name '.partial-*' | grep . && exit 99
    exit $code
""")


def on_small_disk(command: list[str], root: Path, folder: Path, size: str) -> subprocess.CompletedProcess:
    """Runs a command in the project's root with a file system of `size` over `folder`, that ends with it.

    Exit code 99: it left something half-written. Skips where nobody may make a name space.
    """
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0:
        pytest.skip("this system lets nobody make a name space")
    inside = ["unshare", "-rm", "bash", "-c", FULL_DISK, "full", size, str(folder), *command]
    return subprocess.run(inside, cwd=root, capture_output=True, text=True)


def assert_stopped_by_a_full_disk(done: subprocess.CompletedProcess) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert "the disk is full" in done.stderr
    assert "run the same command again to continue" in done.stderr
    assert "Traceback" not in done.stderr
