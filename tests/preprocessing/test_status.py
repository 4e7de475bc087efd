"""Records of runs, what they say about settings, and preprocessing/status.py."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deepfake.datasets.progress import describe_bytes
from deepfake.datasets.run_records import DONE, FAILED, Entry, Record, find_change, last_entries, new_header, read_runs
from deepfake.parallel.workers import Cost, Summary
from deepfake.storage.own_folders import RUNS_DIR
from deepfake.version import code_version
from tests.data.clips import draw, gradient, write_metadata

BOXES = json.dumps({"0": [[8, 20, 38, 60]], "10": [[8, 20, 38, 60]]})
FACTS = {"videos": 3, "skipped": 0, "workers": 2, "scheduler": None, "arguments": []}


def header(settings: dict, folder: str = "crops"):
    return new_header("extract_crops", folder, settings, **FACTS)


def write_run(root: Path, settings: dict, *done: str, failed: tuple[str, ...] = (), folder: str = "crops") -> Path:
    with Record(root, header(settings, folder)) as record:
        for video in done:
            record.add(video, None, Cost(0.5, 100))
        for video in failed:
            record.add(video, "broken")
    return record.path


# Records.


def test_a_record_is_read_as_it_was_written(tmp_path):
    with Record(tmp_path, header({"every": 10, "sizes": (1, 2)})) as record:
        record.add("größe 1", None, Cost(1.23456, 789))
        record.add("b", "no\nframe")
        record.end(Summary(done=1, skipped=4, seconds=2.5))
    (run,) = read_runs(tmp_path, "extract_crops", "crops")
    assert run.path == record.path and run.path.parent == tmp_path / RUNS_DIR
    assert run.header.settings == {"every": 10, "sizes": [1, 2]}
    assert run.header.code["source"] == code_version().source
    assert [replace(entry, at=0) for entry in run.entries] == [
        Entry("größe 1", DONE, 1.235, 789, None, 0),
        Entry("b", FAILED, None, None, "no\nframe", 0),
    ]
    assert run.end == {"done": 1, "skipped": 4, "failed": 0, "seconds": 2.5}
    assert read_runs(tmp_path, "extract_crops", "other") == read_runs(tmp_path, "crops") == []


def test_a_line_is_there_at_once_and_one_torn_by_a_kill_is_left_out(tmp_path):
    with Record(tmp_path, header({})) as record:
        record.add("a", None)
        assert [entry.video for entry in read_runs(tmp_path, "extract_crops")[0].entries] == ["a"]
        record.add("b", None)
    data = record.path.read_bytes()
    for cut in range(1, 30):
        record.path.write_bytes(data[:-cut])
        assert [entry.video for entry in read_runs(tmp_path, "extract_crops")[0].entries] == ["a"]
    record.path.write_bytes(data[:-30] + b"\n")
    with pytest.raises(ValueError, match=r"not the record of a run .*remove it to forget that run"):
        read_runs(tmp_path, "extract_crops")


@pytest.mark.parametrize("text", ["", '{"format": 1, "st'])
def test_what_a_run_left_that_was_killed_as_it_began_is_no_record_and_goes_with_the_next(tmp_path, text):
    whole = write_run(tmp_path, {}, "a")
    begun = whole.with_name(f".partial-{whole.name.replace('_extract', '_1_extract')}")
    begun.write_text(text)
    assert [run.path for run in read_runs(tmp_path, "extract_crops")] == [whole]
    write_run(tmp_path, {}, "b")
    assert not begun.exists() and len(read_runs(tmp_path, "extract_crops")) == 2


def test_a_run_that_did_nothing_leaves_no_record(tmp_path):
    with pytest.raises(KeyboardInterrupt), Record(tmp_path, header({})):
        raise KeyboardInterrupt
    assert read_runs(tmp_path, "extract_crops") == []


def test_the_last_word_about_a_video_counts(tmp_path):
    write_run(tmp_path, {}, "a", failed=("b", "c"))
    write_run(tmp_path, {}, "b", failed=("a",))
    found = {video: entry.status for video, entry in last_entries(read_runs(tmp_path, "extract_crops")).items()}
    assert found == {"a": FAILED, "b": DONE, "c": FAILED}


def test_which_settings_made_what_is_there(tmp_path):
    ten, five = {"every": 10, "boxes": {"scale": 1.0}}, {"every": 5, "boxes": {"scale": 1.0}}
    assert find_change([], {"a"}, ten) is None
    write_run(tmp_path, ten, "a", "b")
    runs = read_runs(tmp_path, "extract_crops")
    assert find_change(runs, {"a", "b", "unlisted"}, ten) is None
    assert find_change(runs, set(), five) is None
    assert find_change(runs, {"a"}, {**ten, "new": 1}) is None, "what the earlier code did not know of"
    assert find_change(runs, {"a"}, five) == "1 of the videos there (such as a) were made with every 10, not 5"
    assert "such as z" in find_change(runs, {"z"}, five), "done just before a kill: the latest run made it"
    nested = {"every": 10, "boxes": {"scale": 2.0}}
    assert find_change(runs, {"a"}, nested).endswith("boxes.scale 1.0, not 2.0")
    write_run(tmp_path, five, "a")  # --overwrite, killed after the first
    runs = read_runs(tmp_path, "extract_crops")
    assert find_change(runs, {"a"}, five) is None
    assert find_change(runs, {"a", "b"}, five) == "1 of the videos there (such as b) were made with every 10, not 5"


# Steps and status.


@pytest.fixture
def root(tmp_path) -> Path:
    """Three reals and a fake without a face, an orphan, and boxes of the reals as the published code wrote them."""
    part = tmp_path / "dfdc_train_part_0"
    part.mkdir()
    draw(part / "a.mp4", gradient(11, 64, 96))
    for name in ("b", "c", "a_x", "orphan"):
        shutil.copy(part / "a.mp4", part / f"{name}.mp4")
    originals = {"a_x.mp4": "a.mp4", "orphan.mp4": "nobody.mp4"}
    write_metadata(part, ["a.mp4", "b.mp4", "c.mp4"], originals)
    (tmp_path / "boxes").mkdir()
    for name in "abc":
        (tmp_path / "boxes" / f"{name}.json").write_text(BOXES)
    return tmp_path


@pytest.fixture
def status(project_root):
    def run(root: Path, *arguments: str) -> subprocess.CompletedProcess:
        line = [sys.executable, "preprocessing/status.py", "--root-dir", str(root), *arguments]
        return subprocess.run(line, cwd=project_root, capture_output=True, text=True)

    return run


def row(done: subprocess.CompletedProcess, step: str) -> list[str]:
    return next(line.split() for line in done.stdout.splitlines() if line.startswith(f"{step} "))


def test_a_changed_setting_is_refused_unless_told(root, run_step):
    assert run_step("extract_images", root, "--every", "5").returncode == 0
    done = run_step("extract_images", root, "--every", "2", "--format", "png")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {root / 'images'}: 5 of the videos there (such as ")
    assert "were made with every 5, not 2, format jpg, not png; give the old value, or --overwrite" in done.stderr
    assert done.stderr.count("\n") == 1
    shutil.rmtree(root / "images" / "b")
    mixed = run_step("extract_images", root, "--every", "10", "--mix-settings")
    assert mixed.returncode == 0 and "1 done, 4 skipped" in mixed.stdout
    assert sorted(path.name for path in (root / "images" / "b").iterdir()) == ["0.jpg", "10.jpg"]
    again = run_step("extract_images", root, "--every", "10", "--overwrite")
    assert "5 done, 0 skipped" in again.stdout
    assert "0 done, 5 skipped" in run_step("extract_images", root, "--every", "10").stdout


def test_other_boxes_are_other_crops(root, run_step):
    crops = {"videos": 3, "skipped": 0, "workers": 1, "scheduler": None, "arguments": []}
    for every, code in ((10, 3), (5, 2)):
        with Record(root, new_header("detect_original_faces", "boxes", {"every": every}, **crops)) as record:
            record.add("a", None)
        done = run_step("extract_crops", root)
        assert done.returncode == code, done.stderr
    assert "were made with detect_original_faces.every 10, not 5" in done.stderr


def test_status_and_retry(root, run_step, status):
    video, kept = root / "dfdc_train_part_0" / "b.mp4", root / "kept.mp4"
    shutil.move(video, kept)
    video.write_bytes(b"broken")
    before = status(root)
    assert before.returncode == 3
    assert row(before, "extract_crops") == ["extract_crops", "4", "0", "4", "0", "-", "-", "0", "B", "-"]
    assert "extract_images" not in before.stdout, "nobody asked for it"
    assert run_step("extract_crops", root, "--format", "jpg").returncode == 3
    told = status(root)
    assert told.returncode == 3
    assert row(told, "extract_crops")[:5] == ["extract_crops", "5", "3", "0", "2"]
    assert f"failed: extract_crops: b: {video}: not a video file" in told.stdout
    assert "failed: extract_crops: orphan: its original 'nobody' is not in the data set" in told.stdout
    used = sum(path.stat().st_size for path in (root / "crops").rglob("*.jpg"))
    assert f"  {describe_bytes(used)}  " in told.stdout
    shutil.move(kept, video)
    shutil.rmtree(root / "crops" / "c")  # missing, not failed: no matter of a retry
    retried = status(root, "--retry-failed")
    assert retried.returncode == 3, retried.stderr
    assert "extract_crops: 1 done, 0 skipped (already there), 1 failed" in retried.stdout
    assert row(retried, "extract_crops")[:5] == ["extract_crops", "5", "3", "1", "1"]
    assert {path.name for path in (root / "crops" / "b").iterdir()} == {"0_0.jpg", "10_0.jpg"}, "same arguments"


def test_a_complete_data_set_has_exit_code_0(root, run_step, status):
    part = root / "dfdc_train_part_0"
    write_metadata(part, ["a.mp4", "b.mp4", "c.mp4"], {"a_x.mp4": "a.mp4"})
    for folder, names in (("crops", ("a", "b", "c", "a_x")), ("landmarks", "abc"), ("diffs", ("a_x",))):
        for name in names:
            (root / folder / name).mkdir(parents=True)
    done = status(root)
    assert done.returncode == 0, done.stdout
    assert row(done, "generate_diffs")[:5] == ["generate_diffs", "1", "1", "0", "0"]
