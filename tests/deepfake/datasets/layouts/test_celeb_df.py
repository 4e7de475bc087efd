"""Celeb-DF: the list whose 1 is real, copies with other folders, groups by person."""

import pytest

from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import FRAMES, DatasetError
from tests.data.dataset_trees import make_celeb_df, make_celeb_df_pp, touch, write_all


def test_the_numbers_of_the_list_change_no_label(tmp_path):
    """A copy that has turned them round says the same."""
    make_celeb_df(tmp_path)
    data = read_dataset(tmp_path)
    file = tmp_path / "List_of_testing_videos.txt"
    turned = [f"{1 - int(line[0])}{line[1:]}" for line in file.read_text().splitlines()]
    file.write_text("\n".join(turned))
    assert read_dataset(tmp_path).videos == data.videos
    assert data.videos["YouTube-real_00170"].label == 0 and data.videos["YouTube-real_00170"].split == "test"


def test_official_tree_and_copy_have_the_same_ids(tmp_path):
    make_celeb_df(tmp_path / "copy")
    write_all(tmp_path / "official", touch, 0, "Celeb-real/id0_0000.mp4 Celeb-real/id0_0001.mp4")
    write_all(tmp_path / "official", touch, 0, "YouTube-real/00170.mp4 YouTube-real/00171.mp4")
    write_all(tmp_path / "official", touch, 1, "Celeb-synthesis/id0_id1_0000.mp4 Celeb-synthesis/id1_id0_0003.mp4")
    assert set(read_dataset(tmp_path / "official").videos) == set(read_dataset(tmp_path / "copy").videos)


def test_a_person_is_a_group_and_an_original_may_lack(tmp_path):
    make_celeb_df(tmp_path)
    data = read_dataset(tmp_path)
    assert {name: video.group for name, video in data.videos.items()} == {
        "Celeb-real_id0_0000": "id0",
        "Celeb-real_id0_0001": "id0",
        "Celeb-synthesis_id0_id1_0000": "id0",
        "Celeb-synthesis_id1_id0_0003": "id1",
        "YouTube-real_00170": "YouTube-real_00170",
        "YouTube-real_00171": "YouTube-real_00171",
    }
    assert data.unpaired == {"Celeb-synthesis_id1_id0_0003": "Celeb-real_id1_0003"}
    assert data.missing == {"Celeb-real/id9_0000.mp4": str(tmp_path / "List_of_testing_videos.txt")}


def test_without_the_list_there_is_no_split(tmp_path):
    make_celeb_df_pp(tmp_path)
    (tmp_path / "List_of_testing_videos.txt").unlink()
    data = read_dataset(tmp_path)
    assert data.splits == [] and "no List_of_testing_videos.txt" in data.notes[0]
    assert set(data.select(methods=["roop"]).videos) == {
        "Celeb-real_id0_0000", "YouTube-real_00170", "Roop_id0_id1_0000"
    }  # fmt: skip


@pytest.mark.parametrize("line", ["2 Celeb-real/a.mp4", "Celeb-real/a.mp4", "1 a.mp4", "1"])
def test_a_list_that_is_none(tmp_path, line):
    make_celeb_df(tmp_path)
    (tmp_path / "List_of_testing_videos.txt").write_text(f"\n{line}\n")
    with pytest.raises(DatasetError, match=rf"List_of_testing_videos\.txt: line 2: .*{line}.*expected `1 YouTube-real"):
        read_dataset(tmp_path)


def test_frames_in_place_of_videos(tmp_path):
    write_all(tmp_path, touch, 0, "Celeb-real/frames/id0_0000/0.png YouTube-real/frames/00170/0.png")
    write_all(tmp_path, touch, 1, "Celeb-synthesis/frames/id0_id1_0000/0.png")
    data = read_dataset(tmp_path)
    assert {name: video.content for name, video in data.videos.items()} == dict.fromkeys(
        ["Celeb-real_id0_0000", "YouTube-real_00170", "Celeb-synthesis_id0_id1_0000"], FRAMES
    )
