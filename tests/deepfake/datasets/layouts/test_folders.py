"""Folders called real and fake: their words, pictures, methods, splits, groups."""

import pytest

from deepfake.datasets.layouts.folders import label_of
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import CROPS, FRAMES, VIDEO, DatasetError
from tests.data.dataset_trees import touch, write_all


@pytest.mark.parametrize(
    ("name", "says"),
    [("real", (0, None)), ("FAKE", (1, None)), ("0_real", (0, None)), ("1_fake", (1, None)), ("original", (0, None)),
     ("manipulated", (1, None)), ("Fake-Videos", (1, None)), ("training_fake", (1, "train")),
     ("real_test", (0, "test")), ("Validation", (None, "val")),
     ("real_and_fake", (None, None)), ("real_fake", (None, None)), ("0", (None, None)),
     ("unreal", (None, None)), ("train_test", (None, None)), ("", (None, None))],
)  # fmt: skip
def test_what_a_name_says(name, says):
    assert label_of(name) == says


@pytest.mark.parametrize(
    ("real", "fake"),
    [("real", "fake"), ("REAL", "FAKE"), ("0_real", "1_fake"), ("original", "manipulated"), ("data/real", "data/fake"),
     ("real/videos", "fake/videos"), ("videos/real", "videos/fake"), ("a/b/c/real", "a/b/c/fake")],
)  # fmt: skip
def test_the_same_set_under_other_words(tmp_path, real, fake):
    touch(tmp_path / real / "a.mp4", 0)
    touch(tmp_path / fake / "a.mp4", 1)
    data = read_dataset(tmp_path)
    assert [(v.path.parent, v.label, v.method, v.split) for v in data.videos.values()] == [
        (path, label, None, None) for path, label in sorted([(tmp_path / real, 0), (tmp_path / fake, 1)])
    ]
    assert data.layout == "folders" and str(real.split("/videos")[0]) in data.because


def test_one_name_is_one_group_over_methods_and_splits(tmp_path):
    write_all(tmp_path, touch, 0, "real/train/000.mp4 real/test/001.mp4")
    write_all(tmp_path, touch, 1, "fake/Swap/train/000.mp4 fake/Puppet/train/000.mp4 fake/Swap/test/001.mp4")
    data = read_dataset(tmp_path)
    assert {v.video_id: (v.group, v.method, v.split) for v in data.videos.values()} == {
        "fake_Puppet_train_000": ("000", "Puppet", "train"),
        "fake_Swap_train_000": ("000", "Swap", "train"),
        "fake_Swap_test_001": ("001", "Swap", "test"),
        "real_train_000": ("000", None, "train"),
        "real_test_001": ("001", None, "test"),
    }


def test_a_method_with_reals_of_its_own(tmp_path):
    """As sets of generated pictures have it: GENERATOR/0_real, GENERATOR/1_fake."""
    write_all(tmp_path, touch, 0, "sets/progan/cat/0_real/1.png sets/stylegan/0_real/1.png")
    write_all(tmp_path, touch, 1, "sets/progan/cat/1_fake/1.png sets/stylegan/1_fake/1.png")
    data = read_dataset(tmp_path)
    assert {v.video_id: (v.group, v.method, v.source) for v in data.videos.values()} == {
        "sets_progan_cat_0_real_1": ("progan/cat/1", None, "progan"),
        "sets_progan_cat_1_fake_1": ("progan/cat/1", "progan", "progan"),
        "sets_stylegan_0_real_1": ("stylegan/1", None, "stylegan"),
        "sets_stylegan_1_fake_1": ("stylegan/1", "stylegan", "stylegan"),
    }
    assert [v.source for v in data.select(methods=["progan"]).originals] == ["progan"]


def test_pictures_are_items_and_folders_of_them_videos(tmp_path):
    write_all(tmp_path, touch, 0, "real/one.jpg real/clip.v1/000.png real/clip.v1/001.png")
    write_all(tmp_path, touch, 1, "fake/Swap/seq/000.png fake/b.mp4")
    data = read_dataset(tmp_path)
    assert {v.video_id: (v.content, v.path.name, v.method) for v in data.videos.values()} == {
        "real_one": (FRAMES, "one.jpg", None),
        "real_clip.v1": (FRAMES, "clip.v1", None),
        "fake_Swap_seq": (FRAMES, "seq", "Swap"),
        "fake_b": (VIDEO, "b.mp4", None),
    }
    crops = read_dataset(tmp_path, pictures=CROPS).videos
    assert {name: video.content for name, video in crops.items() if video.content != CROPS} == {"fake_b": VIDEO}


def test_ids_that_would_be_one_get_a_checksum_each(tmp_path):
    write_all(tmp_path, touch, 0, "real/a/b_c.mp4 real/a_b/c.mp4 real/d.mp4 real/d.avi")
    write_all(tmp_path, touch, 1, "fake/d.mp4")
    ids = set(read_dataset(tmp_path).videos)
    assert len(ids) == 5 and "fake_d" in ids
    assert sorted(name.split("~")[0] for name in ids) == ["fake_d", "real_a_b_c", "real_a_b_c", "real_d", "real_d"]
    touch(tmp_path / "real" / "e.mp4", 0)
    assert ids < set(read_dataset(tmp_path).videos)


def test_names_that_no_output_can_have_are_set_aside(tmp_path):
    write_all(tmp_path, touch, 0, "real/a.mp4")
    touch(tmp_path / "fake" / "b\n.mp4", 1)
    touch(tmp_path / "fake" / "b.mp4", 1)
    data = read_dataset(tmp_path)
    assert set(data.videos) == {"real_a", "fake_b"}
    ((path, reason),) = data.rejected.items()
    assert path == str(tmp_path / "fake" / "b\n.mp4") and "not a plain file name" in reason


def test_one_label_alone_is_no_data_set(tmp_path):
    touch(tmp_path / "real" / "a.mp4", 0)
    with pytest.raises(DatasetError, match="folders called real and fake"):
        read_dataset(tmp_path)
    assert set(read_dataset(tmp_path, "folders").videos) == {"real_a"}
    with pytest.raises(DatasetError, match="no folders called real and fake"):
        read_dataset(tmp_path / "real", "folders")
