"""Layouts: recognized, chosen by name, and what is said where neither works."""

import json
import os

import pytest

from deepfake.datasets.layout_registry import LAYOUTS
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import DatasetError
from deepfake.storage.registry import UnknownName
from tests.data.dataset_trees import make_celeb_df, make_csv, make_ffpp, make_folders

VIDEOS = {"a.mp4": {"label": "REAL", "split": "train"}, "f.mp4": {"label": "FAKE", "original": "a.mp4"}}


@pytest.fixture
def parts(tmp_path):
    for name in ("a.mp4", "metadata.json"):
        (tmp_path / "dfdc_train_part_3").mkdir(exist_ok=True)
        (tmp_path / "dfdc_train_part_3" / name).write_text(json.dumps(VIDEOS))
    return tmp_path


def test_the_layout_is_recognized_and_says_by_what(parts):
    data = read_dataset(parts)
    assert (data.layout, data.because) == ("dfdc", "metadata.json in dfdc_train_part_3")
    assert data.missing == {"dfdc_train_part_3/f.mp4": f"{parts / 'dfdc_train_part_3' / 'metadata.json'}"}
    assert set(data.videos) == {"a", "f"}


def test_a_layout_by_name_is_not_recognized_first(parts):
    data = read_dataset(parts, "dfdc", splits=["train"])
    assert (data.layout, data.because) == ("dfdc", "") and set(data.videos) == {"a"}
    with pytest.raises(UnknownName, match=r"layout 'dfdd' unknown; expected one of .*dfdc"):
        read_dataset(parts, "dfdd")


def test_one_metadata_json_is_a_data_set(parts):
    data = read_dataset(parts / "dfdc_train_part_3" / "metadata.json")
    assert data.layout == "dfdc" and data.videos == read_dataset(parts).videos


def test_what_is_left_of_a_data_set_is_never_nothing(parts, tmp_path):
    with pytest.raises(DatasetError, match="split 'test' unknown; expected one of train"):
        read_dataset(parts, splits=["test"])
    (tmp_path / "empty" / "manipulated_sequences").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"empty: no video in it as layout ff\+\+ has them \(no split files"):
        read_dataset(tmp_path / "empty")
    make_ffpp(tmp_path / "ff")
    with pytest.raises(DatasetError, match="no video is left of the chosen methods, compressions and splits together"):
        read_dataset(tmp_path / "ff", methods=["FaceShifter"], compressions=["raw"], splits=["test"])


def test_metadata_json_comes_before_all_other_layouts(parts):
    make_ffpp(parts)
    make_csv(parts)
    assert read_dataset(parts).layout == "dfdc"


def test_two_layouts_are_ambiguous(tmp_path):
    make_ffpp(tmp_path)
    make_celeb_df(tmp_path)
    with pytest.raises(DatasetError, match=r"may be any of celeb-df \(.*\); ff\+\+ \(.*\)\. Choose one by its name"):
        read_dataset(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open all folders")
def test_a_folder_without_permission_is_noted(tmp_path):
    make_folders(tmp_path)
    closed = tmp_path / "test" / "1_fake" / "swap"
    closed.chmod(0)
    try:
        data = read_dataset(tmp_path)
    finally:
        closed.chmod(0o700)
    assert data.notes == (f"1 folders may not be opened, {closed} is one",) and len(data.videos) == 5


def test_an_unknown_tree_lists_all_layouts(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DatasetError) as error:
        read_dataset(tmp_path)
    assert all(f"{layout.name}: {layout.looks_for}" in str(error.value) for layout in LAYOUTS.values())
    assert "\n" not in str(error.value)


def test_a_data_set_one_folder_further_down_is_pointed_to(parts, tmp_path):
    deeper = tmp_path / "a" / "set"
    deeper.mkdir(parents=True)
    (parts / "dfdc_train_part_3").rename(deeper / "dfdc_train_part_3")
    with pytest.raises(DatasetError, match=rf"but {deeper} is one"):
        read_dataset(tmp_path / "a")
