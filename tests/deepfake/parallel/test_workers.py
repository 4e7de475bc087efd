"""One function over many videos: counts, failures, dying processes, a full disk, Ctrl-C, a killed parent."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import psutil
import pytest

from deepfake.media.video import VideoError
from deepfake.parallel.pool import DIED, WorkerDied, run_in_subprocess
from deepfake.parallel.workers import Failure, Outcome, Summary, read_failures, run_over, run_stream, write_failures
from deepfake.storage import atomic
from deepfake.storage.disk_full import OutOfSpace

WORKERS = pytest.mark.parametrize("workers", [1, 2])


def is_done(path: Path) -> bool:
    return path.exists()


def items_in(folder: Path, count: int) -> list[Path]:
    return [folder / f"{i:02d}" for i in range(count)]


def write_name(path: Path) -> None:
    atomic.write_text(path, path.name)


def run(items, function, workers=2, **options) -> Summary:
    return run_over(items, function, is_done=is_done, workers=workers, key=lambda path: path.name, **options)


def contents(items: list[Path]) -> list[str]:
    return [path.read_text() for path in items if path.exists()]


@WORKERS
def test_every_item_is_done_once_and_what_is_there_is_skipped(tmp_path, workers):
    items = items_in(tmp_path, 20)
    for path in items[:5]:
        path.write_text("earlier")
    summary = run(items, write_name, workers)
    assert (summary.done, summary.skipped, summary.failures) == (15, 5, [])
    assert contents(items) == ["earlier"] * 5 + [path.name for path in items[5:]]

    again = run(items, write_name, workers)
    assert (again.done, again.skipped) == (0, 20)


@WORKERS
def test_overwrite_does_all_again(tmp_path, workers):
    items = items_in(tmp_path, 3)
    items[0].write_text("earlier")
    summary = run(items, write_name, workers, overwrite=True)
    assert (summary.done, summary.skipped) == (3, 0)
    assert contents(items) == ["00", "01", "02"]


def test_nothing_to_do():
    summary = run([], write_name)
    assert (summary.done, summary.skipped, summary.failures) == (0, 0, [])


# Failures.


def fail_by_name(path: Path) -> None:
    errors = {
        "01": ValueError(f"{path.name}: the video\n  has no frame"),
        "02": KeyError("box"),
        "03": ValueError(),
        "04": ZeroDivisionError("division by zero"),
    }
    if path.name in errors:
        raise errors[path.name]
    if path.name == "05":
        (path / "x").read_text()
    write_name(path)


@WORKERS
def test_a_failure_has_a_reason_and_the_others_go_on(tmp_path, workers):
    items = items_in(tmp_path, 10)
    summary = run(items, fail_by_name, workers)
    reasons = {failure.key: failure.reason for failure in summary.failures}
    assert summary.done == 5 and list(reasons) == ["01", "02", "03", "04", "05"]
    assert reasons["01"] == "01: the video has no frame", "one line, without the name of an expected kind of error"
    assert reasons["02"] == "KeyError: 'box'"
    assert reasons["03"].startswith("ValueError")
    assert reasons["04"] == "ZeroDivisionError: division by zero"
    assert "No such file" in reasons["05"] and str(items[5] / "x") in reasons["05"]
    assert contents(items) == [path.name for path in items if path.name not in reasons]


def test_results_do_not_hang_on_order_or_on_the_number_of_workers(tmp_path):
    found = []
    for name, workers, step in [("a", 1, 1), ("b", 2, 1), ("c", 2, -1)]:
        (tmp_path / name).mkdir()
        items = items_in(tmp_path / name, 12)
        summary = run(items[::step], fail_by_name, workers)
        reasons = [(f.key, f.reason.replace(str(tmp_path / name), "")) for f in summary.failures]
        found.append((summary.done, reasons, contents(items)))
    assert found[0] == found[1] == found[2]


def test_the_list_of_failures(tmp_path):
    path = tmp_path / "failures" / "step.csv"
    write_failures(path, [Failure("größe, 1", 'said "no"'), Failure("b", "x")])
    with path.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["video", "reason"], ["größe, 1", 'said "no"'], ["b", "x"]]
    write_failures(path, [])
    assert not path.exists(), "the list of an earlier run would be wrong now"
    write_failures(path, [])


def test_a_list_of_failures_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "failures" / "step.csv"
    assert read_failures(path) == []
    failures = [Failure("größe, 1", 'said "no",\nthen died'), Failure("<b>", ""), Failure("=1+1", "\x1b[2J")]
    write_failures(path, failures)
    assert "\n=" not in path.read_text() and "\x1b" not in path.read_text()
    assert read_failures(path) == failures
    for text in (
        b"",
        b"junk\n",
        b"name,why\na,b\n",
        b'video,reason\n"a,b\n',
        b"video,reason\n\xff,b\n",
        b"video,reason\na\n",
    ):
        path.write_bytes(text)
        with pytest.raises(ValueError, match=r"step\.csv: not a list of failures"):
            read_failures(path)


def test_a_summary_tells_all_counts():
    text = str(Summary(done=10, skipped=3, failures=[Failure("a", "b")], seconds=4.0))
    assert text.startswith("10 done, 3 skipped") and "1 failed" in text and "2.50 videos/s" in text
    assert "0 done" in str(Summary())


def test_progress_shows_rate_time_left_and_failures(tmp_path, capfd):
    items = items_in(tmp_path, 10)
    items[9].touch()
    run(items, fail_by_name, description="step name")
    last = capfd.readouterr().err.strip().splitlines()[-1].split("\r")[-1]
    assert "step name: 100%" in last and "10/10 [" in last and "<" in last and "failed=5" in last and "video" in last


def test_items_of_any_kind_and_their_keys():
    summary = run_over([(1, "a"), (2, "b")], divide, is_done=lambda item: False, workers=1, key=lambda item: item[1])
    assert [failure.key for failure in summary.failures] == ["b"]


def divide(item: tuple[int, str]) -> float:
    return 1 / (2 - item[0])


def test_run_stream_counts_what_the_stream_yields():
    asked = []

    def stream(todo):
        asked.extend(todo)
        return [Outcome("c"), Outcome("b", "broken")]

    summary = run_stream(["a", "b", "c"], stream, is_done=lambda item: item == "a")
    assert asked == ["b", "c"]
    assert (summary.done, summary.skipped, summary.failures) == (1, 1, [Failure("b", "broken")])


# Processes.


def write_process(path: Path) -> None:
    atomic.write_text(path, f"{os.getpid()} {os.getppid()} {cv2.getNumThreads()}")


def meet_the_other(path: Path) -> None:
    """Succeeds only if both items are worked on at the same time."""
    path.with_suffix(".here").touch()
    other = path.with_name("01.here" if path.name == "00" else "00.here")
    end = time.monotonic() + 20
    while not other.exists():
        if time.monotonic() > end:
            raise ValueError("nobody else came")
        time.sleep(0.01)


def test_two_workers_work_at_the_same_time(tmp_path):
    assert run(items_in(tmp_path, 2), meet_the_other, workers=2).failures == []


@WORKERS
def test_work_is_done_in_child_processes_with_capped_threads(tmp_path, workers):
    items = items_in(tmp_path, 8)
    run(items, write_process, workers)
    found = [tuple(map(int, text.split())) for text in contents(items)]
    pids, parents, threads = map(set, zip(*found))
    assert len(pids) <= workers and os.getpid() not in pids
    assert parents == {os.getpid()}
    assert threads == {1}


OPENCV_BEFORE = """
import sys
import cv2, numpy as np
from deepfake.parallel.workers import run_over

image = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)

def blur(item):
    cv2.GaussianBlur(image, (31, 31), 5)
    cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)

cv2.setNumThreads(4)
blur("in the parent, on four threads")
summary = run_over(list("abcd"), blur, is_done=lambda item: False, workers=2)
assert cv2.getNumThreads() == 4, "the parent keeps its threads"
blur("again")
print(summary.done)
"""


def test_a_parent_that_used_opencvs_threads(project_root):
    """They do not survive the fork: a child that waits for them hangs for ever."""
    result = subprocess.run(
        [sys.executable, "-c", OPENCV_BEFORE], cwd=project_root, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout == "4\n"


# Processes that die.


def die_by_name(path: Path) -> None:
    if path.name in ("03", "07"):
        os.kill(os.getpid(), signal.SIGKILL)
    write_name(path)


@WORKERS
def test_a_process_that_dies_fails_its_own_video_only(tmp_path, workers):
    items = items_in(tmp_path, 16)
    summary = run(items, die_by_name, workers)
    assert summary.failures == [Failure("03", DIED), Failure("07", DIED)]
    assert summary.done == 14
    assert contents(items) == [path.name for path in items if path.name not in ("03", "07")]


def die_once(path: Path) -> None:
    marker = path.with_name("died")
    if path.name == "02" and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    write_name(path)


def test_a_process_that_died_of_its_neighbors_gets_a_second_try(tmp_path):
    """Out of memory beside another large video, it may do alone."""
    summary = run(items_in(tmp_path, 8), die_once)
    assert (summary.done, summary.failures) == (8, [])


# A full disk.


def write_until_full(path: Path) -> None:
    if path.name == "02":
        path.with_name(f"{atomic.PARTIAL_PREFIX}02").symlink_to("/dev/full")
    time.sleep(0.05)  # so that all cannot be done before the parent, on a busy machine, has its turn
    write_name(path)


@WORKERS
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_ends_the_run(tmp_path, workers):
    items = items_in(tmp_path, 200)
    before = set(psutil.Process().children())  # what other tests keep, such as a fork server
    with pytest.raises(OutOfSpace, match=r"the disk is full.*No space left"):
        run(items, write_until_full, workers)
    assert len(contents(items)) < 150, "the other videos could not be written either"
    assert not items[2].exists() and not list(tmp_path.glob(".partial*"))
    assert set(psutil.Process().children()) <= before


# Ctrl-C and kill, for real.


def interrupt_then_write(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    write_name(path)


def test_ctrl_c_reaches_a_worker_but_the_parent_decides(tmp_path):
    """A terminal sends it to all: workers that gave up on their own would race with the parent that stops them."""
    try:
        summary = run(items_in(tmp_path, 4), interrupt_then_write)
    except KeyboardInterrupt:
        pytest.fail("the worker gave up")
    assert summary.done == 4


SLOW_RUN = """
import sys, time
from pathlib import Path
from deepfake.storage import atomic
from deepfake.parallel.workers import run_over

