"""DeepfakeBench's and GenD's lists: where the frames are, several splits, several lists, lists that cannot be."""

import json

import pytest

from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import CROPS, DatasetError
from tests.data.dataset_trees import make_deepfakebench, make_gend, touch


@pytest.fixture
def bench(tmp_path):
    make_deepfakebench(tmp_path / "bench")
    return tmp_path / "bench"


def test_several_splits_and_what_is_not_there(bench):
    data = read_dataset(bench)
    assert data.missing == {
        "FaceForensics++/manipulated_sequences/Face2Face/c23/frames/003_000": str(bench / "dataset_json/FF-F2F.json")
    }
    assert data.notes == (
        "FF: 4 videos are in the lists of several splits: test counts, then train",
        "UADFV: all videos are in the lists of train and test: they have no split",
    )
    assert {video.content for video in data.videos.values()} == {CROPS}
    assert data.videos["FF-DF_c23_000_003"].path == bench / (
        "rgb/FaceForensics++/manipulated_sequences/Deepfakes/c23/frames/000_003"
    )
    assert len({video.group for video in data.select(compressions=["c23"]).videos.values()}) == 1


@pytest.mark.parametrize("place", ["datasets/rgb", "rgb", "."])
def test_where_the_frames_may_be(bench, place):
    before = set(read_dataset(bench).videos)
    (bench / place).parent.mkdir(exist_ok=True)
    if place == ".":
        for folder in list((bench / "rgb").iterdir()):
            folder.rename(bench / folder.name)
    elif place != "rgb":
        (bench / "rgb").rename(bench / place)
    assert set(read_dataset(bench).videos) == before


def test_one_list_by_its_name(bench):
    for file in (bench / "dataset_json").iterdir():
        file.rename(bench / file.name)
    data = read_dataset(bench / "FF-F2F.json")
    assert data.layout == "deepfakebench" and set(data.videos) == {"FF-real_c23_000", "FF-F2F_c23_000_003"}


def test_absolute_paths(bench, tmp_path):
    file = bench / "dataset_json" / "FF-F2F.json"
    touch(tmp_path / "else" / "001_870" / "0.png", 1)
    videos = {"001_870": {"label": "FF-F2F", "frames": [str(tmp_path / "else" / "001_870" / "0.png")]}}
    file.write_text(json.dumps({"FF-F2F": {"FF-F2F": {"train": {"c23": videos}}}}))
    assert read_dataset(bench).videos["FF-F2F_c23_001_870"].path == tmp_path / "else" / "001_870"


def test_masks_are_those_of_fakes(bench):
    file = bench / "dataset_json" / "FF-F2F.json"
    content = json.loads(file.read_text())
    touch(bench / "rgb" / "masks" / "000_003" / "000.png", 1)
    content["FF-F2F"]["FF-F2F"]["test"]["c23"]["000_003"]["masks"] = [r"masks\000_003\000.png"]
    file.write_text(json.dumps(content))
    (bench / "dataset_json" / "FaceForensics++.json").unlink()
    assert read_dataset(bench).videos["FF-F2F_c23_000_003"].mask == bench / "rgb" / "masks" / "000_003"


@pytest.mark.parametrize("frames", [[], ["a/0.png", "b/0.png"], [1], None])
def test_videos_without_a_folder_of_frames_are_set_aside(bench, frames):
    file = bench / "dataset_json" / "UADFV.json"
    entry = {"label": "UADFV_Real", "frames": frames}
    file.write_text(json.dumps({"UADFV": {"UADFV_Real": {"train": {"0009": entry}, "val": entry}}}))
    data = read_dataset(bench)
    assert not any(name.startswith("UADFV") for name in data.videos)
    assert bool(data.rejected) == isinstance(frames, list)


def test_lists_that_cannot_be(bench):
    (bench / "dataset_json" / "UADFV.json").write_text('{"U": {"UADFV_Real": {"train": {')
    with pytest.raises(DatasetError, match=r"UADFV\.json: not JSON"):
        read_dataset(bench)


@pytest.mark.parametrize("layout", ["deepfakebench", "gend"])
def test_by_name_there_must_be_lists(tmp_path, layout):
    with pytest.raises(DatasetError, match="no lists of"):
        read_dataset(tmp_path, layout)


def test_gend_s_lists_from_the_checkout_and_from_their_folder(tmp_path):
    make_gend(tmp_path)
    data = read_dataset(tmp_path)
    assert data.missing.keys() == {"datasets/CDFv2/Celeb-real/id9_0000"}
    assert read_dataset(tmp_path / "config" / "datasets").videos == data.videos
    assert {video.group for video in data.videos.values()} == {"CDFv2_id0", "CDFv2_00000", "FF_000"}
