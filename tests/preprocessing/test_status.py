"""preprocessing/status.py, and what steps refuse by the records of earlier runs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deepfake.datasets.progress import describe_bytes
from deepfake.datasets.run_records import Record, new_header
from tests.data.clips import draw, gradient, write_metadata

BOXES = json.dumps({"0": [[8, 20, 38, 60]], "10": [[8, 20, 38, 60]]})


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
    message = status(root)
    assert message.returncode == 3
    assert row(message, "extract_crops")[:5] == ["extract_crops", "5", "3", "0", "2"]
    assert f"failed: extract_crops: b: {video}: not a video file" in message.stdout
    assert "failed: extract_crops: orphan: its original 'nobody' is not in the data set" in message.stdout
    used = sum(path.stat().st_size for path in (root / "crops").rglob("*.jpg"))
    assert f"  {describe_bytes(used)}  " in message.stdout
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
