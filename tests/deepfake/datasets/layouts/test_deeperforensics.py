"""DeeperForensics: reals from FaceForensics++, never its own source_videos."""

import shutil

import pytest

from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import DatasetError
from tests.data.dataset_trees import make_deeperforensics


def test_without_faceforensics_there_are_fakes_alone(tmp_path):
    make_deeperforensics(tmp_path)
    with_reals = read_dataset(tmp_path)
    shutil.rmtree(tmp_path / "original_sequences")
    data = read_dataset(tmp_path)
    assert not data.originals and len(data.unpaired) == 3 and "the reals of this set are" in data.notes[0]
    assert {v.group for v in data.fakes} == {"youtube_000", "youtube_001"}
    assert all(v.group == with_reals.videos[n].group for n, v in data.videos.items())


def test_what_the_lists_name_and_is_not_there_is_missing_by_variant(tmp_path):
    make_deeperforensics(tmp_path)
    lists = tmp_path / "lists" / "splits"
    assert read_dataset(tmp_path).missing == {
        "manipulated_videos/reenact_postprocess/001_M102.mp4": str(lists / "train.txt")
    }


def test_by_name_it_must_be_there(tmp_path):
    with pytest.raises(DatasetError, match="no manipulated_videos/ in it"):
        read_dataset(tmp_path, "deeperforensics")
