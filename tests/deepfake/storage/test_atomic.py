"""Files and folders appear whole or not at all, whatever stops the writer."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deepfake.storage import atomic


class Stop(Exception):
    pass


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_appears_only_when_complete(tmp_path):
    path = tmp_path / "new folder" / "größe 1.json"
    with atomic.atomic_file(path) as partial:
        partial.write_text("half")
        assert not path.exists()
        assert partial.parent == path.parent, "a rename must not cross file systems"
    assert path.read_text() == "half"
    assert names(path.parent) == [path.name]


def test_a_failure_keeps_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    atomic.write_text(path, "old")
    with pytest.raises(Stop), atomic.atomic_file(path) as partial:
        partial.write_text("new")
        raise Stop
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_a_writer_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic.atomic_file(tmp_path / "a.json"):
        pass
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    atomic.write_text(path, "old")
    (tmp_path / f"{atomic.PARTIAL_PREFIX}a.json").symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        atomic.write_text(path, "new")
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_text_is_utf8_and_bytes_are_bytes(tmp_path):
    atomic.write_text(tmp_path / "a", "é\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9\n"
    atomic.write_bytes(tmp_path / "a", b"\xff")
    assert (tmp_path / "a").read_bytes() == b"\xff"


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    path = tmp_path / "crops" / "id"
    for content in ("first", "second"):
        with atomic.atomic_folder(path) as partial:
            assert list(partial.iterdir()) == []
            (partial / f"{content}.png").write_text(content)
        assert names(path) == [f"{content}.png"]
        assert names(path.parent) == ["id"]


def test_a_failure_keeps_the_old_folder_and_nothing_else(tmp_path):
    path = tmp_path / "id"
    with atomic.atomic_folder(path) as partial:
        (partial / "old.png").touch()
    with pytest.raises(Stop), atomic.atomic_folder(path) as partial:
        (partial / "new.png").touch()
        raise Stop
    assert names(tmp_path) == ["id"]
    assert names(path) == ["old.png"]


def test_a_failure_of_the_first_run_leaves_nothing(tmp_path):
    with pytest.raises(Stop), atomic.atomic_folder(tmp_path / "id") as partial:
        (partial / "new.png").touch()
        raise Stop
    assert names(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from deepfake.storage import atomic
root = Path(sys.argv[1])
with atomic.atomic_folder(root / "id") as folder, atomic.atomic_file(root / "file") as file:
    (folder / "half.png").touch()
    file.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_is_not_taken_and_goes_with_the_next(tmp_path, project_root):
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], cwd=project_root, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2, "the killed run had begun both"
    assert not (tmp_path / "id").exists() and not (tmp_path / "file").exists()

    with atomic.atomic_folder(tmp_path / "id") as folder, atomic.atomic_file(tmp_path / "file") as file:
        assert list(folder.iterdir()) == []
        (folder / "whole.png").touch()
        file.write_text("whole")
    assert names(tmp_path) == ["file", "id"]
    assert names(tmp_path / "id") == ["whole.png"]


def test_a_run_killed_between_the_two_renames_of_a_folder(tmp_path):
    """The old folder has been moved aside, the new one is complete but not in place yet."""
    path = tmp_path / "id"
    with atomic.atomic_folder(path) as partial:
        (partial / "old.png").touch()
    os.replace(path, tmp_path / ".replaced-id")
    (tmp_path / f"{atomic.PARTIAL_PREFIX}id").mkdir()
    (tmp_path / f"{atomic.PARTIAL_PREFIX}id" / "new.png").touch()

    assert not path.exists(), "so the next run redoes it"
    with atomic.atomic_folder(path) as partial:
        assert list(partial.iterdir()) == []
        (partial / "new.png").touch()
    assert names(tmp_path) == ["id"]
    assert names(path) == ["new.png"]


# Several writers at once, for real.

WRITER = """
import sys, time
from pathlib import Path
from deepfake.storage import atomic
path, kind, mark = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
with (atomic.atomic_folder if kind == "folder" else atomic.atomic_file)(path) as partial:
    if kind == "folder":
        (partial / mark).write_text(mark)
    else:
        partial.write_text(mark)
    print(partial.name, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def start_writer(project_root):
    """`start_writer(path, kind, mark)`: a process that has begun to write, and ends when a line comes."""
    started = []

    def start(path: Path, kind: str, mark: str) -> subprocess.Popen:
        command = [sys.executable, "-c", WRITER, str(path), kind, mark]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen(command, cwd=project_root, text=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def content(path: Path) -> str:
    return path.read_text() if path.is_file() else "".join(names(path))


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_writers_of_one_name_leave_each_other_alone(tmp_path, start_writer, kind, order):
    path = tmp_path / "id.bin"
    writers = [start_writer(path, kind, mark) for mark in ("first", "second")]
    begun = {writer.stdout.readline().strip() for writer in writers}
    assert begun == {".partial-id.bin", ".partial-2-id.bin"} and set(names(tmp_path)) == begun
    for number in order:
        writers[number].communicate("\n")
        assert writers[number].returncode == 0
        assert content(path) == ("first", "second")[number]
    assert names(tmp_path) == ["id.bin"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_only_what_killed_writers_left_is_removed(tmp_path, start_writer, kind):
    path = tmp_path / "id.bin"
    lives, dies = start_writer(path, kind, "lives"), start_writer(path, kind, "dies")
    left = dies.stdout.readline().strip()
    kept = lives.stdout.readline().strip()
    dies.kill()
    dies.wait()
    last = start_writer(path, kind, "last")
    assert last.stdout.readline().strip() == left, "the killed one's name is free again"
    atomic.remove_leftovers(tmp_path, "*")
    assert set(names(tmp_path)) == {left, kept}
    for writer, mark in ((last, "last"), (lives, "lives")):
        writer.communicate("\n")
        assert writer.returncode == 0 and content(path) == mark
    assert names(tmp_path) == ["id.bin"]


def test_leftovers_of_several_killed_writers_go_with_the_next(tmp_path, start_writer):
    path = tmp_path / "id"
    several = [start_writer(path, "folder", mark) for mark in "abc"]
    for writer in several:
        writer.stdout.readline()
    for writer in several:
        writer.kill()
        writer.wait()
    assert len(names(tmp_path)) == 3
    with atomic.atomic_folder(path):
        pass
    assert names(tmp_path) == ["id"]


@pytest.mark.parametrize("name", ["x" * 255, "\u540d" * 85, "x" * 250 + ".json"])
def test_a_name_of_the_greatest_length_can_be_written(tmp_path, name):
    atomic.write_text(tmp_path / name, "content")
    with atomic.atomic_folder(tmp_path / "folder" / name) as partial:
        assert partial.suffix == Path(name).suffix
    assert sorted(names(tmp_path)) == sorted([name, "folder"]) and names(tmp_path / "folder") == [name]


def test_a_file_that_was_made_but_not_written_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing was written"), atomic.atomic_file(tmp_path / "a") as partial:
        partial.touch()
    atomic.write_bytes(tmp_path / "empty", b"")
    assert names(tmp_path) == ["empty"]
