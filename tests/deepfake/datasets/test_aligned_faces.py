"""A folder of aligned faces: names and tables are read back as written, nothing is mixed, every refusal is told."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake.datasets.aligned_faces import (
    COLUMNS,
    FACES_CSV,
    RECIPE_JSON,
    RESERVED,
    TRAIN,
    VALIDATION,
    Extraction,
    FaceListRow,
    claim_folder,
    face_name,
    list_faces,
    list_folders,
    name_folders,
    parse_face_name,
    read_extraction,
    read_face_list,
    write_extraction,
    write_face_list,
)
from deepfake.datasets.data_root import CROP_SUFFIXES
from deepfake.faces.detectors import ALIGNING
from deepfake.faces.recipes import AlignRecipe
from deepfake.storage.names import is_plain_name
from deepfake.storage.tables import TableError

MTCNN = Extraction(AlignRecipe(ALIGNING["mtcnn"]), every=10)
SUFFIX = st.sampled_from(CROP_SUFFIXES)

# Names.


@given(st.integers(0, 10**6), SUFFIX)
def test_face_names_are_read_back(frame, suffix):
    name = face_name(frame, suffix)
    assert parse_face_name(name) == frame
    assert len(Path(name).stem) >= 3


def test_the_published_names():
    assert [face_name(frame) for frame in (0, 7, 299, 1000)] == ["000.png", "007.png", "299.png", "1000.png"]


@pytest.mark.parametrize("name", ["", "0.png", "07.png", "000", "000.gif", "0_0.png", "-100.png", "000.png.tmp",
                                  ".partial-000.png", "a000.png", " 000.png", "٣٤٥.png"])  # fmt: skip
def test_other_names_are_no_faces(name):
    assert parse_face_name(name) is None


def test_faces_are_listed_by_frame(tmp_path):
    for name in ("1000.png", "999.png", "020.jpg", "003.webp", "0_0.png", "notes.txt", ".partial-001.png"):
        (tmp_path / name).touch()
    assert [path.name for path in list_faces(tmp_path)] == ["003.webp", "020.jpg", "999.png", "1000.png"]


def test_folders_of_videos_are_listed_and_nothing_else(tmp_path):
    for name in ("b", "a ü", "failures", ".partial-c", ".replaced-d"):
        (tmp_path / name).mkdir()
    (tmp_path / FACES_CSV).touch()
    (tmp_path / "e").touch()
    assert list_folders(tmp_path) == ["a ü", "b"]
    assert list_folders(tmp_path / "nowhere") == []


PLAIN = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda name: is_plain_name(name) and name not in RESERVED and Path(f"{name}.mp4").stem == name
)


@given(st.lists(PLAIN, unique=True, max_size=8))
def test_every_video_gets_a_folder_of_its_own(names):
    videos = [Path(f"part_{i}") / f"{name}.mp4" for i, name in enumerate(names)]
    assert name_folders(videos) == dict(zip(names, videos))


@pytest.mark.parametrize("first, second", [("a/x.mp4", "b/x.mp4"), ("a/x.mp4", "a/x.mov"), ("x.mp4", "a/x.MKV")])
def test_two_videos_of_one_name_are_both_named(first, second):
    with pytest.raises(ValueError, match=f"^{first} and {second}: both would be the folder 'x'.*unique"):
        name_folders([Path(first), Path("y.mp4"), Path(second)])


def test_one_video_given_twice_is_one(tmp_path):
    video, link = tmp_path / "x.mp4", tmp_path / "link"
    video.touch()
    link.symlink_to(tmp_path)
    assert name_folders([video, link / "x.mp4"]) == {"x": video}


@pytest.mark.parametrize("name", ["failures.mp4", "recipe.json.mp4", "faces.csv.mov", ".x.mp4", "a\n.mp4", "a\\b.mp4"])
def test_names_that_no_folder_can_have(name):
    with pytest.raises(ValueError, match=r"no folder of faces can be named .*; rename the video"):
        name_folders([Path(name)])


# The list.

ROWS = [
    FaceListRow("001", 0, 300, TRAIN),
    FaceListRow("NA", 1, 0, TRAIN),
    FaceListRow("größe 人, b", 1, 12, VALIDATION),
    FaceListRow("1e5", 0, 7, "test"),
]


def rows_of(path: Path) -> list[FaceListRow]:
    return [FaceListRow(*row) for row in read_face_list(path).itertuples(index=False)]


def test_the_list_has_the_published_columns(tmp_path):
    write_face_list(tmp_path / FACES_CSV, ROWS[:2])
    assert (tmp_path / FACES_CSV).read_text() == "name,is_fake,n_frame,set_name\n001,0,300,train\nNA,1,0,train\n"


ANY_ROW = st.builds(
    FaceListRow,
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(is_plain_name),
    st.integers(0, 1),
    st.integers(0, 10**6),
    st.sampled_from([TRAIN, VALIDATION, "test"]),
)


@given(st.lists(ANY_ROW, max_size=8, unique_by=lambda row: row.name))
def test_the_list_is_read_as_it_was_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("faces") / FACES_CSV
    write_face_list(path, rows)
    assert rows_of(path) == sorted(rows, key=lambda row: row.name)


def test_ids_are_kept_as_they_are_and_the_order_does_not_matter(tmp_path):
    write_face_list(tmp_path / "1.csv", ROWS)
    write_face_list(tmp_path / "2.csv", ROWS[::-1])
    assert sorted(rows_of(tmp_path / "1.csv"), key=repr) == sorted(ROWS, key=repr)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


HEADER = ",".join(COLUMNS)


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "not a list of faces"),
        ("name,is_fake\na,0\n", "no column n_frame, set_name; expected name,is_fake,n_frame,set_name"),
        (f"{HEADER}\na,maybe,3,train\n", "whole numbers"),
        (f"{HEADER}\na,0,3.5,train\n", "whole numbers"),
        (f"{HEADER}\na,2,3,train\n", "is_fake must be 0 or 1; see 'a'"),
        (f"{HEADER}\na,0,-1,train\n", "n_frame must be 0 or more; see 'a'"),
        (f"{HEADER}\na,0,3,train\nb,0,3,val\na,1,3,val\n", "a name may stand there once; see 'a'"),
        (f"{HEADER}\n../a,0,3,train\n", r"'\.\./a' is not a plain folder name"),
        (f"{HEADER}\n/etc,0,3,train\n", "'/etc' is not a plain folder name"),
    ],
)
def test_other_lists_are_errors_that_name_them(tmp_path, content, message):
    (tmp_path / FACES_CSV).write_text(content)
    with pytest.raises(TableError, match=rf"faces\.csv: .*{message}"):
        read_face_list(tmp_path / FACES_CSV)


# The recipe.


@given(st.sampled_from(sorted(ALIGNING)), st.none() | st.floats(0.1, 2), st.integers(1, 500), SUFFIX)
def test_the_recipe_is_read_as_it_was_written(tmp_path_factory, detector, scale, every, suffix):
    folder = tmp_path_factory.mktemp("faces")
    extraction = Extraction(AlignRecipe(ALIGNING[detector].with_scale(scale)), every, suffix)
    write_extraction(folder, extraction)
    assert read_extraction(folder) == extraction


@pytest.mark.parametrize("wrong", [{"every": 0}, {"every": -3}, {"suffix": ".gif"}, {"suffix": "png"}])
def test_extractions_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="expected"):
        replace(MTCNN, **wrong)


def test_a_folder_that_says_nothing(tmp_path):
    assert read_extraction(tmp_path) is None


def _changed(**changes) -> str:
    content = {
        "format": 1,
        "faces": {"kind": "aligned", "detector": "mtcnn", "settings": ALIGNING["mtcnn"].to_dict(), "size": 320},
        "every": 1,
        "pictures": ".png",
    }
    return json.dumps({**content, **changes})


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "not understood"),
        ("[1]", "not understood"),
        ("\xff", "not understood"),
        (_changed(format=2), "format: expected 1; found 2"),
        (_changed(every="some"), "not understood"),
        (_changed(every=0), "expected 1 or more"),
        (_changed(pictures=".bmp"), r"expected one of \.png"),
        (_changed(faces={"detector": "guess", "settings": {}}), "detector: .*'guess'"),
        (
            _changed(faces={"detector": "mtcnn", "settings": ALIGNING["mtcnn"].to_dict(), "margin": 3}),
            "faces.kind: expected aligned; found 'crop'",
        ),
        (_changed(faces={"kind": "aligned", "detector": "mtcnn", "settings": {}}), "not understood"),
    ],
)
def test_other_recipes_are_errors_that_name_them(tmp_path, content, message):
    (tmp_path / RECIPE_JSON).write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=rf"recipe\.json: .*{message}.*extract the faces again"):
        read_extraction(tmp_path)


# One folder, one recipe.


@pytest.fixture
def faces(tmp_path) -> Path:
    """Two videos' faces, made by `MTCNN`."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "000.png").touch()
    write_extraction(tmp_path, MTCNN)
    return tmp_path


