"""The one pass over a data set gives what the four steps give: files, failures, records; killed, it goes on."""

import json
import os
import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.run_records import last_entries, read_runs
from deepfake.datasets.stages import CROPS, DETECT, DIFFS, LANDMARKS
from deepfake.parallel.workers import Task, outcomes
from preprocessing.pipeline.families import Family, families, output_path
from preprocessing.pipeline.one_pass import family_results
from preprocessing.pipeline.work import OutputResult
from preprocessing.status import COLUMNS
from tests.data.clips import write_metadata
from tests.data.steps import killed, step_command, tree

pytestmark = pytest.mark.slow

PASS = "preprocess_videos"
STAGES = (DETECT, CROPS, LANDMARKS, DIFFS)
CPU = ("--device", "cpu")


@pytest.fixture(scope="module")
def part(small_parts, tmp_path_factory) -> Path:
    """A part with two families, a broken fake in the first, a broken original with a fake, and an orphan."""
    folder = tmp_path_factory.mktemp("part") / "dfdc_train_part_0"
    folder.mkdir()
    for video in small_parts.glob("*/*.mp4"):
        shutil.copy(video, folder)
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "d0_broken.mp4").write_bytes(b"no video")
    for name in ("of_broken", "orphan"):
        shutil.copy(folder / "d0_d3.mp4", folder / f"{name}.mp4")
    fakes = {"d0_broken": "d0", "d0_d3": "d0", "d19_d18": "d19", "of_broken": "broken", "orphan": "nobody"}
    originals = {f"{fake}.mp4": f"{original}.mp4" for fake, original in fakes.items()}
    write_metadata(folder, ["d0.mp4", "d19.mp4", "broken.mp4"], originals)
    return folder


def make_root(part: Path, root: Path) -> Path:
    root.mkdir()
    shutil.copytree(part, root / part.name)
    return root


@pytest.fixture(scope="module")
def by_steps(part, run_step, tmp_path_factory) -> Path:
    root = make_root(part, tmp_path_factory.mktemp("by") / "steps")
    for stage in STAGES:
        done = run_step(stage.name, root, *(CPU if stage is DETECT else ()))
        assert done.returncode == 3, done.stderr
    return root


@pytest.fixture(scope="module")
def in_one_pass(part, run_step, tmp_path_factory) -> Path:
    root = make_root(part, tmp_path_factory.mktemp("in") / "one pass")
    done = run_step(PASS, root, "--workers", "2", *CPU)
    assert done.returncode == 3, done.stderr
    assert "extract_crops: 4 done, 0 skipped (already there), 4 failed" in done.stdout
    assert "Traceback" not in done.stderr
    return root


def files(root: Path) -> dict[str, bytes]:
    """All that was made; failures name the root."""
    return {name: data.replace(str(root).encode(), b"ROOT") for name, data in tree(root).items()}


def test_files_and_failures_are_those_of_the_steps(by_steps, in_one_pass):
    assert files(in_one_pass) == files(by_steps)
    assert len(list((in_one_pass / "failures").iterdir())) == len(STAGES)


def test_records_are_those_of_the_steps(by_steps, in_one_pass):
    for stage in STAGES:
        (one,), (other,) = (read_runs(root, stage.name) for root in (in_one_pass, by_steps))
        assert one.header.settings == other.header.settings and one.header.folder == other.header.folder
        assert {**one.end, "seconds": 0} == {**other.end, "seconds": 0}
        outcomes = [{v: (e.status, e.bytes) for v, e in last_entries([run]).items()} for run in (one, other)]
        assert outcomes[0] == outcomes[1]


def test_steps_find_everything_done_and_the_pass_too(by_steps, in_one_pass, run_step, tmp_path):
    for origin, commands in ((in_one_pass, ("extract_crops", "generate_diffs")), (by_steps, (PASS,))):
        root = tmp_path / origin.name
        shutil.copytree(origin, root)
        for command in commands:
            done = run_step(command, root, *(CPU if command == PASS else ()))
            assert done.returncode == 3, done.stderr
            assert "extract_crops: 0 done, 4 skipped" in done.stdout or "generate_diffs: 0 done, 2 sk" in done.stdout
        assert tree(root).keys() == tree(origin).keys()


