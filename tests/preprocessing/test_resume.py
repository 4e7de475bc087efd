"""Killed at any moment and run again, a step gives the same files as one clean run; so do one worker and two."""

import os
import random
import signal
import subprocess
import time

import pytest

from tests.data.steps import killed, step_command, tree

pytestmark = pytest.mark.slow

STEPS = ("detect_original_faces", "extract_crops", "generate_landmarks", "generate_diffs", "generate_folds")


@pytest.fixture(scope="module")
def clean(small_parts, run_step, tmp_path_factory):
    """Each step's data root before it, the files after a clean run with one worker, and the seconds it took."""
    before, after, seconds = {}, {}, {}
    root = tmp_path_factory.mktemp("clean")
    for part in small_parts.iterdir():
        (root / part.name).symlink_to(part)
    for step in STEPS:
        before[step] = tree(root)
        start = time.monotonic()
        done = run_step(step, root, "--workers", "1")
        assert done.returncode == 0, done.stderr
        seconds[step] = time.monotonic() - start
        after[step] = tree(root)
    return before, after, seconds


def _restore(root, files) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


@pytest.mark.parametrize("step", STEPS)
def test_killed_and_run_again_equals_a_clean_run(step, clean, data_root, run_step, project_root):
    before, after, seconds = clean
    _restore(data_root, before[step])
    moments = random.Random(step)
    command = step_command(step, data_root, "--workers", "2")
    for _ in range(2):
        killed(command, project_root, lambda: time.sleep(seconds[step] * moments.uniform(0.4, 0.95)))
    done = run_step(step, data_root, "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert tree(data_root) == after[step]


def test_killed_while_writing_leaves_nothing_half_written(clean, data_root, run_step, project_root):
    """Many kills of a step that writes all the time: no name that is final ever holds a half-written video."""
    before, after, _ = clean
    _restore(data_root, before["extract_crops"])
    moments = random.Random(1)
    command = step_command("extract_crops", data_root, "--workers", "1", "--overwrite")

    def writing() -> None:
        deadline = time.monotonic() + 20
        while not list((data_root / "crops").glob(".partial-*/*")) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.1))

    kills = 0
    for _ in range(6):
        kills += killed(command, project_root, writing) == -signal.SIGKILL
        for video in (data_root / "crops").iterdir():
            if not video.name.startswith("."):
                expected = {k: v for k, v in after["extract_crops"].items() if k.startswith(f"crops/{video.name}/")}
                assert {f"crops/{video.name}/{p.name}": p.read_bytes() for p in video.iterdir()} == expected
    assert kills >= 3
    assert run_step("extract_crops", data_root, "--overwrite").returncode == 0
    assert tree(data_root) == after["extract_crops"]


def test_a_second_run_does_only_what_is_missing(clean, data_root, run_step):
    _, after, _ = clean
    _restore(data_root, after["generate_folds"])
    kept = data_root / "crops" / "d0" / "0_0.png"
    stamp = kept.stat().st_mtime_ns
    for path in (data_root / "crops" / "d19").iterdir():
        path.unlink()
    (data_root / "crops" / "d19").rmdir()
    done = run_step("extract_crops", data_root)
    assert "1 done, 3 skipped (already there), 0 failed" in done.stdout
    assert kept.stat().st_mtime_ns == stamp
    assert tree(data_root) == after["generate_folds"]
    again = run_step("extract_crops", data_root, "--overwrite")
    assert "4 done, 0 skipped (already there), 0 failed" in again.stdout
    assert kept.stat().st_mtime_ns != stamp


def test_ctrl_c_stops_at_once_and_tells_how_to_go_on(clean, data_root, run_step, project_root):
    before, after, _ = clean
    _restore(data_root, before["extract_crops"])
    process = subprocess.Popen(
        step_command("extract_crops", data_root, "--workers", "1"),
        cwd=project_root,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None and not (data_root / "crops").exists():
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    message = process.communicate(timeout=10)[1]
    assert process.returncode == 130, message
    assert "run the same command again to continue" in message
    assert "Traceback" not in message
    assert run_step("extract_crops", data_root).returncode == 0
    assert tree(data_root) == after["extract_crops"]
