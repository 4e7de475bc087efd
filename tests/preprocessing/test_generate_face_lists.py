"""preprocessing/generate_face_lists.py and make_dataset.sh: no original apart from its fakes, and labels for all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deepfake.datasets.aligned_faces import TRAIN, VALIDATION, FaceListRow, read_face_list
from deepfake.datasets.records import Dataset, VideoRecord
from preprocessing.generate_face_lists import check_sets, make_rows
from tests.data.clips import write_metadata
from tests.data.steps import run_here, tree

pytestmark = pytest.mark.slow


def dataset(videos: dict[str, str | None]) -> Dataset:
    """Video id -> its original, None for a real."""
    return Dataset(
        {name: VideoRecord(name, Path(f"{name}.mp4"), int(of is not None), of) for name, of in videos.items()}
    )


@st.composite
def extractions(draw) -> tuple[Dataset, dict[str, int]]:
    """Originals with fakes, and with fakes of these; some have no faces, some not even an original."""
    videos: dict[str, str | None] = {}
    for i, (there, fakes) in enumerate(draw(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2))):
        videos |= {f"v{i}": None} if there else {}
        videos |= {f"v{i}_{k}": f"v{i}" if k < 3 else f"v{i}_0" for k in range(fakes)}
    return dataset(videos), {name: draw(st.integers(0, 3)) for name in videos}


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(extractions(), st.floats(0.01, 0.99), st.integers(0, 1000))
def test_no_original_is_apart_from_a_fake(extraction, share, seed):
    data, pictures = extraction
    first = {name: name.split("_")[0] for name in data.videos}
    families = {first[name] for name, count in pictures.items() if count}
    assume(len(families) >= 2)
    rows = make_rows(data, pictures, share, seed)
    assert {row.name: row.n_frame for row in rows} == {name: count for name, count in pictures.items() if count}
    assert all(row.is_fake == data.videos[row.name].label for row in rows)
    sets = {name: {first[row.name] for row in rows if row.set_name == name} for name in (TRAIN, VALIDATION)}
    assert not sets[TRAIN] & sets[VALIDATION] and sets[TRAIN] | sets[VALIDATION] == families
    assert sets[TRAIN] and sets[VALIDATION] and abs(len(sets[VALIDATION]) - share * len(families)) <= 1
    assert make_rows(data, pictures, share, seed) == rows


def test_the_seed_decides():
    data = dataset({f"v{i}": None for i in range(40)})
    pictures = dict.fromkeys(data.videos, 1)
    assert make_rows(data, pictures, 0.5, 1) != make_rows(data, pictures, 0.5, 2)


def test_a_fake_that_names_no_original_is_listed():
    videos = {name: VideoRecord(name, Path(f"{name}.mp4"), int(name in "fg"), None) for name in "abfg"}
    rows = make_rows(Dataset(videos), dict.fromkeys(videos, 2), 0.5, 1)
    assert {row.name: row.is_fake for row in rows} == {"a": 0, "b": 0, "f": 1, "g": 1}


@pytest.mark.parametrize("missing", [(TRAIN, 0), (TRAIN, 1), (VALIDATION, 0), (VALIDATION, 1)])
def test_a_set_of_one_kind_is_refused(missing):
    rows = [FaceListRow(f"{s}{k}", k, 1, s) for s in (TRAIN, VALIDATION) for k in (0, 1)]
    check_sets(rows)
    with pytest.raises(ValueError, match=f"no {['REAL', 'FAKE'][missing[1]]} video .* set '{missing[0]}'.*--seed"):
        check_sets([row for row in rows if (row.set_name, row.is_fake) != missing])


# The command.


@pytest.fixture
def lists():
    """`lists(FACES, VIDEOS, ...)` runs the command."""
    return lambda faces, videos, *more: run_here("generate_face_lists", faces, "--metadata", videos, *more)


@pytest.fixture
def faces(tmp_path) -> Path:
    """Four originals with a fake each, in two parts; faces of all but two of them, and of a stranger."""
    folder = tmp_path / "faces"
    for part in (0, 1):
        at = tmp_path / "videos" / f"part {part}"
        at.mkdir(parents=True)
        reals = [f"{part}{i}" for i in (0, 1)]
        write_metadata(at, [f"{real}.mp4" for real in reals], {f"{real}_f.mp4": f"{real}.mp4" for real in reals})
        for name in (name for real in reals for name in (real, f"{real}_f")):
            (folder / name).mkdir(parents=True)
            for frame in range(3):
                (folder / name / f"{frame:03d}.png").touch()
    shutil.rmtree(folder / "00_f")
    for path in (folder / "10").iterdir():
        path.unlink()
    for name in ("stranger", "failures"):
        (folder / name).mkdir()
    return folder


def test_the_list_of_a_data_set(faces, lists, tmp_path):
    done = lists(faces, tmp_path / "videos", "--val-share", 0.5, "--seed", 3)
    assert done.returncode == 0, done.stderr
    table = read_face_list(faces / "faces.csv").set_index("name")
    assert list(table.index) == ["00", "01", "01_f", "10_f", "11", "11_f"]
    assert list(table["is_fake"]) == [0, 0, 1, 1, 0, 1]
    assert set(table["n_frame"]) == {3}
    for original in ("01", "11"):
        assert table["set_name"][original] == table["set_name"][f"{original}_f"]
    assert "(2 videos of the data set without faces left out, 1 folders of videos that" in done.stdout
    before = (faces / "faces.csv").read_bytes()
    out = tmp_path / "lists here" / "mine.csv"
    assert lists(faces, tmp_path / "videos", "--val-share", 0.5, "--seed", 3, "--out", out).returncode == 0
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("videos", "options", "message"),
    [
        ("videos", ["--val-share", "0"], "a share of 0.0: expected more than 0 and less than 1"),
        ("videos", ["--val-share", "1.5"], "a share of 1.5"),
        ("nowhere", [], "nowhere: no such folder"),
        ("faces", [], "no metadata.json in it"),
        ("videos/part 1", ["--val-share", "0.5", "--seed", "2"], "no REAL video with faces in the set"),
    ],
)
def test_what_cannot_be_a_list_is_refused(faces, lists, tmp_path, videos, options, message):
    done = lists(faces, tmp_path / videos, *options)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
    assert not (faces / "faces.csv").exists()


def test_no_faces_say_what_to_run(lists, faces, tmp_path):
    done = lists(tmp_path / "empty", tmp_path / "videos")
    assert done.returncode == 2 and "run extract_aligned_faces.py first" in done.stderr


# Both steps by one command.


@pytest.fixture
def make_dataset(project_root, tmp_path):
    """`make_dataset(VIDEOS, OUT, ...)` runs the script from another folder."""

    def run(*arguments, **environment) -> subprocess.CompletedProcess:
        line = ["bash", project_root / "make_dataset.sh", *arguments, "--detector", "mtcnn", "--every", 20]
        settings = {**os.environ, "PYTHON": sys.executable, **environment}
        return subprocess.run(list(map(str, line)), cwd=tmp_path, env=settings, capture_output=True, text=True)

    return run


def test_videos_to_faces_and_list(small_parts, make_dataset, tmp_path):
    (tmp_path / "my videos").mkdir()
    for part in small_parts.iterdir():
        (tmp_path / "my videos" / part.name).symlink_to(part)
    done = make_dataset("my videos", "my faces", WORKERS="1", LISTS_ARGS="--val-share 0.5")
    assert done.returncode == 0, done.stderr
    table = read_face_list(tmp_path / "my faces" / "faces.csv").set_index("name")
    assert list(table["is_fake"]) == [0, 1, 0, 1] and list(table["n_frame"]) == [2, 2, 2, 2]
    assert len(list((tmp_path / "my faces").glob("*/*.png"))) == 8
    assert table["set_name"]["d0"] == table["set_name"]["d0_d3"] != table["set_name"]["d19"]
    assert table["set_name"]["d19"] == table["set_name"]["d19_d18"]
    before = tree(tmp_path / "my faces")
    again = make_dataset("my videos", "my faces", LISTS_ARGS="--val-share 0.5")
    assert "0 done, 4 skipped" in again.stdout and tree(tmp_path / "my faces") == before


def test_a_broken_video_is_code_3_and_no_labels_are_reported(small_parts, make_dataset, tmp_path):
    videos = tmp_path / "videos" / "a" / "b"
    videos.mkdir(parents=True)
    shutil.copy(small_parts / "dfdc_train_part_1" / "d0.mp4", videos / "real.mp4")
    (videos / "broken.mp4").touch()
    done = make_dataset(tmp_path / "videos", tmp_path / "faces")
    assert done.returncode == 3, done.stderr
    assert "no metadata.json" in done.stdout and "faces.csv needs labels" in done.stdout
    assert len(list((tmp_path / "faces" / "real").iterdir())) == 2
    assert not (tmp_path / "faces" / "faces.csv").exists()


def test_sets_that_cannot_be_are_reported_before_the_work(small_parts, make_dataset, tmp_path):
    shutil.copytree(small_parts / "dfdc_train_part_1", tmp_path / "videos")
    done = make_dataset(tmp_path / "videos", tmp_path / "faces")
    assert done.returncode == 2 and "1 originals (with their fakes): two sets need 2 or more" in done.stderr
    assert not (tmp_path / "faces").exists()


def test_what_cannot_be_used_ends_with_its_code(make_dataset, tmp_path):
    done = make_dataset(tmp_path / "nowhere", tmp_path / "faces")
    assert done.returncode == 2 and "no such file or folder" in done.stderr
    assert not (tmp_path / "faces").exists()
