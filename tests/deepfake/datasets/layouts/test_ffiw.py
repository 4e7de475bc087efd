"""FFIW-10K: masks, copies with videos/ in between, and other sets with source and target."""

import pytest

from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import DatasetError
from tests.data.dataset_trees import make_ffiw, touch, write_all


def test_masks_are_found_by_split_and_name(tmp_path):
    make_ffiw(tmp_path)
    masks = {name: video.mask for name, video in read_dataset(tmp_path).videos.items() if video.mask}
    assert masks == {"target_train_0001": tmp_path / "target_mask" / "train" / "0001.mp4"}


def test_a_copy_with_videos_in_between_has_the_same_ids(tmp_path):
    make_ffiw(tmp_path / "official")
    write_all(tmp_path / "copy", touch, 0, "source/train/videos/0001.mp4 source/val/videos/0001.mp4")
    write_all(tmp_path / "copy", touch, 1, "target/train/videos/0001.mp4 target/val/videos/0001.mp4")
    assert set(read_dataset(tmp_path / "copy").videos) == set(read_dataset(tmp_path / "official").videos)


def test_source_and_target_without_splits_are_another_set(tmp_path):
    write_all(tmp_path, touch, 0, "source/a.mp4 target/a.mp4")
    with pytest.raises(DatasetError, match="nor anything else"):
        read_dataset(tmp_path)
