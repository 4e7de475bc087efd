"""What holds for all layouts: recognized, labels right, ids plain and unique, originals and fakes in one group."""

import os
import re

import pytest

from deepfake.datasets.layout_registry import LAYOUTS
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import CONTENTS, id_fault
from tests.data.dataset_trees import TREES, ExampleTree, touch


@pytest.fixture(params=TREES, ids=lambda tree: tree.layout)
def tree(request) -> ExampleTree:
    return request.param


@pytest.fixture
def dataset(tree, tmp_path):
    tree.make(tmp_path / "set", touch)
    return read_dataset(tmp_path / "set")


def test_each_has_a_tree():
    assert {tree.layout for tree in TREES} == set(LAYOUTS)


def test_it_is_recognized(tree, dataset):
    assert dataset.layout == tree.layout and dataset.because


def test_labels_originals_splits_and_methods_are_right(tree, dataset):
    videos = dataset.videos.items()
    assert {name: video.label for name, video in videos} == tree.labels
    assert {name: video.original for name, video in videos if video.original} == tree.originals
    assert {name: video.split for name, video in videos if video.split} == tree.splits
    assert {name: video.method for name, video in videos if video.method} == tree.methods


def test_ids_can_be_file_names_and_paths_are_there(dataset):
    for name, video in dataset.videos.items():
        assert video.video_id == name and id_fault(name, name) is None
        assert video.path.exists() and video.content in CONTENTS
        assert video.path.is_dir() == (video.content != "video") or video.path.suffix in (".png", ".jpg")
        assert video.mask is None or video.mask.exists()


def test_originals_and_their_fakes_are_one_group_and_reals_have_no_method(dataset):
    assert all(original.group == fake.group for original, fake in dataset.pairs)
    assert all(video.group for video in dataset.videos.values())
    assert all(video.method is None and video.original is None for video in dataset.originals)
    assert dataset.orphans == []


def test_a_choice_changes_no_id(tree, dataset):
    for method in dataset.methods:
        chosen = dataset.select(methods=[method])
        assert chosen.videos.items() <= dataset.videos.items() and chosen.methods == [method]
        assert {video.video_id for video in chosen.fakes} == {k for k, v in tree.methods.items() if v == method}
        assert chosen.originals


def test_the_order_does_not_depend_on_the_disk(tree, dataset, tmp_path, monkeypatch):
    scandir = os.scandir

    class Backwards:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(os, "scandir", Backwards)
    assert list(read_dataset(tmp_path / "set").videos.items()) == list(dataset.videos.items())


def test_the_readme_s_table_has_them_all(project_root):
    section = (project_root / "README.md").read_text(encoding="utf-8").split("## Data sets")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)) == sorted(LAYOUTS)


def test_names_and_descriptions_are_what_messages_can_show():
    assert all(layout.name == name and name == name.lower() for name, layout in LAYOUTS.items())
    assert all(layout.looks_for and "\n" not in layout.looks_for for layout in LAYOUTS.values())