seconds = float(sys.argv[2])

def work(path):
    with atomic.atomic_file(path) as partial:
        partial.write_text(path.name)
        time.sleep(seconds)

items = [Path(sys.argv[1]) / f"{i:02d}" for i in range(24)]
print(run_over(items, work, is_done=Path.exists, workers=2).done)
"""


@pytest.fixture
def start_run(tmp_path, project_root):
    """`start_run(seconds)` starts a run of 24 items in a process group of its own; what is left of it is killed."""
    started = []

    def start(seconds: float) -> subprocess.Popen:
        command = [sys.executable, "-c", SLOW_RUN, tmp_path, str(seconds)]
        started.append(subprocess.Popen(command, cwd=project_root, start_new_session=True, stderr=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        children = [child for child in psutil.process_iter() if group_of(child) == process.pid]
        for left in [process, *children]:
            left.kill()
        process.wait()
        process.stderr.close()


def group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


def wait_until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize("seconds", [0.2, 60], ids=["between videos", "within a long one"])
@pytest.mark.parametrize("to_all", [True, False], ids=["terminal", "parent only"])
def test_ctrl_c_ends_all_at_once_and_a_second_run_completes(tmp_path, start_run, seconds, to_all):
    process = start_run(seconds)
    begun = "0[0-9]" if seconds < 1 else ".partial*"
    wait_until(lambda: len(list(tmp_path.glob(begun))) >= 2)
    children = workers_of(process)
    assert len(children) == 2
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)

    _, errors = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    assert errors.count(b"Traceback") == 1 and b"KeyboardInterrupt" in errors, "the parent's own only"
    assert psutil.wait_procs(children, timeout=2)[1] == []
    assert not (tmp_path / "23").exists()

    assert run(items_in(tmp_path, 24), write_name).failures == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{i:02d}" for i in range(24)]
    assert contents(items_in(tmp_path, 24)) == [f"{i:02d}" for i in range(24)]


def test_workers_end_when_their_parent_is_killed(tmp_path, start_run):
    process = start_run(60)
    wait_until(lambda: len(list(tmp_path.glob(".partial*"))) == 2)
    children = workers_of(process)
    assert len(children) == 2
    process.kill()
    process.wait()
    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert not [path for path in items_in(tmp_path, 24) if path.exists()]

    assert run(items_in(tmp_path, 24), write_name).done == 24
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{i:02d}" for i in range(24)]


def test_work_apart_gives_its_value_or_its_error():
    assert run_in_subprocess(lambda x: x + 1, 3) == 4
    assert run_in_subprocess(lambda _: os.getpid(), 0) != os.getpid()
    with pytest.raises(VideoError, match="no good"):
        run_in_subprocess(_raise, VideoError("no good"))
    with pytest.raises(WorkerDied):
        run_in_subprocess(lambda _: os.kill(os.getpid(), signal.SIGKILL), 0)


def _raise(error: Exception) -> None:
    raise error


def test_ctrl_c_while_a_worker_is_started_is_not_lost():
    script = """
import os, signal
from deepfake.parallel.pool import stream

def press():
    signal.raise_signal(signal.SIGINT)

os.register_at_fork(before=press, after_in_parent=press, after_in_child=press)
try:
    print(sum(part.last for part in stream([1, 2], lambda item: [item], workers=1)))
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)
