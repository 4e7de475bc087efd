"""Labels from a data set, a metadata.json or a table."""

import json
from pathlib import Path

import pytest

from deepfake.datasets.labels import LabelError, Labels, VideoLabel, match_labels, read_labels
from tests.data.dataset_trees import make_celeb_df

META = {"r.mp4": {"label": "REAL"}, "f.mp4": {"label": "FAKE", "original": "r.mp4"}}
KNOWN = {"r.mp4": VideoLabel(0, "r"), "f.mp4": VideoLabel(1, "r")}


def test_a_folder_and_a_metadata_file(tmp_path):
    file = tmp_path / "dfdc_train_part_0" / "metadata.json"
    file.parent.mkdir()
    file.write_text(json.dumps(META))
    assert read_labels(file) == Labels(KNOWN, [file])
    assert read_labels(tmp_path) == Labels({f"dfdc_train_part_0/{name}": v for name, v in KNOWN.items()}, [file])


def test_a_metadata_file_that_names_no_originals(tmp_path):
    file = tmp_path / "labels.json"
    file.write_text(json.dumps({"f.mp4": {"label": "FAKE"}}))
    assert read_labels(file).videos == {"f.mp4": VideoLabel(1, "f")}


def test_a_table_with_numbers_or_words(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("label,filename,more\n0,a.mp4,x\nFAKE,b.mp4,y\nreal,c.mp4,z\n1,007.mp4,\n")
    found = read_labels(file).videos
    assert {name: known.label for name, known in found.items()} == {"a.mp4": 0, "b.mp4": 1, "c.mp4": 0, "007.mp4": 1}
    assert len({known.identity for known in found.values()}) == 4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "l.csv",
            "filename,label\na.mp4,0.5\n",
            "'a.mp4' has label '0.5'; expected one of REAL, FAKE, FALSE, TRUE, 0, 1",
        ),
        ("l.csv", "filename,label\na.mp4,0\na.mp4,0\n", "'a.mp4' is there twice"),
        (
            "l.csv",
            "clip;Label\na.mp4;0\n",
            "found the columns 'clip', 'Label'; expected one of filename, file, video, path",
        ),
        (
            "l.csv",
            "filename,score\na.mp4,0\n",
            "expected one of filename, file, video, path, name, uri and one of label",
        ),
        ("l.csv", "filename,label\na.mp4\n", "line 2: 1 columns; expected 2"),
        ("l.csv", 'filename,label\n"a.mp4,0\n', "not a table of labels: line 2"),
        ("l.csv", "sep=;\n\n", "not a table of labels: it is empty"),
        ("l.csv", None, "not a table of labels"),
        ("l.json", '{"a.mp4": {"label": "MAYBE"}}', "'a.mp4' has label 'MAYBE'"),
        ("l.json", '{"a.mp4": {"label": "FAKE", "original": "../.."}}', "names '../..' as its original"),
        ("l.json", None, "not readable as JSON"),
        ("l.xlsx", "", "expected labels: a metadata.json"),
    ],
)
def test_what_gives_no_labels_is_reported(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError) as error:
        read_labels(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ") and message in str(error.value)


def test_a_table_in_another_encoding_is_reported(tmp_path):
    (tmp_path / "l.csv").write_bytes("filename,label\nä.mp4,0\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"l\.csv: neither UTF-8 nor UTF-16 .* save it as UTF-8"):
        read_labels(tmp_path / "l.csv")


TABLE = "filename,label,more\na.mp4,0,x\n\nb c.mp4,1,y\n"


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode("utf-8-sig"),
        TABLE.replace("\n", "\r\n").encode("utf-16"),
        TABLE.replace(",", ";").encode(),
        ("sep=;\r\n" + TABLE.replace(",", ";")).encode("utf-8-sig"),
        TABLE.replace(",", "\t").encode("utf-16"),
        TABLE.replace(",", ", ").encode(),
        TABLE.replace("filename,label", "File Name,LABEL").encode(),
        TABLE.replace("filename,label", "URI,Is Fake").encode(),
        TABLE.replace("filename,label", "path,target").encode(),
        TABLE.replace("0,", "real,").replace("1,", "Fake,").encode(),
        TABLE.replace("0,", "False,").replace("1,", "TRUE,").encode(),
        TABLE.replace("0,", "0.0,").replace("1,", "1.0,").encode(),
        b'"label","video"\n"0","a.mp4"\n"1","b c.mp4"\n',
        b",filename,label\n0,a.mp4,0\n1,b c.mp4,1\n",
        json.dumps({"a.mp4": {"is_fake": 0}, "b c.mp4": {"is_fake": 1}}).encode("utf-8-sig"),
    ],
    ids=["mark", "UTF-16", "semicolon", "sep=", "tab", "spaces", "capitals", "is fake", "path", "words", "bool",
         "floats", "quoted", "index", "json"],
)  # fmt: skip
def test_labels_as_programs_write_them(tmp_path, content):
    file = tmp_path / ("labels.json" if b"{" in content else "labels.csv")
    file.write_bytes(content)
    assert {name: known.label for name, known in read_labels(file).videos.items()} == {"a.mp4": 0, "b c.mp4": 1}


