"""FaceForensics++: splits, groups, masks, what is missing, and Kaggle's copy."""

import json

import pytest

from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import FRAMES, DatasetError
from tests.data.dataset_trees import make_ffpp, make_ffpp_kaggle, touch, write_all


@pytest.fixture
def root(tmp_path):
    make_ffpp(tmp_path)
    return tmp_path


def test_both_videos_of_a_pair_and_their_fakes_are_one_group(root):
    groups = {name: video.group for name, video in read_dataset(root).videos.items()}
    assert {name for name, group in groups.items() if group == groups["youtube_c23_000"]} == {
        *("youtube_c23_000", "youtube_c23_003", "youtube_raw_000", "Deepfakes_c23_000_003", "Deepfakes_c23_003_000"),
        *("Deepfakes_raw_000_003", "FaceShifter_c23_000_003"),
    }
    assert groups["youtube_c23_001"] == groups["FaceShifter_c23_001_870"]
    assert groups["actors_c23_01__talking"] == groups["DeepFakeDetection_c23_01_02__talking__YVGY8LOK"] == "actors_01"


def test_without_split_files_fakes_link_their_pairs(root):
    with_splits = read_dataset(root).videos
    for file in (root / "splits").iterdir():
        file.unlink()
    data = read_dataset(root)
    assert {n: v.group for n, v in data.videos.items()} == {n: v.group for n, v in with_splits.items()}
    assert data.splits == [] and not data.missing and "no split files" in data.notes[0]


@pytest.mark.parametrize("place", ["splits", "."])
def test_masks_and_split_files_at_the_root(root, place):
    for file in list((root / "splits").iterdir()):
        file.rename(root / place / file.name)
    data = read_dataset(root)
    masks = {name: video.mask for name, video in data.videos.items() if video.mask is not None}
    folder = root / "manipulated_sequences" / "Deepfakes" / "masks" / "videos"
    assert masks == {
        "Deepfakes_c23_000_003": folder / "000_003.mp4",
        "Deepfakes_raw_000_003": folder / "000_003.mp4",
        "Deepfakes_c23_003_000": folder / "003_000.mp4",
    }
    assert data.splits == ["train", "test"]


def test_what_the_splits_name_and_is_not_there_is_missing(root):
    missing = read_dataset(root).missing
    assert {name: file.split("/")[-1] for name, file in missing.items()} == {
        "original_sequences/youtube/c0/videos/003": "train.json",
        "original_sequences/youtube/c0/videos/001": "test.json",
        "original_sequences/youtube/c0/videos/870": "test.json",
        "original_sequences/youtube/c23/videos/870": "test.json",
        "manipulated_sequences/Deepfakes/c0/videos/003_000": "train.json",
        "manipulated_sequences/Deepfakes/c0/videos/001_870": "test.json",
        "manipulated_sequences/Deepfakes/c0/videos/870_001": "test.json",
        "manipulated_sequences/Deepfakes/c23/videos/001_870": "test.json",
        "manipulated_sequences/Deepfakes/c23/videos/870_001": "test.json",
        "manipulated_sequences/FaceShifter/c23/videos/003_000": "train.json",
        "manipulated_sequences/FaceShifter/c23/videos/870_001": "test.json",
    }


def test_a_method_alone_has_its_own_reals(root):
    data = read_dataset(root, methods=["DeepFakeDetection"], compressions=["c23"])
    assert set(data.videos) == {"actors_c23_01__talking", "DeepFakeDetection_c23_01_02__talking__YVGY8LOK"}
    data = read_dataset(root, methods=["faceshifter"], compressions=["c23"], splits=["test"])
    assert set(data.videos) == {"youtube_c23_001", "FaceShifter_c23_001_870"}


def test_half_a_tree(tmp_path):
    """Copies with fakes alone are normal: they stand for themselves."""
    write_all(tmp_path, touch, 1, "manipulated_sequences/FaceSwap/c40/videos/000_003.mp4")
    data = read_dataset(tmp_path)
    assert data.unpaired == {"FaceSwap_c40_000_003": "youtube_c40_000"} and len(data.unattributed) == 1


@pytest.mark.parametrize("name", ["images", "frames"])
def test_frames_in_place_of_videos(tmp_path, name):
    write_all(tmp_path, touch, 0, f"original_sequences/youtube/c23/{name}/000/0001.png")
    (video,) = read_dataset(tmp_path).videos.values()
    assert (video.video_id, video.content) == ("youtube_c23_000", FRAMES) and video.path.name == "000"


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not JSON"), ('{"a": 1}', "expected a list of pairs"), ('[["1", "2", "3"]]', "list of pairs"),
     ("[[1, 2]]", "list of pairs"), ('[["000", "005"]]', "'000' is in the splits train and test")],
)  # fmt: skip
def test_split_files_that_cannot_be(root, content, message):
    (root / "splits" / "test.json").write_text(content)
    with pytest.raises(DatasetError, match=rf"test\.json: .*{message}"):
        read_dataset(root)


def test_kaggle_with_the_split_files_beside_it(tmp_path):
    root = tmp_path / "FaceForensics++_C23"
    make_ffpp_kaggle(root)
    data = read_dataset(root)
    assert data.missing == {"Deepfakes/003_000.mp4": str(root / "csv" / "FF++_Metadata.csv")}
    assert data.unpaired == {"DeepFakeDetection_c23_01_02__talking__YVGY8LOK": "actors_c23_01__talking"}
    (root / "test.json").write_text(json.dumps([["000", "003"]]))
    assert read_dataset(root).videos["Face2Face_c23_003_000"].split == "test"


@pytest.mark.parametrize(("name", "compression"), [("FF_c40", "c40"), ("ff raw", "raw"), ("renamed", "c23")])
def test_kaggle_s_compression_is_in_the_folder_s_name(tmp_path, name, compression):
    make_ffpp_kaggle(tmp_path / name)
    assert read_dataset(tmp_path / name).compressions == [compression]


def test_folders_of_the_same_names_with_other_videos_are_plain_ones(tmp_path):
    write_all(tmp_path, touch, 0, "original/holiday.mp4")
    write_all(tmp_path, touch, 1, "deepfakes/holiday.mp4")
    assert read_dataset(tmp_path).layout == "folders"
