"""preprocess_data.sh stopped, killed, started twice, as real processes: the last run gives what one clean run gives.

DEEPFAKE_KILLS=60 and DEEPFAKE_PAIRS=10 try more often than the suite does.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.data.steps import linked_root, pairs_in_parts, tree

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("DEEPFAKE_KILLS", "3"))
PAIRS = int(os.environ.get("DEEPFAKE_PAIRS", "1"))

FRAMES = 5
"""So few that most of a run is starting and writing."""


@pytest.fixture(scope="module")
def tiny_parts(mini_dfdc, tmp_path_factory) -> Path:
    return pairs_in_parts(mini_dfdc, tmp_path_factory.mktemp("tiny"), FRAMES)


def start(project_root: Path, root: Path) -> subprocess.Popen:
    """Starts preprocess_data.sh in a process group of its own."""
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "WORKERS": "2",
        "DETECT_ARGS": "--every 2",
        "FOLDS_ARGS": "--split-by original --n-splits 2",
    }
    return subprocess.Popen(
        ["bash", str(project_root / "preprocess_data.sh"), str(root)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left_of(process: subprocess.Popen, seconds: float = 2.0) -> list[psutil.Process]:
    """What still runs of a process group after some seconds, if anything does."""
    deadline = time.monotonic() + seconds
    while (found := members(process)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def members(process: subprocess.Popen) -> list[psutil.Process]:
    found = []
    for other in psutil.process_iter():
        try:
            if os.getpgid(other.pid) == process.pid and other.status() != psutil.STATUS_ZOMBIE:
                found.append(other)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


@pytest.fixture(scope="module")
def clean(tiny_parts, project_root, tmp_path_factory) -> tuple[dict[str, bytes], float]:
    """The files of one clean run, and the seconds that it took."""
    root = linked_root(tiny_parts, tmp_path_factory.mktemp("clean") / "data root")
    began = time.monotonic()
    process = start(project_root, root)
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    assert not list(root.glob("**/.*")), "no locks, nothing half-written"
    files = tree(root)
    assert {Path(name).parts[0] for name in files} == {"boxes", "crops", "landmarks", "diffs", "folds.csv"}
    return files, time.monotonic() - began


def finish(project_root: Path, root: Path, files: dict[str, bytes]) -> None:
    """Runs once more, undisturbed, and compares."""
    process = start(project_root, root)
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    found = tree(root)
    assert sorted(found) == sorted(files)
    assert found == files


def begins_to_write(root: Path) -> bool:
    return any(root.glob("*/.partial-*")) or any((root / "boxes").glob("*"))


def test_stopped_by_its_pid_and_started_again(clean, tiny_parts, project_root, tmp_path):
    """The script alone gets the signal, as from `kill PID`: it leaves nobody, and the next run finds everything."""
    files, _ = clean
    root = linked_root(tiny_parts, tmp_path / "data root")
    process = start(project_root, root)
    while not begins_to_write(root) and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert left_of(process) == []
    finish(project_root, root, files)
    assert not list(root.glob("*/.partial-*"))


def test_started_twice_the_second_is_refused(clean, tiny_parts, project_root, tmp_path):
    files, _ = clean
    root = linked_root(tiny_parts, tmp_path / "data root")
    first = start(project_root, root)
    while not list(root.glob(".writer.lock")) and first.poll() is None:
        time.sleep(0.01)
    (program,) = psutil.Process(first.pid).children()
    program.suspend()  # until the second has come as far
    second = start(project_root, root)
    errors = second.communicate()[1]
    program.resume()
    assert second.returncode == 2, errors
    expected = (
        rf"error: {re.escape(str(root))} is being written by process \d+ \(preprocess_videos\.py, since .*\); wait"
    )
    assert re.match(expected, errors), errors
    assert first.wait() == 0, first.stderr.read()
    assert tree(root) == files
    finish(project_root, root, files)


def test_killed_again_and_again(clean, tiny_parts, project_root, tmp_path):
    """By SIGKILL of the group, SIGTERM of the script, or SIGKILL of its program, at any moment, without a pause."""
    files, seconds = clean
    moments = random.Random(0)
    root, done, killed = None, 0, 0
    while killed < KILLS:
        if root is None:
            root = linked_root(tiny_parts, tmp_path / f"data root {done}")
        process = start(project_root, root)
        time.sleep(seconds * moments.uniform(0.1, 1.0))
        way = moments.choice(("group", "script", "program"))
        if process.poll() is None:
            killed += 1
            if way == "group":
                os.killpg(process.pid, signal.SIGKILL)
            elif way == "script":
                os.kill(process.pid, signal.SIGTERM)
            else:
                for child in psutil.Process(process.pid).children():
                    child.kill()
            process.communicate()
            if way == "group":
                continue
            assert left_of(process) == [], way
        else:  # quicker than that: the next root
            assert process.returncode == 0, process.stderr.read()
            assert tree(root) == files
            root, done = None, done + 1
    print(f"{killed} kills, {done} runs ended in between")
    if root is not None:
        finish(project_root, root, files)


def test_pairs_at_once(clean, tiny_parts, project_root, tmp_path):
    files, seconds = clean
    moments = random.Random(1)
    codes = []
    for number in range(PAIRS):
        root = linked_root(tiny_parts, tmp_path / f"data root {number}")
        first = start(project_root, root)
        time.sleep(seconds * moments.uniform(0.0, 0.7))
        second = start(project_root, root)
        for process in (first, second):
            errors = process.communicate()[1]
            codes.append(process.returncode)
            assert process.returncode in (0, 2), errors
            assert process.returncode == 0 or "is being written by" in errors
        assert 0 in codes[-2:]
        assert tree(root) == files
        finish(project_root, root, files)
    print(f"{PAIRS} pairs, exit codes {codes}")
