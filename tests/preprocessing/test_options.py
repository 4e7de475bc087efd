"""Options of the steps, and the limits of the published code that this one has not."""

import json

import pytest

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import read_folds
from deepfake.faces.boxes import BoxFile, Face, read_boxes, write_boxes
from tests.data.clips import draw, gradient, write_metadata


@pytest.fixture
def with_boxes(data_root) -> DataRoot:
    """A data root whose box files are there: no detection needed."""
    layout = DataRoot(data_root)
    layout.boxes.mkdir()
    for video in ("d0", "d19"):
        layout.boxes_file(video).write_text(json.dumps({str(i): [[80, 60, 180, 215]] for i in range(0, 21, 10)}))
    return layout


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_smaller_formats_go_through_all_that_follows(with_boxes, run_step, suffix):
    root = with_boxes.root
    assert run_step("extract_crops", root, "--format", suffix, "--crops-dir", "small crops").returncode == 0
    names = {path.name for path in (root / "small crops" / "d0_d3").iterdir()}
    assert names == {f"{frame}_0.{suffix}" for frame in (0, 10, 20)}
    assert run_step("generate_diffs", root, "--crops-dir", "small crops").returncode == 0
    assert len(list((with_boxes.diffs / "d0_d3").iterdir())) == 3
    out = root / "folds here.csv"
    done = run_step("generate_folds", root, "--crops-dir", "small crops", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert set(read_folds(out)["file"]) == names


def test_split_by_original_needs_no_part_numbers(with_boxes, run_step, tmp_path):
    root = tmp_path / "renamed"
    root.mkdir()
    for old, new in (("dfdc_train_part_1", "ours"), ("dfdc_train_part_3", "theirs")):
        (root / new).symlink_to((with_boxes.root / old).resolve())
    (root / "boxes").symlink_to(with_boxes.boxes)
    assert run_step("extract_crops", root).returncode == 0
    by_part = run_step("generate_folds", root)
    assert by_part.returncode == 2
    assert "ends in no part number" in by_part.stderr
    done = run_step("generate_folds", root, "--split-by", "original", "--n-splits", "2")
    assert done.returncode == 0, done.stderr
    folds = read_folds(root / "folds.csv")
    assert folds.groupby("original")["fold"].nunique().tolist() == [1, 1]
    assert set(folds["fold"]) == {0, 1}


def test_frames_beyond_320_and_faces_beyond_the_second_are_used(run_step, tmp_path):
    part = tmp_path / "dfdc_train_part_0"
    part.mkdir()
    for name in ("long.mp4", "long_fake.mp4"):
        draw(part / name, gradient(341, 96, 128))
    write_metadata(part, ["long.mp4"], {"long_fake.mp4": "long.mp4"})
    layout = DataRoot(tmp_path)
    faces = [Face((8.0 + 20 * i, 20.0, 38.0 + 20 * i, 60.0)) for i in range(4)]
    write_boxes(layout.boxes_file("long"), BoxFile({0: faces[:1], 340: faces}, (96, 128)))
    for step in ("extract_crops", "generate_diffs", "generate_folds"):
        assert run_step(step, tmp_path).returncode == 0
    assert len(list((layout.diffs / "long_fake").glob("340_*_diff.png"))) == 4
    folds = read_folds(tmp_path / "folds.csv")
    assert sorted(folds[(folds["video"] == "long") & (folds["frame"] == 340)]["file"]) == [
        f"340_{i}.png" for i in range(4)
    ]


def test_detection_follows_every_and_scale(run_step, data_root):
    done = run_step("detect_original_faces", data_root, "--every", "20", "--scale", "0.25")
    assert done.returncode == 0, done.stderr
    boxes = read_boxes(DataRoot(data_root).boxes_file("d0"))
    assert list(boxes.frames) == [0, 20]
    assert boxes.settings["every"] == 20
    assert boxes.settings["scale"] == 0.25
    assert boxes.settings["thresholds"] == [0.85, 0.95, 0.95]
    (face,) = boxes.frames[0]
    assert 120 < face.box[0] < 180  # in full-frame pixels, whatever the scale
    assert len(face.landmarks) == 5


@pytest.mark.parametrize("argument", [("--every", "0"), ("--scale", "-1"), ("--workers", "0")])
def test_nonsense_is_refused(run_step, data_root, argument):
    done = run_step("detect_original_faces", data_root, *argument)
    assert done.returncode == 2
    assert argument[0] in done.stderr
    assert "Traceback" not in done.stderr
    assert not (data_root / "boxes").exists()
