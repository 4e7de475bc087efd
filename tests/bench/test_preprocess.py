"""The preprocessing benchmark runs on real clips and ends with the ratio."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.preprocess import lay_out, repeated
from deepfake.datasets.reading import read_dataset
from tests.data.clips import cut, write_metadata

pytestmark = pytest.mark.slow


@pytest.fixture
def root(mini_dfdc, tmp_path) -> Path:
    part = tmp_path / "data" / "dfdc_train_part_1"
    part.mkdir(parents=True)
    for name in ("d0", "d0_d3"):
        cut(mini_dfdc / part.name / f"{name}.mp4", part / f"{name}.mp4", 11)
    write_metadata(part, ["d0.mp4"], {"d0_d3.mp4": "d0.mp4"})
    return part.parent


def test_prints_both_ways_and_the_ratio_to_the_floor(root, project_root):
    before = sorted(root.rglob("*"))
    command = [sys.executable, "bench/preprocess.py", str(root), "--workers", "1", "--videos", "3"]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "(44 frames)" in lines[1], "whole families"
    names = [re.split(r"  +", line)[0] for line in lines[2:-1]]
    steps = ["detect_original_faces", "extract_crops", "generate_landmarks", "generate_diffs", "generate_folds"]
    assert names == ["preprocess_videos", "generate_folds", "one pass", *steps, "five steps"]
    ratio = r"[\d.]+ \([\d.]+ in processor time\)"
    assert re.fullmatch(rf"ratio to floor without start-up: one pass {ratio}, five steps {ratio}", lines[-1])
    assert sorted(root.rglob("*")) == before  # the data set stays as it is


def test_clips_are_repeated_as_whole_families_under_other_names(root, tmp_path):
    dataset = read_dataset(root)
    copies = repeated(dataset, 5)
    lay_out(copies, tmp_path / "more")
    more = read_dataset(tmp_path / "more")
    assert len(more.videos) == 6 and len(more.pairs) == 3 and not more.orphans
    assert {video.path.resolve() for video in more.videos.values()} == {v.path for v in dataset.videos.values()}
