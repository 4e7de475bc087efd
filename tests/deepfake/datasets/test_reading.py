"""Layouts: recognized, chosen by name, and what is said where neither works."""

import json

import pytest

from deepfake.datasets.layout_registry import LAYOUTS
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import DatasetError
from deepfake.storage.registry import UnknownName

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
