"""The names in a folder: in any case, hidden and own ones left out, links that lead upwards not followed."""

import pytest

from deepfake.datasets.tree import Folder


@pytest.fixture
def root(tmp_path):
    for name in ("b.MP4", "a.mp4", ".hidden.mp4", "p.Jpg", "list.txt", "Sub/videos/c.mp4", ".git/d.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_names_by_kind_and_in_any_case(root):
    folder = Folder(root)
    assert folder.files == ["a.mp4", "b.MP4", "list.txt", "p.Jpg"]
    assert folder.videos == ["a.mp4", "b.MP4"] and folder.pictures == ["p.Jpg"]
    assert folder.file("LIST.txt") == root / "list.txt" and folder.file("lists.txt") is None
    assert folder.folder("sub", "VIDEOS").parts == ("Sub", "videos") and folder.folder("sub", "x", "y") is None
    assert folder.folder("sub").unwrapped().videos == ["c.mp4"] and folder.unwrapped() is folder
    assert [found.parts for found in folder.walk()] == [(), ("Sub",), ("Sub", "videos")]
    assert [found.parts for found in folder.walk(1)] == [(), ("Sub",)]


def test_one_file_in_place_of_a_folder(root):
    folder = Folder(root, only="list.txt")
    assert folder.files == ["list.txt"] and not folder.folders


def test_links_to_a_folder_above_end(root):
    (root / "Sub" / "up").symlink_to(root)
    (root / "twice").symlink_to(root / "Sub")
    (root / "Sub" / "videos" / "again").symlink_to(root / "twice")
    names = {"/".join(folder.parts) for folder in Folder(root).walk()}
    assert names == {"", "Sub", "Sub/videos", "twice", "twice/videos"}


def test_what_this_project_has_made_is_no_part_of_a_data_set(root):
    for name in ("crops", "boxes", "images"):
        (root / name).mkdir()
    assert {"boxes", "images"} < set(Folder(root).folders)
    (root / "runs").mkdir()
    assert set(Folder(root).folders) == {"Sub"}
    (root / "Sub" / "recipe.json").touch()
    assert Folder(root / "Sub").files == [] and Folder(root / "Sub").folders == {}
