"""metadata.json: what a data set may say, and the errors for what it may not."""

import json

import pytest

from deepfake.datasets.label_words import parse_label
from deepfake.datasets.layouts.dfdc import read_metadata
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import LONGEST_ID, DatasetError
from deepfake.storage.atomic import write_bytes

REAL = {"label": "REAL", "split": "train"}


def fake_of(original) -> dict:
    return {"label": "FAKE", "split": "train", "original": original}


@pytest.fixture
def make_part(tmp_path):
    """`make_part(name, entries)` writes a part's metadata.json and returns its path."""

    def make(part: str, entries: object):
        folder = tmp_path / part
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "metadata.json"
        file.write_text(json.dumps(entries), encoding="utf-8")
        return file

    return make


def test_originals_fakes_and_pairs(tmp_path, make_part):
    make_part("dfdc_train_part_2", {"b.mp4": REAL, "b_x.mp4": fake_of("b.mp4"), "b_y.mp4": fake_of("b.mp4")})
    make_part("dfdc_train_part_10", {"größe 1.v2.mp4": REAL, "f.mp4": fake_of("b.mp4")})
    data = read_dataset(tmp_path)

    assert list(data.videos) == ["größe 1.v2", "f", "b", "b_x", "b_y"]
    assert [v.video_id for v in data.originals] == ["größe 1.v2", "b"]
    assert [(o.video_id, f.video_id) for o, f in data.pairs] == [("b", "f"), ("b", "b_x"), ("b", "b_y")]
    assert data.orphans == []
    assert {v.video_id: v.part for v in data.videos.values()} == {"größe 1.v2": 10, "f": 10, "b": 2, "b_x": 2, "b_y": 2}
    assert data.videos["b_x"].path == tmp_path / "dfdc_train_part_2" / "b_x.mp4"
    assert data.videos["b_x"].identity == data.videos["b"].identity == "b"
    assert (data.videos["b"].label, data.videos["b_x"].label) == (0, 1)


def test_a_folder_that_is_itself_a_part(tmp_path, make_part):
    make_part(".", {"a.mp4": REAL})
    assert list(read_dataset(tmp_path).videos) == ["a"]


def test_an_original_that_is_not_there_makes_an_orphan(tmp_path, make_part):
    make_part("part_0", {"f.mp4": fake_of("gone.mp4"), "a.mp4": REAL, "g.mp4": fake_of("a.mp4")})
    data = read_dataset(tmp_path)
    assert [v.video_id for v in data.orphans] == ["f"]
    assert [f.video_id for _, f in data.pairs] == ["g"]


def test_a_fake_of_a_fake_is_an_orphan(tmp_path, make_part):
    """Boxes are detected in real videos only, so its original's will never be there."""
    make_part(
        "part_0", {"a.mp4": REAL, "f.mp4": fake_of("a.mp4"), "ff.mp4": fake_of("f.mp4"), "s.mp4": fake_of("s.mp4")}
    )
    data = read_dataset(tmp_path)
    assert [v.video_id for v in data.orphans] == ["ff", "s"]
    assert [f.video_id for _, f in data.pairs] == ["f"]
    assert {name: video.group for name, video in data.videos.items()} == {"a": "a", "f": "a", "ff": "a", "s": "s"}


def test_a_real_video_needs_no_original_and_ignores_one(make_part):
    (record,) = read_metadata(make_part("part_0", {"a.mp4": {"label": "REAL", "original": "../x.mp4"}}))
    assert record.original is None


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        read_dataset(tmp_path / "nowhere")


