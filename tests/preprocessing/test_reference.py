"""The five steps on real videos agree with what the published code computed (tolerances: reference README)."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import COLUMNS, read_folds
from deepfake.faces.boxes import read_boxes
from deepfake.faces.landmarks import read_landmarks
from deepfake.media.images import read_gray, read_image

PUBLISHED_FACES = 2
"""The published landmark, diff and fold steps ignore faces beyond the second."""


@pytest.fixture(scope="module")
def preprocessed(mini_dfdc, project_root, tmp_path_factory) -> DataRoot:
    """mini_dfdc after `bash preprocess_data.sh` with the published detector settings."""
    root = tmp_path_factory.mktemp("mini_dfdc")
    for part in mini_dfdc.iterdir():
        if part.is_dir():
            (root / part.name).symlink_to(part)
    environment = {**os.environ, "PYTHON": sys.executable, "DETECT_ARGS": "--preset published"}
    command = ["bash", str(project_root / "preprocess_data.sh"), str(root)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return DataRoot(root)


def test_boxes(preprocessed, reference):
    for video, published in reference("boxes").items():
        ours = read_boxes(preprocessed.boxes_file(video))
        assert sorted(map(str, ours.frames)) == sorted(published["every_10th"])
        for frame, faces in ours.frames.items():
            expected = published["every_10th"][str(frame)] or []
            assert len(faces) == len(expected), f"{video} frame {frame}"
            for face, box in zip(faces, expected):
                assert _iou(np.array(face.box) / 2, np.array(box)) >= 0.99, f"{video} frame {frame}"


def test_crops(preprocessed, reference):
    for video, published in reference("crops").items():
        folder = preprocessed.crops / video
        assert {path.name for path in folder.iterdir()} == published.keys()
        for name, (height, width, *means) in published.items():
            crop = read_image(folder / name)
            assert crop.shape == (height, width, 3), f"{video}/{name}"
            assert crop[..., ::-1].mean((0, 1)) == pytest.approx(means, abs=1.0), f"{video}/{name}"


def test_landmarks(preprocessed, reference):
    for video, published in reference("landmarks").items():
        folder = preprocessed.landmarks / video
        assert {path.name for path in folder.iterdir() if _face(path) < PUBLISHED_FACES} == published.keys()
        for name, points in published.items():
            assert np.abs(read_landmarks(folder / name) - np.array(points)).max() <= 1, f"{video}/{name}"


def test_landmarks_of_faces_beyond_the_second(preprocessed):
    assert any(_face(path) >= PUBLISHED_FACES for path in (preprocessed.landmarks / "video").iterdir())


def test_diffs(preprocessed, reference):
    for video, published in reference("diffs").items():
        folder = preprocessed.diffs / video
        assert {path.name for path in folder.iterdir()} == published.keys()
        for name, (height, width, mean, over_20, over_102) in published.items():
            mask = read_gray(folder / name)
            assert mask.shape == (height, width), f"{video}/{name}"
            assert mask.mean() == pytest.approx(mean, abs=0.5), f"{video}/{name}"
            assert (mask > 20).sum() == pytest.approx(over_20, rel=0.02), f"{video}/{name}"
            assert (mask > 102).sum() == pytest.approx(over_102, rel=0.02), f"{video}/{name}"


def test_folds(preprocessed, shared):
    expected = read_folds(shared / "reference" / "folds.csv").sort_values(["video", "file"], ignore_index=True)
    ours = read_folds(preprocessed.root / "folds.csv").sort_values(["video", "file"], ignore_index=True)
    assert list(ours.columns) == list(COLUMNS)
    assert ours.equals(expected)


def test_box_file_says_its_space_and_settings(preprocessed):
    content = json.loads(preprocessed.boxes_file("d0").read_text())
    assert content["space"] == "frame"
    assert content["size"] == [512, 512]
    assert content["settings"]["preset"] == "published"
    assert content["settings"]["scale"] == 0.5


def _iou(first: np.ndarray, second: np.ndarray) -> float:
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    shared = np.prod(np.maximum(high - low, 0))
    return shared / (np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]) - shared)


def _face(path) -> int:
    return int(path.stem.split("_")[1])