def test_killed_and_run_again_equals_the_steps(by_steps, part, run_step, project_root, tmp_path):
    root = make_root(part, tmp_path / "killed")
    command = step_command(PASS, root, "--workers", "1", *CPU)
    moments = random.Random(3)
    kills = 0
    for watched in ("crops", "diffs"):

        def begun(folder: Path = root / watched) -> None:
            deadline = time.monotonic() + 20
            while not folder.exists() and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(moments.uniform(0, 0.05))

        kills += killed(command, project_root, begun) == -signal.SIGKILL
    assert kills == 2
    assert len(tree(root)) < len(tree(by_steps))
    assert run_step(PASS, root, "--workers", "2", *CPU).returncode == 3
    assert files(root) == files(by_steps)


def test_a_repaired_fake_is_done_by_a_retry(by_steps, in_one_pass, run_step, project_root, tmp_path):
    """By the pass, and by status.py, which runs the steps with arguments that the pass has written down."""
    trees = []
    for origin, retry in ((in_one_pass, "status"), (by_steps, PASS)):
        root = tmp_path / origin.name
        shutil.copytree(origin, root)
        videos = root / "dfdc_train_part_0"
        shutil.copy(videos / "d0_d3.mp4", videos / "d0_broken.mp4")
        for stage in (DETECT, LANDMARKS):  # what stays broken is not the matter here, and takes time
            for path in (root / "runs").glob(f"*_{stage.name}_*"):
                path.write_text(path.read_text().split("\n")[0] + "\n")
        done = run_step(retry, root, "--retry-failed", *(CPU if retry == PASS else ()))
        assert done.returncode == 3, done.stderr
        assert "generate_diffs: 1 done, 0 skipped (already there), 2 failed" in done.stdout
        trees.append({name: data for name, data in files(root).items() if not name.startswith("failures")})
    assert trees[0] == trees[1] and len(list((root / "diffs" / "d0_broken").iterdir())) == 3
    assert COLUMNS[0] in run_step("status", root).stdout


def test_a_changed_setting_is_refused(in_one_pass, run_step):
    before = sorted((in_one_pass / "runs").iterdir())
    done = run_step(PASS, in_one_pass, "--every", "5", *CPU)
    assert done.returncode == 2
    assert "were made with every 10, not 5; give the old value" in done.stderr and done.stderr.count("\n") == 1
    assert sorted((in_one_pass / "runs").iterdir()) == before


def die_with_fake(family: Family, layout: DataRoot) -> list:
    """Makes outputs in order, as one who dies at the fake x."""
    results = []
    for output in sorted(family.todo):
        if output == (CROPS.name, "x"):
            os.kill(os.getpid(), signal.SIGKILL)
        path = output_path(layout, output)
        path.mkdir(parents=True, exist_ok=True)
        results.append(OutputResult(output, None))
    return results


@pytest.mark.parametrize("redo_all", [False, True])
def test_a_video_that_kills_its_process_costs_no_other(tmp_path, redo_all):
    (tmp_path / "metadata.json").write_text(
        json.dumps(
            {f"{name}.mp4": {"label": "REAL"} for name in "ab"}
            | {f"{name}.mp4": {"label": "FAKE", "original": "a.mp4"} for name in "wxyz"}
        )
    )
    dataset, layout = read_dataset(tmp_path), DataRoot(tmp_path)
    todo = {(stage.name, video.video_id) for stage in (CROPS, DIFFS) for video in stage.videos(dataset)}
    team = partial(outcomes, task=Task(partial(die_with_fake, layout=layout)), workers=2)
    found = [result for some in family_results(families(dataset, todo), team, layout, redo_all) for result in some]
    assert sorted(result.output for result in found) == sorted(todo)
    failed = {result.output for result in found if result.reason is not None}
    assert failed == {(CROPS.name, "x"), (DIFFS.name, "x")}
    assert "process died" in next(result.reason for result in found if result.reason)
