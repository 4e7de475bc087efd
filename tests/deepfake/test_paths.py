"""Names under DATA_ROOT: each is read back as it was written, and none leaves its folder."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake.paths import (
    CROP_SUFFIXES,
    VIDEO_SUFFIXES,
    DataRoot,
    crop_name,
    diff_name,
    find_videos,
    is_plain_name,
    landmark_name,
    list_crops,
    parse_crop_name,
)

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


def test_videos_are_found_recursively_once_and_in_order(tmp_path):
    (tmp_path / "sub folder").mkdir()
    names = ["b.MP4", "a.webm", "sub folder/ü.mov", ".partial-x.mp4", "c.txt", "d.mkv", "e.avi"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    first = tmp_path / "d.mkv"
    found = [str(p.relative_to(tmp_path)) for p in find_videos([first, tmp_path, tmp_path / "a.webm"])]
    assert found[0] == "d.mkv"
    assert found[1:] == ["a.webm", "b.MP4", "e.avi", "sub folder/ü.mov"]
    assert {Path(p).suffix.lower() for p in found} == set(VIDEO_SUFFIXES)


def test_links_to_folders_are_searched_and_none_twice(tmp_path):
    real, root = tmp_path / "real", tmp_path / "root"
    for folder in (real / "deep", root):
        folder.mkdir(parents=True)
    for path in (real / "deep" / "a.mp4", root / "b.mp4"):
        path.touch()
    for name, target in (("1", real), ("2", real), ("3", real / "deep"), ("4", root), ("5", tmp_path / "gone")):
        (root / name).symlink_to(target)
    (real / "deep" / "up").symlink_to(real)
    assert find_videos([root]) == [root / "3" / "a.mp4", root / "b.mp4"]


def test_a_folder_below_may_be_left_out(tmp_path):
    for name in ("a.mp4", "out/b.mp4", "out/in/c.mp4", "other/out/d.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = ["a.mp4", "other/out/d.mp4"]
    assert find_videos([tmp_path], skip=tmp_path / "other" / ".." / "out") == [tmp_path / name for name in names]
    assert len(find_videos([tmp_path], skip=tmp_path)) == 4
    assert len(find_videos([tmp_path], skip=tmp_path / "not there yet")) == 4


def test_a_file_named_by_the_user_is_taken_whatever_its_suffix(tmp_path):
    (tmp_path / "clip.m4v").touch()
    assert find_videos([tmp_path / "clip.m4v"]) == [tmp_path / "clip.m4v"]


def test_an_empty_folder_has_no_videos(tmp_path):
    assert find_videos([tmp_path]) == []


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere: no such file"):
        find_videos([tmp_path, tmp_path / "nowhere"])