def test_missing_metadata_names_the_layout(tmp_path):
    (tmp_path / "dfdc_train_part_0").mkdir()
    with pytest.raises(DatasetError, match=rf"{tmp_path.name}: no metadata.json .*dfdc_train_part_N"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"a.mp4": {"label": "REAL"}', b"\xff\xfe", b"{'a.mp4': 1}", b"[" * 200_000, b'{"\xff": 1}'],
)
def test_malformed_json_names_the_file(tmp_path, content):
    (tmp_path / "metadata.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"metadata\.json: not readable as JSON"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("content", [[], ["a.mp4"], [{"label": "REAL"}], [{"name": 1}], "a.mp4", 3, None])
def test_json_that_is_no_mapping(make_part, content):
    with pytest.raises(DatasetError, match=r'metadata\.json: expected a mapping .*or a list, \[\{"filename'):
        read_metadata(make_part("part_0", content))


@pytest.mark.parametrize(
    "entry",
    [{"label": "MAYBE"}, {"label": None}, {"label": ["REAL"]}, {"label": {}}, {"label": 2}, {"is_fake": 0.5}, {}, None,
     ["REAL"], "", {"label": "MAYBE", "is_fake": 1}],
)  # fmt: skip
def test_a_label_that_is_neither(make_part, entry):
    with pytest.raises(DatasetError, match=r"'a\.mp4' has label .*'REAL' or 'FAKE'"):
        read_metadata(make_part("part_0", {"a.mp4": entry}))


def test_two_labels_that_differ(make_part):
    with pytest.raises(DatasetError, match=r"'a\.mp4' is said to be both real and fake: .*'is_fake': 1"):
        read_metadata(make_part("part_0", {"a.mp4": {"label": "REAL", "is_fake": 1}}))
    (record,) = read_metadata(make_part("part_1", {"a.mp4": {"label": "FAKE", "is_fake": 1, "class": "swap"}}))
    assert record.label == 1


@pytest.mark.parametrize(
    ("value", "label"),
    [("REAL", 0), ("fake", 1), (" Fake ", 1), (0, 0), (1.0, 1), (True, 1), ("1", 1), ("0.0", 0), ("true", 1),
     ("False", 0), (2, None), (-1, None), ("0.5", None), ("nan", None), ("", None), ("yes", None), (None, None),
     ([], None), (float("nan"), None)],
)  # fmt: skip
def test_labels_as_they_are_written(value, label):
    assert parse_label(value) == label


PLAIN = {"a.mp4": {"label": "REAL"}, "b.v2.mp4": {"label": "REAL"}, "f.mp4": fake_of("b.v2.mp4")}


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + json.dumps(PLAIN).encode(),
        json.dumps(PLAIN).encode("utf-16"),
        json.dumps(PLAIN).replace(", ", ",\r\n").encode(),
        json.dumps(PLAIN).lower().encode(),
        json.dumps(PLAIN).replace('"REAL"', "0").replace('"FAKE"', "1").encode(),
        json.dumps(PLAIN).replace('"REAL"', "false").replace('"FAKE"', '"True"').replace("label", "is_fake").encode(),
        json.dumps(PLAIN).replace('"label"', '"Label"').replace('"original"', '"Original"').encode(),
        json.dumps(PLAIN).replace('"label"', '"label": null, "Is_Fake"').replace("REAL", "0").encode(),
        json.dumps({"a.mp4": 0, "b.v2.mp4": "REAL", "f.mp4": fake_of("b.v2.mp4")}).encode(),
        json.dumps([{"filename": name, **entry} for name, entry in PLAIN.items()]).encode(),
        json.dumps([{"video": name, **entry} for name, entry in PLAIN.items()]).encode("utf-8-sig"),
        json.dumps({**PLAIN, "f.mp4": fake_of("b.v2")}).encode(),
        json.dumps({**PLAIN, "f.mp4": fake_of("dfdc_train_part_0/b.v2.mp4")}).encode(),
        json.dumps({**PLAIN, "f.mp4": fake_of("C:\\data\\b.v2.mp4")}).encode(),
        json.dumps({**PLAIN, "f.mp4": fake_of("../part_0/b.v2")}).encode(),
    ],
    ids=["mark", "UTF-16", "CRLF", "lower case", "numbers", "is_fake", "capitals", "null", "labels alone", "list",
         "list of videos", "without suffix", "with folder", "Windows folder", "other folder"],
)  # fmt: skip
def test_the_same_data_set_in_other_words(tmp_path, content):
    (tmp_path / "metadata.json").write_bytes(content)
    data = read_dataset(tmp_path)
    assert {name: (video.label, video.original) for name, video in data.videos.items()} == {
        "a": (0, None), "b.v2": (0, None), "f": (1, "b.v2"),
    }  # fmt: skip
    assert [v.original for v in read_metadata(tmp_path / "metadata.json")] == [None, None, "b.v2"]
    assert [(o.video_id, f.video_id) for o, f in data.pairs] == [("b.v2", "f")] and not data.rejected


def test_an_original_in_another_part_may_lack_its_suffix(tmp_path, make_part):
    make_part("part_0", {"f.mp4": fake_of("b.v2")})
    make_part("part_1", {"b.v2.mp4": REAL})
    assert [(o.video_id, f.video_id) for o, f in read_dataset(tmp_path).pairs] == [("b.v2", "f")]