def test_the_first_claim_makes_the_folder_and_the_recipe(tmp_path):
    claim_folder(tmp_path / "x" / "faces", MTCNN, {"a"})
    assert read_extraction(tmp_path / "x" / "faces") == MTCNN


def test_the_same_recipe_keeps_all(faces):
    before = sorted(faces.rglob("*"))
    for overwrite in (False, True):
        claim_folder(faces, MTCNN, {"a", "c"}, overwrite)
        assert sorted(faces.rglob("*")) == before


OTHERS = [
    (replace(MTCNN, every=5), "every 10, not 5"),
    (replace(MTCNN, suffix=".jpg"), r"pictures \.png, not \.jpg"),
    (replace(MTCNN, recipe=AlignRecipe(ALIGNING["mtcnn"], size=224)), "size 320, not 224"),
    (replace(MTCNN, recipe=AlignRecipe(ALIGNING["mtcnn"].with_scale(1.0))), r"scale 0\.5, not 1\.0"),
    (replace(MTCNN, recipe=AlignRecipe(ALIGNING["retinaface"])), "detector mtcnn, not retinaface"),
]


@pytest.mark.parametrize("other, message", OTHERS)
def test_another_recipe_is_refused_and_both_cures_are_reported(faces, other, message):
    before = sorted(faces.rglob("*"))
    with pytest.raises(ValueError, match=rf"recipe\.json: made with {message}.*name another folder or --overwrite"):
        claim_folder(faces, other, {"a", "b"})
    assert sorted(faces.rglob("*")) == before and read_extraction(faces) == MTCNN


