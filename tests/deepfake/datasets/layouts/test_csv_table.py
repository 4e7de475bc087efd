"""Tables of videos: paths, originals, columns that may lack, and tables that are none."""

import pytest

from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import FRAMES, VIDEO, DatasetError
from deepfake.storage.tables import TableError
from tests.data.dataset_trees import make_csv, touch, write_all


@pytest.fixture
def table(tmp_path):
    """`table(text)` writes a table beside a few videos and returns its path."""
    write_all(tmp_path / "set", touch, 0, "a.mp4 sub/a.mp4 pictures/1.png one.jpg")

    def write(text: str, name: str = "set/videos.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_what_the_table_names_and_is_not_there_is_missing(tmp_path):
    make_csv(tmp_path)
    data = read_dataset(tmp_path)
    assert data.missing == {"more/gone.mp4": str(tmp_path / "videos.csv")}
    assert data.because == "columns of names and labels in videos.csv"


def test_the_table_itself_is_a_data_set(tmp_path):
    make_csv(tmp_path)
    assert read_dataset(tmp_path / "videos.csv").videos == read_dataset(tmp_path).videos


def test_absolute_paths_pictures_and_folders_of_them(table, tmp_path):
    touch(tmp_path / "elsewhere" / "b.mp4", 1)
    file = table(
        f"label;path\n0;a.mp4\n0;pictures\nREAL;one.jpg\n1;{tmp_path / 'elsewhere' / 'b.mp4'}\n1;../elsewhere\n"
    )
    videos = read_dataset(file).videos
    *_, first, second = videos
    assert [(v.label, v.content) for v in videos.values()] == [
        (0, VIDEO), (0, FRAMES), (0, FRAMES), (1, VIDEO), (1, FRAMES)
    ]  # fmt: skip
    assert list(videos)[:3] == ["a", "pictures", "one"]
    assert first.endswith("elsewhere_b") and second.endswith("elsewhere") and "/" not in first + second


@pytest.mark.parametrize("original", ["sub/b.mp4", "b.mp4", "b", "sub_b"])
def test_an_original_by_path_name_or_id(table, original):
    write_all(table("").parent, touch, 0, "sub/b.mp4 f.mp4")
    data = read_dataset(table(f"path,label,original\na.mp4,0,\nsub/b.mp4,0,{original}\nf.mp4,1,{original}\n"))
    assert [(video.video_id, video.original) for video in data.videos.values()] == [
        ("a", None), ("sub_b", None), ("f", "sub_b")
    ]  # fmt: skip


def test_an_original_that_two_videos_may_be_is_none(table):
    touch(table("").parent / "f.mp4", 1)
    data = read_dataset(table("path,label,original\nx/../a.mp4,0,\nsub/a.mp4,0,\nf.mp4,1,a.mp4\n"))
    assert data.videos["f"].original is None and data.unpaired == {"f": "a.mp4"}


def test_fakes_of_an_original_that_is_not_there_are_one_group(table):
    write_all(table("").parent, touch, 1, "f.mp4 g.mp4")
    data = read_dataset(table("path,label,original\nf.mp4,1,gone.mp4\ng.mp4,1,gone.mp4\n"))
    assert data.videos["f"].group == data.videos["g"].group and data.unpaired == {"f": "gone.mp4", "g": "gone.mp4"}


def test_all_columns(table):
    write_all(table("").parent, touch, 1, "f.mp4 g.mp4 masks/f.mp4")
    text = "Path,Is Fake,Method,Group,Split,Compression,Mask\nf.mp4,true,Swap,people 1 2,Validation,c23,masks/f.mp4\n"
    data = read_dataset(table(text + "g.mp4,true,Swap,,,,masks/g.mp4\n"))
    video, other = data.videos.values()
    assert other.mask is None and data.missing.keys() == {"masks/g.mp4"}
    assert (video.method, video.group, video.split, video.compression) == ("Swap", "people 1 2", "val", "c23")
    assert video.mask == video.path.parent / "masks" / "f.mp4"


@pytest.mark.parametrize("text", ["filename,label\na.mp4,0.5\n", "a,b\n1,2\n", "", "filename,score\na.mp4,0.2\n"])
def test_a_table_of_something_else_is_not_recognized(table, text):
    file = table(text)
    with pytest.raises(DatasetError, match=r"csv: a table .*with columns path,label"):
        read_dataset(file.parent)
    with pytest.raises(TableError):
        read_dataset(file, "csv")


def test_the_table_of_folds_is_no_list_of_videos(table):
    file = table("video,file,label,original,frame,fold\na,0_0.png,0,a,0,0\n", "set/folds.csv")
    with pytest.raises(DatasetError, match="nor anything else"):
        read_dataset(file.parent)


def test_two_tables_are_to_be_chosen_from(table):
    table("path,label\na.mp4,0\n")
    root = table("path,label\na.mp4,1\n", "set/other.csv").parent
    with pytest.raises(DatasetError, match="2 tables with path,label in it; name the one to read"):
        read_dataset(root)
    assert read_dataset(root / "other.csv").videos["a"].label == 1


def test_a_mistake_far_down_is_named(table):
    file = table("path,label\n" + "".join(f"{n}.mp4,0\n" for n in range(3000)) + "a.mp4,maybe\n")
    with pytest.raises(TableError, match=r"'a\.mp4' has label 'maybe'"):
        read_dataset(file.parent)


def test_a_table_and_folders_are_ambiguous(tmp_path):
    make_csv(tmp_path)
    write_all(tmp_path, touch, 0, "real/a.mp4 fake/a.mp4")
    with pytest.raises(DatasetError, match=r"may be any of csv \(columns .*\); folders \(the folders real and fake\)"):
        read_dataset(tmp_path)
    assert read_dataset(tmp_path, "folders").layout == "folders"
