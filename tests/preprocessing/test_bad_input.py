"""Bad videos and bad metadata: a clear reason for each, and nothing else is lost."""

import csv
import json
import os
import shutil
import subprocess
import sys

import pytest

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import read_folds
from deepfake.faces.boxes import read_boxes
from tests.data.clips import cut, draw, ffmpeg, gradient, write_metadata
from tests.data.steps import assert_stopped_by_a_full_disk, on_small_disk, step_command

REALS = ["empty", "truncated", "audio_only", "one_frame", "faceless", "rotated", "vfr", "with space ünï", "absent"]


@pytest.fixture(scope="module")
def zoo(mini_dfdc, tmp_path_factory):
    """Every kind of bad and odd video in one data set, preprocessed by the one command."""
    root = tmp_path_factory.mktemp("zoo")
    part = root / "dfdc_train_part_7"
    part.mkdir()
    source, swapped = mini_dfdc / "dfdc_train_part_1" / "d0.mp4", mini_dfdc / "dfdc_train_part_1" / "d0_d3.mp4"
    (part / "empty.mp4").touch()
    cut(source, part / "whole.mp4", 30)
    data = (part / "whole.mp4").read_bytes()
    (part / "truncated.mp4").write_bytes(data[: len(data) // 2])  # its index stands at the end
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", str(part / "audio_only.mp4"))
    cut(source, part / "one_frame.mp4", 1)
    draw(part / "faceless.mp4", gradient(12))
    ffmpeg("-display_rotation", "90", "-i", str(part / "whole.mp4"), "-c", "copy", str(part / "rotated.mp4"))
    cut(source, part / "vfr.mp4", 15, "-vf", "select='not(mod(n,3))+lt(n,12)'", "-fps_mode", "vfr")
    cut(source, part / "with space ünï.mp4", 12)
    cut(swapped, part / "fälschung 1.mp4", 12)
    cut(swapped, part / "small.mp4", 12, "-vf", "scale=256:256")
    shutil.copy(part / "fälschung 1.mp4", part / "of_empty.mp4")
    shutil.copy(part / "fälschung 1.mp4", part / "orphan.mp4")
    originals = {"fälschung 1": "with space ünï", "small": "with space ünï", "of_empty": "empty", "orphan": "nobody"}
    fakes = {f"{fake}.mp4": f"{original}.mp4" for fake, original in originals.items()}
    write_metadata(part, [f"{name}.mp4" for name in REALS], fakes)
    return DataRoot(root)


@pytest.fixture(scope="module")
def run_on_zoo(zoo, project_root):
    command = ["bash", "preprocess_data.sh", str(zoo.root)]
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run(command, cwd=project_root, env=environment, capture_output=True, text=True)


def _failures(zoo: DataRoot, step: str) -> dict[str, str]:
    with zoo.failures_file(step).open(encoding="utf-8") as file:
        return {row["video"]: row["reason"] for row in csv.DictReader(file)}


def test_the_run_goes_through_and_says_that_some_failed(run_on_zoo):
    assert run_on_zoo.returncode == 3, run_on_zoo.stdout + run_on_zoo.stderr
    assert "5 done, 0 skipped (already there), 4 failed" in run_on_zoo.stdout
    assert "1 of 4 fakes are left out: their originals (e.g. 'nobody' of 'orphan')" in run_on_zoo.stderr.split("\n")[0]
    assert "Traceback" not in run_on_zoo.stderr


@pytest.mark.parametrize(
    ("video", "reason"),
    [
        ("empty", "the file is empty"),
        ("truncated", "no video stream that can be decoded"),
        ("audio_only", "no video stream that can be decoded"),
        ("absent", "no such file"),
    ],
)
def test_unreadable_videos_are_listed_with_the_reason(run_on_zoo, zoo, video, reason):
    assert reason in _failures(zoo, "detect_original_faces")[video]
    assert not zoo.boxes_file(video).exists()
    assert not (zoo.crops / video).exists()


@pytest.mark.parametrize(
    ("video", "reason"),
    [
        ("of_empty", "no boxes of empty; run detect_original_faces.py first"),
        ("orphan", "its original 'nobody' is not in the data set"),
        ("small", "frames of 256x256 pixels, but the boxes of with space ünï are for 512x512"),
    ],
)
def test_fakes_without_usable_boxes_are_listed_with_the_reason(run_on_zoo, zoo, video, reason):
    assert reason in _failures(zoo, "extract_crops")[video]
    assert not (zoo.crops / video).exists()


@pytest.mark.parametrize(("video", "frames"), [("one_frame", 1), ("rotated", 3), ("vfr", 2), ("with space ünï", 2)])
def test_odd_videos_give_their_faces(run_on_zoo, zoo, video, frames):
    assert [len(faces) for faces in read_boxes(zoo.boxes_file(video)).frames.values()].count(1) == (
        frames if video != "rotated" else 0
    )
    assert len(read_boxes(zoo.boxes_file(video)).frames) == frames


def test_a_video_without_a_face_is_done_and_empty(run_on_zoo, zoo):
    assert read_boxes(zoo.boxes_file("faceless")).frames == {0: [], 10: []}
    assert list((zoo.crops / "faceless").iterdir()) == []


def test_the_good_pair_is_whole(run_on_zoo, zoo):
    for folder in (zoo.crops / "with space ünï", zoo.crops / "fälschung 1"):
        assert {path.name for path in folder.iterdir()} == {"0_0.png", "10_0.png"}
    assert {path.name for path in (zoo.diffs / "fälschung 1").iterdir()} == {"0_0_diff.png", "10_0_diff.png"}
    assert {path.name for path in (zoo.landmarks / "with space ünï").iterdir()} == {"0_0.npy", "10_0.npy"}
    table = (zoo.root / "folds.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) == 1 + 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no metadata.json"),
        ("{", "not readable as JSON"),
        ("[]", "expected a mapping"),
        ('{"a.mp4": {"label": "MAYBE"}}', "'a.mp4' has label 'MAYBE'; expected 'REAL' or 'FAKE'"),
        ('{"a.mp4": 0, "a.mp4": 1}', "the key 'a.mp4' is there twice"),
        ('{"a.mp4": {"label": "FAKE", "original": "../.."}}', "expected a plain file name"),
    ],
)
def test_bad_metadata_stops_with_one_line(run_step, tmp_path, content, message):
    part = tmp_path / "dfdc_train_part_0"
    part.mkdir()
    if content is not None:
        (part / "metadata.json").write_text(content)
    done = run_step("extract_crops", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dfdc_train_part_0"]


def test_odd_names_and_fakes_without_original_in_one_run(project_root, small_parts, tmp_path):
    """A name of 300 letters, one with a folder, and a fake that names no original: the others are done as ever."""
    part = tmp_path / "dfdc_train_part_1"
    shutil.copytree(small_parts / part.name, part)
    shutil.copy(small_parts / "dfdc_train_part_3" / "d19_d18.mp4", part / "alone.mp4")
    content = json.loads((part / "metadata.json").read_text())
    content |= {
        "n" * 300 + ".mp4": {"label": "REAL"},
        "../d0.mp4": {"label": "REAL"},
        "\ud800.mp4": {"is_fake": 0},
        "alone.mp4": {"is_fake": 1},
    }
    (part / "metadata.json").write_text(json.dumps(content), encoding="utf-16")
    environment = {**os.environ, "PYTHON": sys.executable, "FOLDS_ARGS": "--split-by original --n-splits 2"}
    command = ["bash", "preprocess_data.sh", str(tmp_path)]
    done = subprocess.run(command, cwd=project_root, env=environment, capture_output=True, text=True)
    assert done.returncode == 3, done.stdout + done.stderr
    layout = DataRoot(tmp_path)
    for step in ("detect_original_faces", "extract_crops", "generate_landmarks", "generate_diffs"):
        failures = _failures(layout, step)
        assert failures.keys() == {"n" * 300 + ".mp4", "../d0.mp4", "\\ud800.mp4"}, step
        assert "not a plain file name" in failures["../d0.mp4"] and "300 bytes" in failures["n" * 300 + ".mp4"]
    assert {path.name for path in layout.crops.iterdir()} == {"d0", "d0_d3", "alone"}
    assert {path.stem for path in layout.boxes.iterdir()} == {path.name for path in layout.landmarks.iterdir()}
    assert {path.name for path in layout.landmarks.iterdir()} == {"d0", "alone"}
    assert [path.name for path in layout.diffs.iterdir()] == ["d0_d3"]
    assert "generate_diffs: 1 fakes name no original: their faces are looked for in themselves" in done.stdout
    assert "1 fakes name no original; any of them may be split from the video it was made from" in done.stderr
    table = read_folds(layout.folds_csv)
    assert {row.video: (row.label, row.original) for row in table.itertuples()} == {
        "d0": (0, "d0"), "d0_d3": (1, "d0"), "alone": (1, "alone"),
    }  # fmt: skip
    assert table.groupby("original")["fold"].nunique().tolist() == [1, 1] and set(table["fold"]) == {0, 1}


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("train_sample_videos", {"d0.mp4": "REAL", "f.mp4": {"label": "FAKE", "original": "d0.mp4"}},
         'split by original instead (FOLDS_ARGS="--split-by original --n-splits 5")'),
        ("dfdc_train_part_1", {"d0.mp4": "REAL"}, 'FOLDS_ARGS="--include-unpaired"'),
    ],
)  # fmt: skip
def test_folds_that_cannot_be_are_reported_before_the_work(project_root, tmp_path, part, content, message):
    (tmp_path / part).mkdir()
    (tmp_path / part / "metadata.json").write_text(json.dumps(content))
    command = ["bash", "preprocess_data.sh", str(tmp_path)]
    done = subprocess.run(
        command, cwd=project_root, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True
    )
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [part]


