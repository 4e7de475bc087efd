"""DF40: groups by the videos that it is made of, methods with reals of their own."""

from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import CROPS
from tests.data.dataset_trees import make_df40, touch, write_all


def test_fakes_of_one_pair_are_one_group_over_methods(tmp_path):
    make_df40(tmp_path)
    data = read_dataset(tmp_path)
    groups = {name: video.group for name, video in data.videos.items()}
    assert groups["simswap_ff_000_003"] == groups["blendface_ff_000_003"] == groups["blendface_ff_003_000"]
    assert groups["simswap_cdf_id0_id1_0000"] == "cdf_id0"
    assert groups["heygen_fake_a"] == groups["heygen_real_a"]
    assert {video.content for video in data.videos.values()} == {CROPS} and not data.notes


def test_a_method_with_reals_of_its_own_keeps_them_alone(tmp_path):
    make_df40(tmp_path)
    assert set(read_dataset(tmp_path, methods=["heygen"]).videos) == {"heygen_fake_a", "heygen_real_a"}


def test_without_reals_it_says_where_they_are(tmp_path):
    write_all(tmp_path, touch, 1, "simswap/ff/000_003/0.png")
    assert "those of DF40 are" in read_dataset(tmp_path).notes[0]
