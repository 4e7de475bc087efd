"""One writer at a time, as real processes see it: refused at once, free as soon as the holder has ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepfake.storage import locks
from deepfake.storage.locks import Locked, writing_file, writing_folder

HOLDER = """
import multiprocessing, sys, time
from pathlib import Path
from deepfake.storage.locks import writing_file, writing_folder

def sleep():
    print("forked", flush=True)
    time.sleep(60)

place, kind = Path(sys.argv[1]), sys.argv[2]
with (writing_folder if place.is_dir() else writing_file)(place):
    if kind == "forks":
        multiprocessing.get_context("fork").Process(target=sleep, daemon=True).start()
    else:
        print("held", flush=True)
    if kind != "ends":
        time.sleep(60)
"""


@pytest.fixture
def hold(project_root):
    """`hold(place, kind)`: a process that holds the lock on a place, killed at the end with what it has forked."""
    started = []

    def start(place: Path, kind: str = "waits") -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(place), kind],
            cwd=project_root,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield start
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        process.wait()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_second_writer_is_refused_in_one_line_that_names_the_first(tmp_path, hold):
    first = hold(tmp_path)
    with pytest.raises(Locked) as refused, writing_folder(tmp_path):
        pass
    message = str(refused.value)
    assert message.startswith(f"{tmp_path} is being written by process {first.pid} (-c, since 20")
    assert f"on host {os.uname().nodename}); wait for it or stop it" in message and "\n" not in message


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_ends_with_its_process_whatever_ends_it(tmp_path, hold, end):
    first = hold(tmp_path)
    first.send_signal(end)
    first.wait()
    with writing_folder(tmp_path):
        assert names(tmp_path) == [locks.FOLDER_LOCK]
    assert names(tmp_path) == []


def test_processes_that_the_holder_forked_do_not_keep_it(tmp_path, hold):
    first = hold(tmp_path, "forks")
    with pytest.raises(Locked), writing_folder(tmp_path):
        pass
    first.kill()
    first.wait()
    os.killpg(first.pid, 0)  # what it has forked is still there
    with writing_folder(tmp_path):
        pass


def test_a_lock_leaves_nothing_behind(tmp_path, hold):
    assert hold(tmp_path, "ends").wait() == 0
    assert names(tmp_path) == []
    with writing_file(tmp_path / "new" / "scores.csv"):
        assert names(tmp_path / "new") == [".scores.csv.lock"]
    assert names(tmp_path / "new") == []


def test_files_beside_each_other_have_a_writer_each(tmp_path, hold):
    hold(tmp_path / "a.csv")
    with writing_file(tmp_path / "b.csv"), writing_folder(tmp_path):
        pass
    with pytest.raises(Locked, match=r"a\.csv is being written"), writing_file(tmp_path / "a.csv"):
        pass


def test_a_process_may_enter_its_own_lock_again(tmp_path, hold):
    with writing_folder(tmp_path):
        with writing_folder(tmp_path / ".." / tmp_path.name):
            pass
        assert names(tmp_path) == [locks.FOLDER_LOCK]
    assert names(tmp_path) == []


def test_of_many_at_once_exactly_one_has_it(tmp_path, project_root):
    """The lock file is made and removed all the time: nobody holds one that has no name any more."""
    program = """
import sys, time
from pathlib import Path
from deepfake.storage.locks import Locked, writing_folder
folder, end, entered = Path(sys.argv[1]), time.monotonic() + 2, 0
while time.monotonic() < end:
    try:
        with writing_folder(folder):
            (folder / "alone").mkdir()  # raises if another one is in here
            (folder / "alone").rmdir()
            entered += 1
    except Locked:
        pass
print(entered)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    several = [subprocess.Popen(command, cwd=project_root, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    entered = [int(process.communicate()[0]) for process in several]
    assert [process.returncode for process in several] == [0] * 4
    assert sum(entered) > 20


def test_what_a_killed_holder_wrote_half_is_no_error(tmp_path, hold):
    (tmp_path / locks.FOLDER_LOCK).write_bytes(b'{"pid": 12')
    with writing_folder(tmp_path):
        (tmp_path / locks.FOLDER_LOCK).write_bytes(b"\xff")
    hold(tmp_path)
    (tmp_path / locks.FOLDER_LOCK).write_bytes(b"")
    with pytest.raises(Locked, match="by another process; wait"), writing_folder(tmp_path):
        pass


def test_without_locks_on_the_disk_a_warning_and_on(tmp_path, monkeypatch, caplog):
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", unsupported)
    with writing_folder(tmp_path):
        pass
    assert "locks do not work here" in caplog.text


def test_a_script_that_holds_the_lock(tmp_path, project_root):
    """The lock of `exec_writing` is the script's, and that of what it starts, which may outlive it."""
    script = tmp_path / "script.sh"
    script.write_text("sleep 60 & echo $$ $!; wait\n")
    program = "import sys; from pathlib import Path; from deepfake.storage.locks import exec_writing as run\n"
    program += "run(Path(sys.argv[1]), Path(sys.argv[2]), [])"
    folder = tmp_path / "weights"
    command = [sys.executable, "-c", program, str(folder), str(script)]
    with subprocess.Popen(command, cwd=project_root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid, child = map(int, process.stdout.readline().split())
        assert pid == process.pid
        with pytest.raises(Locked, match=rf"process {pid} \(script\.sh, "), writing_folder(folder):
            pass
        process.kill()
        process.wait()
        with pytest.raises(Locked), writing_folder(folder):
            pass
        os.kill(child, signal.SIGKILL)
    for _ in range(100):
        try:
            with writing_folder(folder):
                return
        except Locked:
            time.sleep(0.05)
    pytest.fail("the lock stays")
