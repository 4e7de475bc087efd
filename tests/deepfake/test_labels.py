"""Labels from a data set, a metadata.json or a table."""

import json

import pytest

from deepfake.labels import VideoLabel, read_labels

META = {"r.mp4": {"label": "REAL"}, "f.mp4": {"label": "FAKE", "original": "r.mp4"}}
KNOWN = {"r.mp4": VideoLabel(0, "r"), "f.mp4": VideoLabel(1, "r")}


def test_a_folder_and_a_metadata_file(tmp_path):
    file = tmp_path / "dfdc_train_part_0" / "metadata.json"
    file.parent.mkdir()
    file.write_text(json.dumps(META))
    for path in (tmp_path, file):
        found = read_labels(path)
        assert found.videos == KNOWN and found.files == [file]


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
    ("name", "content", "told"),
    [
        ("l.csv", "filename,label\na.mp4,0.5\n", "'a.mp4' has label '0.5'; expected one of REAL, FAKE, 0, 1"),
        ("l.csv", "filename,label\na.mp4,0\na.mp4,0\n", "'a.mp4' is there twice"),
        ("l.csv", "file,label\na.mp4,0\n", "no column filename"),
        ("l.csv", None, "not a table of labels"),
        ("l.json", '{"a.mp4": {"label": "MAYBE"}}', "'a.mp4' has label 'MAYBE'"),
        ("l.json", '{"a.mp4": {"label": "FAKE", "original": "../x"}}', "names '../x' as its original"),
        ("l.json", None, "not readable as JSON"),
        ("l.txt", "", "expected labels: a metadata.json"),
    ],
)
def test_what_gives_no_labels_is_told(tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError) as error:
        read_labels(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ") and told in str(error.value)
