"""preprocessing/describe_dataset.py: what data sets of each layout have, and what is wrong with them."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from deepfake.datasets.description import (
    COPY,
    EMPTY,
    MISSING,
    PART,
    REJECTED,
    SPLIT_GROUP,
    SPLIT_PAIR,
    UNPAIRED,
    UNREADABLE,
    Description,
    describe,
)
from deepfake.datasets.reading import read_dataset
from tests.data.dataset_trees import TREES, ExampleTree, make_celeb_df, make_dfdc, make_ffpp, make_folders

HEADER = "path,label,original,group,split\n"


def write(path: Path, label: int) -> None:
    """Write a file of its own content and size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(path))


def described(root: Path) -> Description:
    return describe(root, read_dataset(root))


def names(description: Description, kind: str) -> list[str]:
    return [finding.name for finding in description.findings if finding.kind == kind]


@pytest.fixture
def run(project_root):
    def run_command(*arguments: object) -> subprocess.CompletedProcess:
        line = [sys.executable, "preprocessing/describe_dataset.py", *map(str, arguments)]
        return subprocess.run(line, cwd=project_root, capture_output=True, text=True)

    return run_command


@pytest.mark.parametrize("tree", TREES, ids=[tree.make.__name__ for tree in TREES])
def test_each_layout_is_counted(tree: ExampleTree, tmp_path):
    tree.make(tmp_path, write)
    dataset = read_dataset(tmp_path)
    description = describe(tmp_path, dataset)
    counted = {(part.label, part.method, part.split): 0 for part in description.parts}
    for part in description.parts:
        counted[part.label, part.method, part.split] += part.videos
    expected = Counter(
        (("real", "fake")[label], tree.methods.get(video), tree.splits.get(video))
        for video, label in tree.labels.items()
    )
    assert counted == dict(expected)
    assert description.groups == len({video.group for video in dataset.videos.values()})
    assert names(description, MISSING) == list(dataset.missing)
    assert set(names(description, UNPAIRED)) == set(dataset.unpaired)
    assert names(description, COPY) == names(description, EMPTY) == names(description, UNREADABLE) == []


def test_parts_by_compression(tmp_path):
    make_ffpp(tmp_path, write)
    parts = {
        (part.method, part.compression, part.split): (part.videos, part.groups)
        for part in described(tmp_path).parts
        if part.label == "fake"
    }
    assert parts == {
        ("DeepFakeDetection", "c23", None): (1, 1),
        ("Deepfakes", "c23", "train"): (2, 1),
        ("Deepfakes", "raw", "train"): (1, 1),
        ("FaceShifter", "c23", "test"): (1, 1),
        ("FaceShifter", "c23", "train"): (1, 1),
    }


def test_leaks_between_splits(tmp_path):
    for name in "abcd":
        write(tmp_path / f"{name}.mp4", 0)
    rows = ["a.mp4,0,,one,train", "b.mp4,1,a.mp4,one,test", "c.mp4,0,,two,val", "d.mp4,0,,two,"]
    (tmp_path / "videos.csv").write_text(HEADER + "\n".join(rows))
    description = described(tmp_path)
    pairs, groups = (description.by_kind[kind] for kind in (SPLIT_PAIR, SPLIT_GROUP))
    assert [(pair.name, pair.detail) for pair in pairs] == [("b", "in test, its original a in train")]
    # A video without a split is in none.
    assert [(group.name, group.detail) for group in groups] == [("one", "1 in train, 1 in test")]


def test_people_in_two_splits_leak(tmp_path):
    """Celeb-DF's own list does that."""
    make_celeb_df(tmp_path, write)
    with (tmp_path / "List_of_testing_videos.txt").open("a") as file:
        file.write("1 Celeb-real/id0_0001.mp4\n")
    assert [group.detail for group in described(tmp_path).by_kind[SPLIT_GROUP]] == ["2 in train, 1 in test"]


def test_a_file_twice(tmp_path):
    make_folders(tmp_path, write)
    shutil.copy(tmp_path / "train/0_real/b.mp4", tmp_path / "test/1_fake/swap/c.mp4")
    copies = described(tmp_path).by_kind[COPY]
    assert [(copy.name, copy.detail) for copy in copies] == [
        (
            "train_0_real_b",
            "the same file as test_1_fake_swap_c; this one real, that one fake; this one in train, that one in test",
        )
    ]


