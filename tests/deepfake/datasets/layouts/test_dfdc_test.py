"""DFDC's test set, and Kaggle's test_videos, which are others."""

import pytest

from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import DatasetError
from tests.data.dataset_trees import make_dfdc, make_dfdc_full, make_dfdc_test, touch


def test_a_row_without_its_video_is_missing(tmp_path):
    make_dfdc_test(tmp_path)
    data = read_dataset(tmp_path)
    assert data.missing == {"abqvqdqxxx.mp4": str(tmp_path / "labels.csv")} and not data.notes


def test_the_folder_above_the_test_set(tmp_path):
    make_dfdc_test(tmp_path / "test")
    data = read_dataset(tmp_path)
    assert (data.layout, data.because) == ("dfdc-test", "test/labels.csv with DFDC's names")


def test_videos_beside_the_table(tmp_path):
    make_dfdc_test(tmp_path)
    for video in list((tmp_path / "videos").iterdir()):
        video.rename(tmp_path / video.name)
    (tmp_path / "videos").rmdir()
    assert set(read_dataset(tmp_path).videos) == {"aalscayrfi", "aavgrzytcm"}


def test_kaggle_s_test_videos_are_not_those_of_the_table(tmp_path):
    make_dfdc_test(tmp_path)
    (tmp_path / "videos").rename(tmp_path / "test_videos")
    with pytest.raises(DatasetError, match=r"no video .*, 3 that its lists name are missing \(3 of .*Kaggle"):
        read_dataset(tmp_path)
    (tmp_path / "labels.csv").write_text("filename,label\naalscayrfi.mp4,0.5\n")  # the sample submission
    with pytest.raises(DatasetError, match="nor anything else"):
        read_dataset(tmp_path)
    with pytest.raises(DatasetError, match="Kaggle's test_videos come without labels"):
        read_dataset(tmp_path, "dfdc-test")


def test_a_labels_csv_of_other_names_is_a_plain_table(tmp_path):
    touch(tmp_path / "holiday.mp4", 0)
    (tmp_path / "labels.csv").write_text("filename,label\nholiday.mp4,0\n")
    assert read_dataset(tmp_path).layout == "csv"


def test_metadata_json_is_always_dfdc(tmp_path):
    make_dfdc(tmp_path)
    make_dfdc_test(tmp_path / "dfdc_train_part_0")
    assert read_dataset(tmp_path).layout == read_dataset(tmp_path / "dfdc_train_part_0").layout == "dfdc"


def test_the_full_data_set(tmp_path):
    make_dfdc_full(tmp_path)
    data = read_dataset(tmp_path)
    assert data.because == "metadata.json in train/dfdc_train_part_0"
    assert [v.part for v in data.videos.values() if v.split == "train"] == [0, 0, 1, 1]
    assert set(read_dataset(tmp_path, splits=["test"]).videos) == {"aalscayrfi", "aavgrzytcm"}
    assert list(data.missing) == ["abqvqdqxxx.mp4"]
