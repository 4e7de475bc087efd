"""metadata.json: what a data set may say, and the errors for what it may not."""

import json

import pytest

from deepfake.metadata import MetadataError, read_dataset, read_metadata

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


def test_a_real_video_needs_no_original_and_ignores_one(make_part):
    (record,) = read_metadata(make_part("part_0", {"a.mp4": {"label": "REAL", "original": "../x.mp4"}}))
    assert record.original is None


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(MetadataError, match="nowhere: no such folder"):
        read_dataset(tmp_path / "nowhere")


def test_missing_metadata_names_the_layout(tmp_path):
    (tmp_path / "dfdc_train_part_0").mkdir()
    with pytest.raises(MetadataError, match=rf"{tmp_path.name}: no metadata.json .*dfdc_train_part_N"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"a.mp4": {"label": "REAL"}', b"\xff\xfe", b"{'a.mp4': 1}", b"[" * 200_000, b'{"\xff": 1}'],
)
def test_malformed_json_names_the_file(tmp_path, content):
    (tmp_path / "metadata.json").write_bytes(content)
    with pytest.raises(MetadataError, match=r"metadata\.json: not readable as JSON"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("content", [[], ["a.mp4"], "a.mp4", 3, None])
def test_json_that_is_no_mapping(make_part, content):
    with pytest.raises(MetadataError, match=r"metadata\.json: expected a mapping"):
        read_metadata(make_part("part_0", content))


@pytest.mark.parametrize(
    "entry",
    [
        {"label": "real"},
        {"label": "MAYBE"},
        {"label": None},
        {"label": ["REAL"]},
        {"label": {}},
        {"label": 1},
        {},
        "REAL",
        None,
        ["REAL"],
    ],
)
def test_a_label_that_is_neither(make_part, entry):
    with pytest.raises(MetadataError, match=r"'a\.mp4' has label .*'REAL' or 'FAKE'"):
        read_metadata(make_part("part_0", {"a.mp4": entry}))


BAD_NAMES = ["..", ".", "", "../a.mp4", "a/../../b.mp4", "sub/a.mp4", "/etc/passwd", "..\\a.mp4", "a\0.mp4", ".a.mp4"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_leave_the_folder(make_part, name):
    with pytest.raises(MetadataError, match="not a plain file name"):
        read_metadata(make_part("part_0", {name: REAL}))


@pytest.mark.parametrize("original", [*BAD_NAMES, None, 3, ["a.mp4"]])
def test_originals_that_leave_the_folder(make_part, original):
    with pytest.raises(MetadataError, match=r"'f\.mp4' is fake and names .* expected a plain file name"):
        read_metadata(make_part("part_0", {"f.mp4": fake_of(original)}))


def test_a_fake_without_original(make_part):
    with pytest.raises(MetadataError, match=r"'f\.mp4' is fake and names None"):
        read_metadata(make_part("part_0", {"f.mp4": {"label": "FAKE"}}))


@pytest.mark.parametrize("second", ["part_0", "part_1"])
def test_one_id_in_two_places_names_both(tmp_path, make_part, second):
    """Boxes and crops are named by the id: one of the two would silently replace the other."""
    if second == "part_0":
        make_part("part_0", {"a.mp4": REAL, "a.mov": REAL})
    else:
        make_part("part_0", {"a.mp4": REAL})
        make_part("part_1", {"a.mp4": REAL})
    with pytest.raises(MetadataError, match=rf"{second}/metadata\.json: video id 'a' is also .*part_0/a\.mp4"):
        read_dataset(tmp_path)


def test_a_folder_without_number_has_no_part(make_part):
    (record,) = read_metadata(make_part("celebrities", {"a.mp4": REAL}))
    with pytest.raises(MetadataError, match=r"celebrities: .*split by original"):
        _ = record.part