@pytest.mark.parametrize(
    "content",
    ['{"a.mp4": {"label": "REAL"}, "a.mp4": {"label": "FAKE"}}', '{"f.mp4": {"a.mp4": 1, "label": 1, "a.mp4": 2}}',
     '[{"filename": "a.mp4", "label": 0}, {"filename": "a.mp4", "label": 1}]'],
)  # fmt: skip
def test_a_name_twice_is_named(tmp_path, content):
    (tmp_path / "metadata.json").write_text(content)
    with pytest.raises(DatasetError, match=r"metadata\.json: .*'a\.mp4' is there twice"):
        read_dataset(tmp_path)


BAD_NAMES = [
    *("..", ".", "", "../a.mp4", "a/../../b.mp4", "sub/a.mp4", "/etc/passwd", "..\\a.mp4", "a\0.mp4", ".a.mp4"),
    *("\ud800.mp4", "x" * 300 + ".mp4", "ü" * 126 + ".mp4", "x" * (LONGEST_ID + 1) + ".mp4", "a." + "x" * 300),
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_no_video_can_have_cost_that_video_alone(tmp_path, make_part, name):
    file = make_part("part_0", {name: REAL, "a.mp4": REAL})
    data = read_dataset(tmp_path)
    assert list(data.videos) == ["a"] and [v.video_id for v in read_metadata(file)] == ["a"]
    ((written, reason),) = data.rejected.items()
    assert written == name and reason.isprintable() and reason.startswith(f"{file}: ")
    assert ("not a plain file name" in reason) or ("bytes; at most 25" in reason)


def test_a_fake_whose_original_no_file_can_be_is_left_out(tmp_path, make_part):
    make_part("part_0", {"f.mp4": fake_of("x" * 300), "a.mp4": REAL})
    data = read_dataset(tmp_path)
    assert list(data.videos) == ["a"] and "a name of 300 bytes; at most 255" in data.rejected["f.mp4"]


def test_the_longest_name_leaves_room_for_its_files(tmp_path, make_part):
    make_part("part_0", {"x" * LONGEST_ID + ".mp4": REAL})
    (tmp_path / "part_0" / ("x" * LONGEST_ID + ".mp4")).touch()
    (record,) = read_dataset(tmp_path).videos.values()
    write_bytes(tmp_path / f"{record.video_id}.json", b"{}")


@pytest.mark.parametrize("original", ["..", ".", "a/..", "part_0/", "a\0.mp4", ".a.mp4", 3, ["a.mp4"], {}, True])
def test_originals_that_are_no_file_names(make_part, original):
    with pytest.raises(DatasetError, match=r"'f\.mp4' is fake and names .* expected a plain file name"):
        read_metadata(make_part("part_0", {"f.mp4": fake_of(original)}))


@pytest.mark.parametrize("entry", [{"label": "FAKE"}, fake_of(None), fake_of(""), fake_of(float("nan"))])
def test_a_fake_that_names_no_original_stands_for_itself(tmp_path, make_part, entry):
    make_part("part_0", {"f.mp4": entry, "a.mp4": REAL, "g.mp4": fake_of("a.mp4")})
    data = read_dataset(tmp_path)
    assert [v.video_id for v in data.unattributed] == ["f"] and data.orphans == []
    assert [v.video_id for v in data.sources] == ["a", "f"] and data.videos["f"].identity == "f"
    assert [f.video_id for _, f in data.pairs] == ["g"]


@pytest.mark.parametrize("second", ["part_0", "part_1"])
def test_one_id_in_two_places_names_both(tmp_path, make_part, second):
    """Boxes and crops are named by the id: one of the two would silently replace the other."""
    if second == "part_0":
        make_part("part_0", {"a.mp4": REAL, "a.mov": REAL})
    else:
        make_part("part_0", {"a.mp4": REAL})
        make_part("part_1", {"a.mp4": REAL})
    with pytest.raises(DatasetError, match=rf"{second}/metadata\.json: video id 'a' is also .*part_0/a\.mp4"):
        read_dataset(tmp_path)


def test_a_folder_without_number_has_no_part(make_part):
    (record,) = read_metadata(make_part("celebrities", {"a.mp4": REAL}))
    with pytest.raises(DatasetError, match=r"celebrities: .*split by original"):
        _ = record.part
