"""Recorded scores found again in a data set: by id, path, file name, or the folder of frames."""

from pathlib import Path

import pytest

from deepfake.datasets.labels import LabelError
from deepfake.datasets.records import FRAMES, Dataset, VideoRecord
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


@pytest.fixture
def pictures(tmp_path):
    """Folders of pictures, one called like pictures elsewhere, and a picture that is a video itself."""
    names = {"real_000": "real/000", "A_000_003": "A/000_003", "B_000_003": "B/000_003", "real_x": "real/x.png"}
    for name in ("real/000/000.png", "real/000/7.png", "A/000_003/000.png", "B/000_003/000.png", "real/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return Dataset({i: VideoRecord(i, tmp_path / name, 0, content=FRAMES) for i, name in names.items()})


def test_pictures_in_folders_are_joined_wherever_their_names_are_clear(pictures, tmp_path):
    """Also one picture a folder, a name without folders, and one whose number is that of a folder."""
    scores = {"A/000_003/000.png": 0.9, "set\\real\\000\\000.png": 0.2, "7.png": 0.4, "x.png": 0.3}
    rows = {name: ScoredVideo(score) for name, score in scores.items()}
    found = match_run(RecordedRun({**rows, "B/000_003/000.png": ScoredVideo(None, "no face")}, {}), pictures, tmp_path)
    assert {name: found.videos[name].score for name in found.videos} == pytest.approx(
        {"real_000": 0.3, "A_000_003": 0.9, "B_000_003": None, "real_x": 0.3}
    )
    assert [len(found.videos[name].frames) for name in ("real_000", "A_000_003", "real_x")] == [2, 1, 0]


def test_pictures_that_are_not_there_are_joined_by_their_folders(pictures, tmp_path):
    rows = {f"crops/{name}/f{i}.webp": ScoredVideo(i / 10) for name in ("real/000", "A/000_003") for i in range(3)}
    found = match_run(RecordedRun(rows, {}), pictures, tmp_path)
    assert {name: video.score for name, video in found.videos.items()} == pytest.approx(
        {"real_000": 0.1, "A_000_003": 0.1}
    )


def test_a_picture_of_several_folders_is_refused(pictures, tmp_path):
    with pytest.raises(LabelError, match=r"000\.png.* may be either"):
        match_run(run("000.png"), pictures, tmp_path)


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
