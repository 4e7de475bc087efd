"""Recorded scores found again in a data set: by id, path, file name, or the folder of frames."""

from pathlib import Path

import pytest

from deepfake.datasets.labels import LabelError
from deepfake.datasets.records import Dataset, VideoRecord
from deepfake.evaluation.recorded import RecordedRun, ScoredVideo, match_run, read_other

ROOT = Path("set")


@pytest.fixture
def dataset():
    """Two methods have a video of the same name."""
    names = {"real_000": "real/000.mp4", "A_000_003": "A/000_003.mp4", "B_000_003": "B/000_003.mp4"}
    return Dataset({i: VideoRecord(i, ROOT / name, int(i != "real_000")) for i, name in names.items()})


def run(*names):
    return RecordedRun({name: ScoredVideo(0.5) for name in names}, {})


@pytest.mark.parametrize(
    "names, matched_by",
    [
        (("real_000", "A_000_003", "B_000_003"), "id"),
        (("real/000.mp4", "A/000_003.mp4", "B/000_003.mp4"), "path"),
        (("else/set/real/000.mp4", "else/set/A/000_003.mp4", "else/set/B/000_003.mp4"), "path"),
        (("real\\000", "A\\000_003", "B\\000_003"), "path without suffix"),
    ],
)
def test_names_are_matched(dataset, names, matched_by):
    found = match_run(run(*names), dataset, ROOT)
    assert found.names == dict(zip(dataset.videos, names)) and found.matched_by == matched_by


def test_frames_in_folders_are_joined(dataset):
    rows = {f"real/000/{i}.png": ScoredVideo(i / 10) for i in range(3)} | {"A/000_003/0.png": ScoredVideo(0.9)}
    found = match_run(RecordedRun(rows, {}), dataset, ROOT)
    assert found.videos["real_000"].score == pytest.approx(0.1) and len(found.videos["real_000"].frames) == 3
    assert found.videos.keys() == {"real_000", "A_000_003"}


def test_one_name_of_two_videos_is_refused(dataset):
    with pytest.raises(LabelError, match="000_003"):
        match_run(run("000_003.mp4"), dataset, ROOT)


def test_unknown_names_are_listed(dataset):
    assert match_run(run("real/000.mp4", "x.mp4"), dataset, ROOT).unknown == ["x.mp4"]


def test_tables_of_others(tmp_path):
    (tmp_path / "t.csv").write_text("Name;Pred\na;0.25\nb;\na;0.75\n")
    found = read_other(tmp_path / "t.csv").videos
    assert found["a"].score == 0.5 and len(found["a"].frames) == 2
    assert found["b"].score is None and found["b"].reason
