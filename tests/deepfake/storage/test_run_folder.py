"""What killed runs have left is deleted, and nothing else."""

import os
import subprocess
import sys
import time

import pytest

from deepfake.storage.run_folder import delete_older, run_folder, sweep

PREFIX = "deepfake-test-"
_HOLD = """
import sys, time
from pathlib import Path
from deepfake.storage.run_folder import run_folder
with run_folder(sys.argv[1], Path(sys.argv[2])) as folder:
    (folder / "sub").mkdir()
    (folder / "sub" / "private.mp4").write_bytes(b"x")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def start(tmp_path, project_root):
    """`start()` gives a process with a run folder in `tmp_path`."""
    started = []

    def run():
        command = [sys.executable, "-c", _HOLD, PREFIX, str(tmp_path)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=project_root))
        assert started[-1].stdout.readline().strip()
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_a_folder_is_private_and_goes_with_its_run(tmp_path):
    with run_folder(PREFIX, tmp_path) as folder:
        assert folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "c").touch()
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_runs_go_and_running_ones_stay(tmp_path, start):
    killed, running = start(), start()
    killed.kill()
    killed.wait()
    assert len(list(tmp_path.rglob("private.mp4"))) == 2
    with run_folder(PREFIX, tmp_path):
        assert len(list(tmp_path.rglob("private.mp4"))) == 1
    sweep(PREFIX, tmp_path)
    assert len(list(tmp_path.rglob("private.mp4"))) == 1 and running.poll() is None


def test_what_is_not_its_own_stays(tmp_path):
    """Folders without a lock, other names, links, files."""
    elsewhere = tmp_path / "elsewhere"
    for folder in (elsewhere, tmp_path / f"{PREFIX}unmarked"):
        folder.mkdir()
        (folder / "file").touch()
    (elsewhere / ".lock").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    (tmp_path / f"{PREFIX}file").touch()
    locked = tmp_path / f"{PREFIX}linked-lock"
    locked.mkdir()
    (locked / ".lock").symlink_to(elsewhere / ".lock")
    before = sorted(tmp_path.rglob("*"))
    sweep(PREFIX, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_old_files_are_deleted(tmp_path):
    hour_ago = time.time() - 3600
    for name in ("uploads/old/a.mp4", "kept/a.mp4", "new/a.mp4", ".lock"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        if not name.startswith("new"):
            os.utime(file, (hour_ago, hour_ago))
    for _ in range(2):  # a folder that has lost its files is as new as that
        for folder in ("uploads/old", "uploads"):
            if (tmp_path / folder).exists():
                os.utime(tmp_path / folder, (hour_ago, hour_ago))
        delete_older(tmp_path, 1800, frozenset({tmp_path / "kept" / "a.mp4"}))
    assert list((tmp_path / "uploads").iterdir()) == []
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        ".lock",
        "kept/a.mp4",
        "new/a.mp4",
    ]