@pytest.mark.parametrize("other, message", OTHERS)
def test_overwrite_removes_what_was_made_otherwise(faces, other, message):
    claim_folder(faces, other, {"a", "b", "c"}, overwrite=True)
    assert list_folders(faces) == []
    assert read_extraction(faces) == other


def test_overwrite_leaves_the_faces_of_other_videos(faces):
    with pytest.raises(ValueError, match=r"made with every 10, not 5; 1 videos that are not.*\(b\): name another"):
        claim_folder(faces, replace(MTCNN, every=5), {"a"}, overwrite=True)
    assert list_folders(faces) == ["a", "b"] and read_extraction(faces) == MTCNN


def test_a_recipe_that_is_not_understood_is_refused_or_replaced(faces):
    (faces / RECIPE_JSON).write_text("{")
    with pytest.raises(ValueError, match=r"recipe\.json: not understood.*--overwrite"):
        claim_folder(faces, MTCNN, {"a", "b"})
    claim_folder(faces, MTCNN, {"a", "b"}, overwrite=True)
    assert list_folders(faces) == [] and read_extraction(faces) == MTCNN


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("names", [{"a"}, {"c"}])
def test_folders_that_nobody_vouches_for_are_left_alone(faces, overwrite, names):
    (faces / RECIPE_JSON).unlink()
    before = sorted(faces.rglob("*"))
    with pytest.raises(ValueError, match=r"recipe\.json: missing, so nobody knows how 'a' was made; name another"):
        claim_folder(faces, MTCNN, names, overwrite)
    assert sorted(faces.rglob("*")) == before


def test_folders_of_something_else_are_no_matter(tmp_path):
    (tmp_path / "dfdc_train_part_0").mkdir()
    (tmp_path / "dfdc_train_part_0" / "a.mp4").touch()
    claim_folder(tmp_path, MTCNN, {"a"})
    assert read_extraction(tmp_path) == MTCNN
