"""Videos and pictures in folders: what is taken, and what is said of the rest."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from deepfake.media.files import PICTURE_SUFFIXES, VIDEO_SUFFIXES, find_videos, name_videos
from deepfake.media.images import write_image


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_videos_are_found_recursively_once_and_in_order(tmp_path):
    (tmp_path / "sub folder").mkdir()
    names = ["b.MP4", "a.webm", "sub folder/ü.mov", ".partial-x.mp4", "c.txt", "d.mkv", "e.avi"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    first = tmp_path / "d.mkv"
    found = [str(p.relative_to(tmp_path)) for p in find_videos([first, tmp_path, tmp_path / "a.webm"]).videos]
    assert found[0] == "d.mkv"
    assert found[1:] == ["a.webm", "b.MP4", "e.avi", "sub folder/ü.mov"]


def test_links_to_folders_are_searched_and_none_twice(tmp_path):
    real, root = tmp_path / "real", tmp_path / "root"
    for folder in (real / "deep", root):
        folder.mkdir(parents=True)
    for path in (real / "deep" / "a.mp4", root / "b.mp4"):
        path.touch()
    for name, target in (("1", real), ("2", real), ("3", real / "deep"), ("4", root), ("5", tmp_path / "gone")):
        (root / name).symlink_to(target)
    (real / "deep" / "up").symlink_to(real)
    assert find_videos([root]).videos == [root / "3" / "a.mp4", root / "b.mp4"]


def test_a_folder_below_may_be_left_out(tmp_path):
    for name in ("a.mp4", "out/b.mp4", "out/in/c.mp4", "other/out/d.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = ["a.mp4", "other/out/d.mp4"]
    assert find_videos([tmp_path], skip=tmp_path / "other" / ".." / "out").videos == [tmp_path / name for name in names]
    assert len(find_videos([tmp_path], skip=tmp_path).videos) == 4
    assert len(find_videos([tmp_path], skip=tmp_path / "not there yet").videos) == 4


def test_a_file_named_by_the_user_is_taken_whatever_its_suffix(tmp_path):
    (tmp_path / "clip.m4v").touch()
    assert find_videos([tmp_path / "clip.m4v"]).videos == [tmp_path / "clip.m4v"]


def test_an_empty_folder_has_no_videos(tmp_path):
    assert find_videos([tmp_path]).videos == []


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere: no such file"):
        find_videos([tmp_path, tmp_path / "nowhere"])


def test_every_suffix_that_the_reader_reads(tmp_path):
    names = [f"a{suffix.upper() if number % 2 else suffix}" for number, suffix in enumerate(VIDEO_SUFFIXES)]
    pictures = [f"b{suffix}" for suffix in PICTURE_SUFFIXES]
    touch(tmp_path, *names, *pictures)
    for name in names:
        if name.lower() in ("a.ts", "a.mts"):
            (tmp_path / name).write_bytes((b"G" + bytes(187)) * 20)
    found = find_videos([tmp_path])
    assert {path.name for path in found.videos} == {*names, *pictures}
    assert found.left_out.summary() == ""
    assert {path.name for path in find_videos([tmp_path], pictures=False).videos} == set(names)
    assert find_videos([tmp_path], pictures=False).left_out.summary() == f"left out: {len(pictures)} pictures"


def test_the_content_decides_where_the_name_does_not(tmp_path, numbered_clip):
    touch(tmp_path, "README", "b/script.ts")
    numbered_clip(tmp_path / "clip.mp4", 2).rename(tmp_path / "clip")
    write_image(tmp_path / "x.png", np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "x.png").rename(tmp_path / "picture")
    (tmp_path / "empty").touch()
    found = find_videos([tmp_path])
    assert [path.name for path in found.videos] == ["clip", "picture"]
    assert found.left_out.summary() == "left out: 3 files with other suffixes (none, .ts)"


def test_what_is_left_out_is_reported_in_one_line(tmp_path):
    touch(tmp_path, "a.mp4", "b.txt", "c.docx", "d.txt", ".hidden.mp4", ".git/e.mp4", "metadata.json", "sub/f.TXT")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    found = find_videos([tmp_path])
    assert found.videos == [tmp_path / "a.mp4"]
    assert found.left_out.summary() == (
        "left out: 4 files with other suffixes (.txt, .docx), 2 hidden files or folders, 2 dangling links, "
        "1 pipe or device"
    )
    touch(tmp_path, *(f"x.{number}" for number in range(10)))
    assert ", ...)" in find_videos([tmp_path]).left_out.summary()


def test_suffixes_of_others_harm_no_terminal(tmp_path):
    touch(tmp_path, "a.\x1b[31mred\nline", "b." + "x" * 200)
    summary = find_videos([tmp_path]).left_out.summary()
    assert "\x1b" not in summary and "\n" not in summary and len(summary) < 100


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="no users here")
def test_folders_without_permission_are_reported():
    with tempfile.TemporaryDirectory() as name:
        root, closed = Path(name), Path(name) / "closed"
        touch(root, "a.mp4", "closed/b.mp4")
        root.chmod(0o755)
        closed.chmod(0)
        user = os.geteuid()
        try:
            if user == 0:  # may open everything
                os.seteuid(65534)
            found = find_videos([root])
        finally:
            os.seteuid(user)
            closed.chmod(0o755)
    assert found.videos == [root / "a.mp4"]
    assert found.left_out.summary() == "left out: 1 folder without permission"


def test_pictures_that_the_project_made_are_left_out(tmp_path):
    """Of a data set's folder its videos are taken, and not its hundred thousand crops."""
    touch(tmp_path, "set/dfdc_train_part_0/a.mp4", "set/boxes/a.json", "set/runs/x.jsonl", "set/crops/a/0_0.png")
    touch(tmp_path, "faces/recipe.json", "faces/a/000.png", "maps/a/maps.json", "maps/a/0_0.png", "mine/1.jpg")
    found = find_videos([tmp_path])
    assert [path.name for path in found.videos] == ["a.mp4", "1.jpg"][::-1]
    assert found.left_out.own == 3
    assert "3 pictures made by this project" in found.left_out.summary()
    assert find_videos([tmp_path / "set" / "crops"]).videos, "named itself"


def test_videos_are_called_by_their_file_names(tmp_path):
    touch(tmp_path, "b.mp4", "sub/a.MOV", "sub/deep/c.webm", "notes.txt", ".hidden.mp4")
    assert list(name_videos(find_videos([tmp_path]))) == ["b.mp4", "a.MOV", "c.webm"]


def test_shared_names_are_reported_apart_by_their_folders(tmp_path):
    touch(tmp_path, "x.mp4", "sub/x.mp4", "y.mp4")
    named = name_videos(find_videos([tmp_path]))
    assert named == {
        "sub/x.mp4": tmp_path / "sub" / "x.mp4",
        "x.mp4": tmp_path / "x.mp4",
        "y.mp4": tmp_path / "y.mp4",
    }


def test_names_shared_by_two_given_folders_become_paths(tmp_path):
    touch(tmp_path, "one/x.mp4", "two/x.mp4", "two/y.mp4")
    named = name_videos(find_videos([tmp_path / "one", tmp_path / "two"]))
    assert list(named) == [str(tmp_path / "one" / "x.mp4"), str(tmp_path / "two" / "x.mp4"), "y.mp4"]


def test_a_video_named_twice_is_one(tmp_path, monkeypatch):
    touch(tmp_path, "x.mp4")
    monkeypatch.chdir(tmp_path)
    assert list(name_videos(find_videos([tmp_path, Path("x.mp4"), tmp_path / "x.mp4"]))) == ["x.mp4"]
