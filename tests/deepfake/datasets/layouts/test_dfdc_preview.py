"""The preview of DFDC: actors as groups, copies with other folders, dataset.json that cannot be."""

import shutil

import pytest

from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import DatasetError
from tests.data.dataset_trees import make_dfdc_preview


@pytest.fixture
def root(tmp_path):
    make_dfdc_preview(tmp_path)
    return tmp_path


def test_an_actor_is_a_group_and_the_list_decides(root):
    data = read_dataset(root)
    assert {video.group for video in data.videos.values()} == {"643103"}
    assert data.missing == {"method_A/643103/643103_A/x_009.mp4": str(root / "dataset.json")}
    assert data.notes == ("1 videos that dataset.json does not name are left out",)


def test_copies_have_the_same_ids_and_groups(root):
    before = read_dataset(root)
    for method in ("original_videos", "method_A", "method_B"):
        (root / method / "videos").mkdir()
        for video in list((root / method).rglob("*.mp4")):
            video.rename(root / method / "videos" / video.name)
        for folder in (root / method).iterdir():
            if folder.name != "videos":
                shutil.rmtree(folder)
    after = read_dataset(root)
    assert {n: v.group for n, v in after.videos.items()} == {n: v.group for n, v in before.videos.items()}
    assert all(video.path.parent.name == "videos" for video in after.videos.values())


@pytest.mark.parametrize(
    ("content", "message"),
    [("[]", "expected a mapping"), ("{", "not JSON"), ('{"a": 1}', "expected"),
     ('{"method_A/643103/643103_A/x_001.mp4": {"label": "x"}}', "has label 'x'")],
)  # fmt: skip
def test_lists_that_cannot_be(root, content, message):
    (root / "dataset.json").write_text(content)
    with pytest.raises(DatasetError, match=rf"dataset\.json: .*{message}"):
        read_dataset(root)