def test_names_are_read_as_our_own_tables_write_them(tmp_path):
    (tmp_path / "l.csv").write_text("filename,label\n'-a.mp4,0\n'b.mp4,1\nC:\\x41\\c.mp4,1\n")
    assert list(read_labels(tmp_path / "l.csv").videos) == ["-a.mp4", "'b.mp4", "C:\\x41\\c.mp4"]


def test_a_table_may_name_originals(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text(
        "URI,label,original,split\na.mp4,REAL,,train\nf.mp4,FAKE,a.mp4,train\ng.mp4,FAKE,x/b,train\nh.mp4,1\n"
    )
    assert {name: v.identity for name, v in read_labels(file).videos.items()} == {
        "a.mp4": "a", "f.mp4": "a", "g.mp4": "b", "h.mp4": "h",
    }  # fmt: skip


# Which label is whose.


def labels_of(*names: str) -> Labels:
    return Labels({name: VideoLabel(i % 2, name) for i, name in enumerate(names)}, [Path("labels.csv")])


@pytest.mark.parametrize(
    ("known", "predicted", "by"),
    [
        (["a.mp4", "b.mp4"], ["a.mp4", "b.mp4"], "path"),
        (["/data/v/a.mp4", "/data/v/b.mp4"], ["a.mp4", "b.mp4"], "path"),
        (["C:\\v\\a.mp4", "C:\\v\\b.mp4"], ["v/a.mp4", "v/b.mp4"], "path"),
        (["a.mp4", "b.mp4"], ["x/a.mp4", "x/y/b.mp4"], "path"),
        (["x/a.mp4", "y/a.mp4"], ["x/a.mp4", "y/a.mp4"], "path"),
        (["x/a.mp4", "a.mp4"], ["x/a.mp4", "a.mp4"], "path"),
        (["a\u0308.mp4", "b.mp4"], ["\u00e4.mp4", "b.mp4"], "path"),
        (["a", "b"], ["a.mp4", "b.mp4"], "path without suffix"),
        (["real/a", "fake/a"], ["real/a.mp4", "fake/a.mp4"], "path without suffix"),
        (["a.v1", "a.v2"], ["a.v1.mp4", "a.v2.mp4"], "path without suffix"),
        (["a.avi", "b.mov"], ["x/a.mp4", "b.mp4"], "path without suffix"),
        (["x/a.mp4", "x/b.mp4"], ["y/a.mp4", "y/b.mp4"], "file name"),
        (["x/a", "x/b"], ["y/a.mp4", "y/b.mp4"], "file name without suffix"),
    ],
)
def test_names_are_matched(known, predicted, by):
    found = match_labels(predicted, labels_of(*known))
    assert {name: v.identity for name, v in found.videos.items()} == dict(zip(predicted, known))
    assert (found.matched_by, found.unlabeled, found.unpredicted) == (by, [], [])


@pytest.mark.parametrize(
    ("known", "predicted", "message"),
    [
        (
            ["x/a.mp4", "y/a.mp4"],
            ["a.mp4"],
            "predicted video 'a.mp4' may be either of the labels 'x/a.mp4' and 'y/a.mp4'",
        ),
        (
            ["a.mp4"],
            ["x/a.mp4", "y/a.mp4"],
            "label 'a.mp4' may be either of the predicted videos 'x/a.mp4' and 'y/a.mp4'",
        ),
        (["a"], ["a.mp4", "a.mov"], "label 'a' may be either of the predicted videos 'a.mp4' and 'a.mov'"),
        (["x/a.mp4", "y/a.mp4"], ["z/a.mp4"], "may be either of the labels"),
    ],
)
def test_two_that_may_be_one_are_both_shown(known, predicted, message):
    with pytest.raises(LabelError) as error:
        match_labels(predicted, labels_of(*known))
    assert message in str(error.value) and str(error.value).startswith("labels.csv: ")


def test_the_nearer_of_two_is_taken():
    found = match_labels(["x/y/a.mp4", "b.mp4", "z/b.mp4"], labels_of("a.mp4", "y/a.mp4", "b.mp4"))
    assert {name: v.identity for name, v in found.videos.items()} == {"x/y/a.mp4": "y/a.mp4", "b.mp4": "b.mp4"}
    assert (found.unlabeled, found.unpredicted) == (["z/b.mp4"], ["a.mp4"])


def test_other_folders_are_another_video_where_any_path_agrees():
    found = match_labels(["real/000.mp4", "real/001.mp4"], labels_of("real/000.mp4", "fake/001.mp4"))
    assert list(found.videos) == ["real/000.mp4"] and found.unpredicted == ["fake/001.mp4"]


def test_nothing_matched_shows_one_of_each():
    with pytest.raises(LabelError, match=r"the labels know e\.g\. 'a/b\.mp4', the predictions e\.g\. 'c\.mp4'"):
        match_labels(["c.mp4"], labels_of("a/b.mp4"))


def test_a_data_set_of_another_layout_has_labels(tmp_path):
    make_celeb_df(tmp_path)
    labels = read_labels(tmp_path)
    real, fake = "Youtube-real/videos/00170.mp4", "Celeb-synthesis/videos/id0_id1_0000.mp4"
    assert (labels.videos[real].label, labels.videos[fake].label) == (0, 1)
    assert labels.videos[fake].identity == labels.videos["Celeb-real/videos/id0_0001.mp4"].identity
