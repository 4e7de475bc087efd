"""Names under DATA_ROOT: each is read back as it was written, and none leaves its folder."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake.datasets.data_root import (
    CROP_SUFFIXES,
    DataRoot,
    crop_name,
    diff_name,
    landmark_name,
    list_crops,
    parse_crop_name,
)
from deepfake.storage.names import is_plain_name

INDEX = st.integers(0, 10**6)


@given(INDEX, INDEX, st.sampled_from(CROP_SUFFIXES))
def test_crop_names_are_read_back(frame, face, suffix):
    assert parse_crop_name(crop_name(frame, face, suffix)) == (frame, face)


@given(INDEX, INDEX)
def test_landmarks_and_diffs_are_not_crops(frame, face):
    assert parse_crop_name(landmark_name(frame, face)) is None
    assert parse_crop_name(diff_name(frame, face)) is None


@pytest.mark.parametrize("name", ["", "0.png", "0_.png", "_0.png", "0_0", "0_0.gif", "0_0_0.png", "-1_0.png",
                                  "0_0.png.tmp", ".partial-0_0.png", "a_0.png", " 0_0.png", "٣_٤.png",
                                  "../0_0.png", "/0_0.png", "./0_0.png", "0_0.png/"])  # fmt: skip
def test_other_names_are_not_crops(name):
    assert parse_crop_name(name) is None


def test_the_published_names():
    assert (crop_name(10, 1), landmark_name(10, 1), diff_name(10, 1)) == ("10_1.png", "10_1.npy", "10_1_diff.png")


def test_crops_are_listed_by_frame_then_face(tmp_path):
    for name in ("100_0.png", "20_1.png", "20_0.png", "3_0.webp", "3_0_diff.png", "notes.txt", ".partial-1_0.png"):
        (tmp_path / name).touch()
    assert [p.name for p in list_crops(tmp_path)] == ["3_0.webp", "20_0.png", "20_1.png", "100_0.png"]


def test_layout(tmp_path):
    layout = DataRoot(tmp_path, "crops_webp")
    assert layout.boxes_file("a b.c") == tmp_path / "boxes" / "a b.c.json"
    assert layout.crops == tmp_path / "crops_webp"
    assert layout.landmarks == tmp_path / "landmarks"
    assert layout.diffs == tmp_path / "diffs"
    assert layout.failures_file("extract_crops").parent.parent == tmp_path


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/tmp/crops", "../crops", "a\\b", "crops/"])
def test_the_crops_folder_stays_below_the_root(tmp_path, name):
    with pytest.raises(ValueError, match="crops folder"):
        DataRoot(tmp_path, name)


@given(st.text(max_size=12))
def test_a_plain_name_stays_in_its_folder(name):
    if is_plain_name(name):
        assert (Path("/folder") / name).parent == Path("/folder")
        assert Path(name).name == name and "\0" not in name


@pytest.mark.parametrize("name", ["a.mp4", "gesicht größe.mp4", "人.webm", "a..b.mp4", "~x.mp4", "-rf.mp4", "a:b.mp4"])
def test_unusual_names_are_plain(name):
    assert is_plain_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden.mp4", "a/b.mp4", "/a.mp4", "..\\a.mp4", "a\0.mp4", "a\n.mp4", "\ud800.mp4"]
)
def test_names_that_leave_the_folder_are_not_plain(name):
    assert not is_plain_name(name)
