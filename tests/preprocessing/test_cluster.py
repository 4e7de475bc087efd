"""Preprocessing on a Dask cluster: real scheduler and worker processes, killed in the middle; the same files."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import pytest

from deepfake.parallel import cluster
from deepfake.parallel.cluster import DIED, ClusterError, connected, outcomes
from deepfake.parallel.workers import Outcome, Task
from deepfake.storage import atomic
from deepfake.storage.disk_full import OutOfSpace
from deepfake.storage.own_folders import RUNS_DIR
from deepfake.version import code_version, source_checksum
from tests.data.clips import cut, write_metadata
from tests.data.steps import step_command, tree

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

pytest.importorskip("distributed")

ALLOWED_FAILURES = 1
"""Of the scheduler here: how many workers may die of a video before Dask gives it up; its own default is 3."""


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@dataclass
class Running:
    """A scheduler and its workers, all on this machine."""

    folder: Path
    code: Path
    processes: list[subprocess.Popen] = field(default_factory=list)
    address: str = ""

    def start_scheduler(self) -> None:
        file = self.folder / "scheduler.json"
        self._start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", file)
        wait_until(lambda: file.exists() and file.read_text().endswith("}"))  # Dask does not write it at once
        self.address = json.loads(file.read_text())["address"]

    def start_worker(self, name: str, *options: str, code: Path | None = None) -> subprocess.Popen:
        place = ("--no-dashboard", "--nthreads", "1", "--local-directory", self.folder)
        return self._start("worker", self.address, "--name", name, *place, *options, code=code)

    def _start(self, *words: object, code: Path | None = None) -> subprocess.Popen:
        environment = {
            **os.environ,
            "PYTHONPATH": str(code or self.code),
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(ALLOWED_FAILURES),
        }
        command = [sys.executable, "-m", "dask", words[0], "--host", "127.0.0.1", *words[1:]]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        line = list(map(str, command))
        self.processes.append(subprocess.Popen(line, cwd=self.folder, env=environment, start_new_session=True, **quiet))
        return self.processes[-1]

    def wait_for(self, count: int) -> None:
        with connected(self.address) as client:
            wait_until(lambda: len(client.scheduler_info()["workers"]) == count)

    def end(self) -> None:
        for process in reversed(self.processes):
            for part in [*psutil.Process(process.pid).children(recursive=True), process] if alive(process) else []:
                part.kill()
            process.wait()


def alive(process: subprocess.Popen) -> bool:
    return process.poll() is None


@pytest.fixture(scope="module")
def running(project_root, tmp_path_factory) -> Iterator[Running]:
    """Two workers with nannies, which start another worker for one that died; the second offers a GPU."""
    started = Running(tmp_path_factory.mktemp("cluster"), project_root)
    try:
        started.start_scheduler()
        started.start_worker("plain")
        started.start_worker("with GPU", "--resources", "GPU=1")
        started.wait_for(2)
        yield started
    finally:
        started.end()


@pytest.fixture
def marker(tmp_path) -> Path:
    path = tmp_path / "marker"
    path.touch()
    return path


def run(address: str, function, items, marker: Path, **options) -> list[Outcome]:
    with connected(address) as client:
        return list(outcomes(items, Task(function), client, marker, **options))


def items_in(folder: Path, count: int) -> list[Path]:
    return [folder / f"{i:02d}" for i in range(count)]


# A step.


@pytest.fixture(scope="module")
def eight(mini_dfdc, tmp_path_factory) -> Path:
    """Eight clips of 40 frames: long enough for a worker to be killed in the middle."""
    root = tmp_path_factory.mktemp("eight")
    part = root / "dfdc_train_part_0"
    part.mkdir()
    cut(mini_dfdc / "dfdc_train_part_1" / "d0.mp4", part / "0.mp4", 40)
    for i in range(1, 8):
        shutil.copy(part / "0.mp4", part / f"{i}.mp4")
    write_metadata(part, [f"{i}.mp4" for i in range(8)], {})
    return root


@pytest.fixture
def roots(eight, tmp_path) -> list[Path]:
    """Two data roots over the same clips."""
    made = [tmp_path / "local", tmp_path / "on the cluster"]
    for root in made:
        root.mkdir()
        (root / "dfdc_train_part_0").symlink_to(eight / "dfdc_train_part_0")
    return made


def test_a_worker_killed_in_the_middle_loses_nothing(running, roots, run_step, project_root):
    local, away = roots
    pictures = ("--format", "png", "--every", "2")
    assert run_step("extract_images", local, *pictures, "--workers", "2").returncode == 0
    command = step_command("extract_images", away, *pictures, "--scheduler", running.address)
    process = subprocess.Popen(command, cwd=project_root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(list(away.glob("images/.partial-*/*.png"))) > 3 or not alive(process))
    nanny = psutil.Process(running.processes[1].pid)
    (worker,) = (child for child in nanny.children(recursive=True) if "spawn_main" in " ".join(child.cmdline()))
    worker.kill()
    assert alive(process), "the kill came too late"
    message, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "8 done, 0 skipped (already there), 0 failed" in message
    assert tree(away) == tree(local) and len(tree(away)) == 8 * 20
    header = json.loads(next((away / RUNS_DIR).glob("*.jsonl")).read_text().split("\n")[0])
    assert header["scheduler"] == running.address


def test_a_cluster_and_one_that_is_started_here_give_a_local_runs_files(running, small_parts, run_step, tmp_path):
    trees = []
    for name in ("local", "away"):
        root = tmp_path / name
        root.mkdir()
        (root / "dfdc_train_part_1").symlink_to(small_parts / "dfdc_train_part_1")
        for step, address in (("detect_original_faces", running.address), ("extract_crops", cluster.LOCAL)):
            options = ("--scheduler", address) if name == "away" else ()
            # CUDA would round otherwise than the CPU, and one worker says that it has one.
            device = ("--device", "cpu") if step == "detect_original_faces" else ()
            done = run_step(step, root, "--workers", "1", *options, *device)
            assert done.returncode == 0, done.stderr
        trees.append(tree(root))
    assert trees[0] == trees[1] and len(trees[0]) == 1 + 6


def test_the_one_pass_on_a_cluster_gives_a_local_runs_files(running, small_parts, run_step, tmp_path):
    trees = []
    for name, options in (("local", ()), ("away", ("--scheduler", running.address))):
        root = tmp_path / name
        root.mkdir()
        (root / "dfdc_train_part_1").symlink_to(small_parts / "dfdc_train_part_1")
        done = run_step("preprocess_videos", root, "--workers", "1", "--device", "cpu", *options)
        assert done.returncode == 0, done.stderr
        assert "extract_crops: 2 done, 0 skipped" in done.stdout
        trees.append(tree(root))
    assert trees[0] == trees[1] and len(trees[0]) == 1 + 6 + 3 + 3


def test_ctrl_c_takes_back_what_is_queued_and_the_same_command_goes_on(running, roots, run_step, project_root):
    away = roots[1]
    options = ("--format", "png", "--scheduler", running.address)
    command = step_command("extract_images", away, *options)
    process = subprocess.Popen(command, cwd=project_root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list(away.glob("images/.partial-*/*.png")) or not alive(process))
    process.send_signal(signal.SIGINT)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 130, message
    assert "run the same command again to continue" in message and "Traceback" not in message
    there = sorted(away.glob("images/*"))
    assert len(there) < 8 and not [path for path in there if path.name.startswith(".")], "no worker is at one any more"
    assert run_step("extract_images", away, *options).returncode == 0
    assert len(tree(away)) == 8 * 40


# Workers that die.


def die_by_name(path: Path) -> None:
    if path.name == "03":
        os.kill(os.getpid(), signal.SIGKILL)
    atomic.write_text(path, path.name)


def test_a_video_that_kills_every_worker_is_a_failure_and_the_others_go_on(running, marker, tmp_path):
    items = items_in(tmp_path, 12)
    found = {outcome.item.name: outcome.reason for outcome in run(running.address, die_by_name, items, marker)}
    assert len(found) == 12
    assert {name: reason for name, reason in found.items() if reason is not None} == {"03": DIED}
    assert [path.read_text() for path in items if path.exists()] == [f"{i:02d}" for i in range(12) if i != 3]
    running.wait_for(2)


# What a function does.


def fail_by_name(path: Path) -> None:
    if path.name == "01":
        raise ValueError(f"{path.name}: the video\n  has no frame")
    if path.name == "02":
        raise KeyError("box")
    if path.name == "full":
        raise OSError(errno.ENOSPC, "No space left on device")


def test_failures_have_their_reasons_and_costs_are_measured(running, marker, tmp_path):
    with connected(running.address) as client:
        task = Task(fail_by_name, output=partial(_itself, marker=marker))
        found = {o.item.name: o for o in outcomes(items_in(tmp_path, 4), task, client, marker)}
    assert found["01"].reason == "01: the video has no frame"
    assert found["02"].reason == "KeyError: 'box'"
    assert found["00"].reason is None and found["00"].cost.bytes == 0 and found["00"].cost.seconds >= 0


def _itself(path: Path, marker: Path) -> Path:
    return marker


def test_a_full_disk_ends_the_run(running, marker, tmp_path):
    items = [tmp_path / "full", *items_in(tmp_path, 3)]
    with pytest.raises(OutOfSpace, match="the disk is full"):
        run(running.address, fail_by_name, items, marker)


def write_worker(path: Path) -> None:
    import distributed

    path.write_text(distributed.get_worker().name)


def test_gpu_work_goes_where_a_gpu_is_offered(running, marker, tmp_path):
    assert cluster.offers_gpu(running.address)
    items = items_in(tmp_path, 8)
    assert len(run(running.address, write_worker, items, marker, on_gpu=True)) == 8
    assert {path.read_text() for path in items} == {"with GPU"}


def touch(path: Path) -> None:
    path.touch()


def test_few_videos_are_handed_in_at_a_time(running, marker, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "WINDOW", 3)
    monkeypatch.setattr(cluster, "WINDOW_PER_THREAD", 1)
    drawn = []

    class Watched(list):
        def __iter__(self):
            for item in list.__iter__(self):
                drawn.append(item)
                yield item

    with connected(running.address) as client:
        for done, _ in enumerate(outcomes(Watched(items_in(tmp_path, 20)), Task(touch), client, marker)):
            assert len(drawn) - done <= 3
    assert len(drawn) == 20


# Clusters that cannot do the work.


@pytest.mark.parametrize("changed", ["deepfake/faces/boxes.py", "preprocessing/pipeline/families.py"])
def test_workers_with_other_code_are_refused(changed, running, marker, tmp_path, project_root):
    other = tmp_path / "other"
    for package in ("deepfake", "preprocessing"):
        shutil.copytree(project_root / package, other / package, ignore=shutil.ignore_patterns("__pycache__"))
    same = source_checksum(other / "deepfake", other / "preprocessing" / "pipeline")
    assert same == code_version().source, "the copy is the same code until it is changed"
    with (other / changed).open("a") as file:
        file.write("# changed\n")
    worker = running.start_worker("other", "--no-nanny", code=other)
    running.wait_for(3)
    with pytest.raises(ClusterError, match=r"worker tcp://.*: it runs another version of the code.*install the same"):
        run(running.address, touch, items_in(tmp_path, 4), marker)
    assert not (tmp_path / "00").exists()
    worker.kill()
    running.wait_for(2)


def test_workers_that_do_not_see_the_data_are_refused(running, tmp_path):
    nowhere = tmp_path / "elsewhere"
    with pytest.raises(ClusterError, match=r"it does not see .*elsewhere: the data must be on a file system that all"):
        run(running.address, touch, items_in(tmp_path, 4), nowhere)


def test_nobody_at_the_address(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(ClusterError, match=f"'{address}': no Dask scheduler answers there"), connected(address):
            pass


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match=r"\.\[cluster\]"), connected("tcp://127.0.0.1:1"):
        pass


def test_no_worker_and_a_lost_scheduler(project_root, marker, tmp_path):
    alone = Running(tmp_path, project_root)
    try:
        alone.start_scheduler()
        with pytest.raises(ClusterError, match=r"no worker for 0\.2 s"):
            run(alone.address, touch, items_in(tmp_path, 4), marker, patience=0.2)
        alone.start_worker("one", "--no-nanny")
        alone.wait_for(1)
        with connected(alone.address) as client:
            work = outcomes(items_in(tmp_path, 50), Task(touch_slowly), client, marker)
            next(work)
            alone.processes[0].kill()
            with pytest.raises(ClusterError, match="connection to the scheduler was lost; run the same command again"):
                list(work)
    finally:
        alone.end()
    assert 1 <= len(list(tmp_path.glob("[0-9][0-9]"))) < 50


def touch_slowly(path: Path) -> None:
    time.sleep(0.1)
    path.touch()


def test_a_command_tells_a_wrong_address_in_one_line(roots, run_step):
    done = run_step("extract_images", roots[0], "--scheduler", "nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith("error: scheduler 'nonsense'") and done.stderr.count("\n") == 1
    assert not (roots[0] / RUNS_DIR).exists()