def test_equal_sizes_alone_are_no_copy(tmp_path):
    for name, content in (("real/a.mp4", "123"), ("real/b.mp4", "124"), ("fake/a.mp4", "125")):
        write(tmp_path / name, 0)
        (tmp_path / name).write_text(content)
    assert described(tmp_path).findings == []


def test_only_files_of_equal_size_are_opened(tmp_path, monkeypatch):
    make_folders(tmp_path, write)
    shutil.copy(tmp_path / "train/0_real/b.mp4", tmp_path / "train/0_real/e.mp4")
    dataset = read_dataset(tmp_path)
    opened = []
    really_open = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *mode: opened.append(path.name) or really_open(path, *mode))
    describe(tmp_path, dataset)
    size = (tmp_path / "train/0_real/b.mp4").stat().st_size
    alike = [v.path.name for v in dataset.videos.values() if v.path.stat().st_size == size]
    assert opened == alike and len(alike) < len(dataset.videos)


def test_empty_and_vanished_files(tmp_path):
    """Empty files are no copies of each other."""
    make_folders(tmp_path)
    dataset = read_dataset(tmp_path)
    (tmp_path / "train/0_real/b.mp4").unlink()
    description = describe(tmp_path, dataset)
    assert names(description, UNREADABLE) == ["train_0_real_b"]
    assert len(names(description, EMPTY)) == 5 and names(description, COPY) == []
    assert description.count("real") == 2


def test_missing_and_unpaired_videos_of_dfdc(tmp_path):
    """Its records of missing videos count nowhere, and a fake without its original is reported."""
    make_dfdc(tmp_path, write)
    (tmp_path / "dfdc_train_part_0" / "aaa.mp4").unlink()
    metadata = tmp_path / "dfdc_train_part_1" / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"bbb.mp4": {"label"', '"../bbb.mp4": {"label"'))
    description = described(tmp_path)
    assert (description.count("real"), description.count("fake")) == (0, 2)
    missing = [(finding.name, finding.detail) for finding in description.by_kind[MISSING]]
    assert missing == [("dfdc_train_part_0/aaa.mp4", "named by dfdc_train_part_0/metadata.json")]
    assert names(description, REJECTED) == ["../bbb.mp4"]
    assert names(description, UNPAIRED) == ["bbb_x"]
    assert names(description, UNREADABLE) == []


def test_the_command_writes_text_table_and_page(run, tmp_path):
    root, table, page = tmp_path / "set <b>", tmp_path / "out" / "set.csv", tmp_path / "out" / "set.html"
    root.mkdir()
    table.parent.mkdir()
    for name in ("=a<i>", "b", "c"):
        write(root / f"{name}.mp4", 0)
    shutil.copy(root / "b.mp4", root / "d.mp4")
    rows = ["=a<i>.mp4,0,,,train", "b.mp4,1,=a<i>.mp4,,test", "c.mp4,0,,,val", "d.mp4,0,,,train", "e.mp4,0,,,train"]
    (root / "videos.csv").write_text(HEADER + "\n".join(rows))
    done = run(root, "--layout", "csv", "--csv", table, "--page", page)
    assert done.returncode == 0, done.stderr
    assert "layout csv" in done.stdout and "3 real and 1 fake videos in 3 groups" in done.stdout
    assert "real   -       -            train       2       2" in done.stdout
    for line in (
        "The same file several times: 1",
        "  d: the same file as b; this one real, that one fake; this one in",
    ):
        assert line in done.stdout
    written = pd.read_csv(table, keep_default_na=False)
    assert written["kind"].tolist() == [*[PART] * 3, SPLIT_PAIR, SPLIT_GROUP, COPY, MISSING]
    assert written["videos"].tolist()[:3] == ["2", "1", "1"]
    html = page.read_text()
    assert "Originals and fakes of them in two splits: 1" in html and "e.mp4" in html
    assert "<i>" not in html and "set &lt;b&gt;" in html and "http" not in html.replace("http-equiv", "")


def test_a_part_of_a_data_set(run, tmp_path):
    make_ffpp(tmp_path, write)
    done = run(tmp_path, "--methods", "Deepfakes", "--compression", "c23", "--split", "train")
    assert "2 real and 2 fake videos in 1 groups" in done.stdout
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("fake ")] == ["Deepfakes"]


def test_nothing_wrong(run, tmp_path):
    make_folders(tmp_path, write)
    page = tmp_path / "page.html"
    done = run(tmp_path, "--page", page)
    assert "nothing is missing" in done.stdout
    assert "Nothing is missing" in page.read_text()


def test_no_data_set(run, tmp_path):
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