def test_uneven_folds_are_reported_with_the_option(run_step, data_root):
    done = run_step("generate_folds", data_root, "--check")
    assert (done.returncode, done.stdout) == (0, "")
    assert "warning: only 2 of 16 folds get videos (fold 0: 2, fold 1: 2)" in done.stderr
    assert 'FOLDS_ARGS="--split-by original --n-splits 2"' in done.stderr
    done = run_step("generate_folds", data_root, "--check", "--split-by", "original", "--n-splits", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (data_root / "folds.csv").exists()


def test_a_split_that_is_uneven_itself_is_not_proposed(run_step, tmp_path):
    """Of two originals only one has fakes: no split by original has fakes in each fold."""
    part = tmp_path / "dfdc_train_part_0"
    part.mkdir()
    content = {"a.mp4": {"label": "REAL"}, "b.mp4": {"label": "REAL"}}
    fakes = {f"f{i}.mp4": {"label": "FAKE", "original": "a.mp4"} for i in range(2)}
    (part / "metadata.json").write_text(json.dumps(content | fakes))
    options = ("--check", "--include-unpaired", "--split-by", "original", "--n-splits", "2")
    err = run_step("generate_folds", tmp_path, *options).stderr
    assert "gets no fake video; no 2 to 5 folds of these 2 originals" in err and "FOLDS_ARGS" not in err


def test_a_missing_folder_is_named(run_step, tmp_path):
    done = run_step("generate_folds", tmp_path / "nowhere")
    assert done.returncode == 2
    assert f"error: {tmp_path / 'nowhere'}: no such folder" in done.stderr


def test_a_crops_dir_may_not_leave_the_data_root(run_step, data_root):
    done = run_step("extract_crops", data_root, "--crops-dir", "../elsewhere")
    assert done.returncode == 2
    assert "expected a plain folder name" in done.stderr


def test_folds_without_crops_say_what_to_run(run_step, data_root):
    done = run_step("generate_folds", data_root)
    assert done.returncode == 2
    assert "run extract_crops.py first" in done.stderr
    assert not (data_root / "folds.csv").exists()


def test_a_damaged_box_file_is_named(run_step, data_root):
    layout = DataRoot(data_root)
    layout.boxes.mkdir()
    layout.boxes_file("d0").write_text('{"format": 99}')
    layout.boxes_file("d19").write_text(json.dumps({"0": [[80, 60, 180, 215]], "10": None}))
    done = run_step("extract_crops", data_root)
    assert done.returncode == 3
    failures = _failures(layout, "extract_crops")
    assert failures.keys() == {"d0", "d0_d3"}
    assert "not a box file" in failures["d0"]
    assert [path.name for path in (layout.crops / "d19").iterdir()] == ["0_0.png"]  # the published layout is read


def test_a_full_disk_stops_with_one_line_and_loses_nothing(data_root, run_step, project_root):
    layout = DataRoot(data_root)
    layout.boxes.mkdir()
    for video in ("d0", "d19"):
        layout.boxes_file(video).write_text(json.dumps({str(i): [[80, 60, 180, 215]] for i in range(0, 21, 10)}))
    layout.crops.mkdir()
    command = step_command("extract_crops", data_root)
    assert_stopped_by_a_full_disk(on_small_disk(command, project_root, layout.crops, "300k"))
    assert run_step("extract_crops", data_root).returncode == 0  # with space again, it goes on
    assert len(list(layout.crops.glob("*/*.png"))) == 12
