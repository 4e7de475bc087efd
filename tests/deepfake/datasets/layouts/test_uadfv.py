"""UADFV is known by its names; other folders called real and fake are plain ones."""

from deepfake.datasets.reading import read_dataset
from tests.data.dataset_trees import make_uadfv, touch


def test_the_names_decide(tmp_path):
    make_uadfv(tmp_path)
    assert read_dataset(tmp_path).unpaired == {"fake_0002_fake": "real_0002"}
    touch(tmp_path / "fake" / "another.mp4", 1)
    assert read_dataset(tmp_path).layout == "folders"


def test_videos_in_between(tmp_path):
    make_uadfv(tmp_path)
    before = set(read_dataset(tmp_path).videos)
    for label in ("real", "fake"):
        (tmp_path / label).rename(tmp_path / "videos")
        (tmp_path / label).mkdir()
        (tmp_path / "videos").rename(tmp_path / label / "videos")
    data = read_dataset(tmp_path)
    assert data.layout == "uadfv" and set(data.videos) == before
