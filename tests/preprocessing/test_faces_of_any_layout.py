"""Second place's faces and their list, from data sets of other layouts than DFDC's."""

import sys
from pathlib import Path

import numpy as np
import pytest

from deepfake.datasets.aligned_faces import Extraction, read_face_list
from deepfake.datasets.reading import read_dataset
from deepfake.faces.align import align_face, align_largest, largest_face, whole_landmarks
from deepfake.faces.detectors import ALIGNING
from deepfake.faces.recipes import AlignRecipe
from deepfake.media.images import read_image, write_image
from deepfake.media.video import iter_frames
from deepfake.synthesis.portraits import PERSONS, read_portrait
from preprocessing import extract_aligned_faces, generate_face_lists
from preprocessing.extract_aligned_faces import FaceVideo, Job, extract_on_cuda, extract_video
from tests.data.clips import draw
from tests.data.dataset_trees import make_celeb_df, make_ffiw, make_wilddeepfake, touch

SIDE = 256


@pytest.fixture
def extract(monkeypatch):
    """`extract(source, out, ...)`: the faces by MTCNN, in this process."""

    def run(*arguments: object) -> int:
        words = map(str, [*arguments, "--detector", "mtcnn", "--workers", 1])
        monkeypatch.setattr(sys, "argv", ["extract_aligned_faces", *words])
        return extract_aligned_faces.main()

    return run


@pytest.fixture
def make_list(monkeypatch):
    """`make_list(faces, data set, ...)`, in this process."""

    def run(faces: Path, root: Path, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["generate_face_lists", str(faces), "--metadata", str(root), *arguments])
        return generate_face_lists.main()

    return run


def sets_of(faces: Path) -> dict[str, str]:
    table = read_face_list(faces / "faces.csv")
    return dict(zip(table["name"], table["set_name"]))


def test_folders_are_called_by_id_and_listed_by_official_set(tmp_path, write_faces, extract, make_list):
    """FFIW has one name four times, and masks that are no videos to take faces of."""
    root, faces = tmp_path / "set", tmp_path / "faces"
    make_ffiw(root, write_faces)
    assert extract(root, faces) == 0
    names = {"source_train_0001", "target_train_0001", "source_val_0001", "target_val_0001"}
    assert {path.name for path in faces.iterdir() if any(path.glob("*.png"))} == names
    assert make_list(faces, root, "--if-labeled") == 0
    assert sets_of(faces) == {name: name.split("_")[1] for name in names}


def test_a_part_is_chosen(tmp_path, write_faces, extract):
    make_ffiw(tmp_path / "set", write_faces)
    assert extract(tmp_path / "set", tmp_path / "faces", "--split", "val") == 0
    assert {path.name for path in (tmp_path / "faces").glob("*_0001")} == {"source_val_0001", "target_val_0001"}
    with pytest.raises(ValueError, match=r"--split val.*name one SOURCE"):
        extract(tmp_path / "set", tmp_path / "other", tmp_path / "faces", "--split", "val")


def test_without_an_official_val_it_is_drawn_from_train(tmp_path, make_list, capsys):
    """Celeb-DF: what is in the list of test videos stays there."""
    root, faces = tmp_path / "set", tmp_path / "faces"
    make_celeb_df(root)
    for number in (2, 3):
        touch(root / "Celeb-real" / "videos" / f"id{number}_0000.mp4", 0)
        touch(root / "Celeb-synthesis" / "videos" / f"id{number}_id9_0000.mp4", 1)
    dataset = read_dataset(root)
    for name in dataset.videos:
        touch(faces / name / "000.png", 0)
    assert make_list(faces, root, "--val-share", "0.5") == 0
    sets = sets_of(faces)
    test = {name for name, video in dataset.videos.items() if video.split == "test"}
    assert {name for name, chosen in sets.items() if chosen == "test"} == test and set(sets) == set(dataset.videos)
    for number in (2, 3):
        assert sets[f"Celeb-real_id{number}_0000"] == sets[f"Celeb-synthesis_id{number}_id9_0000"]
    assert make_list(faces, root, "--val-share", "0.5", "--split-by", "original") == 0
    assert set(sets_of(faces).values()) == {"train", "val"}
    assert "2 videos of the official split test are" in capsys.readouterr().err


def test_without_labels_there_is_no_list(tmp_path, make_list, capsys):
    touch(tmp_path / "videos" / "a.mp4", 0)
    assert make_list(tmp_path / "faces", tmp_path / "videos", "--if-labeled") == 0
    assert "faces.csv needs labels" in capsys.readouterr().out
    with pytest.raises(ValueError, match="nor anything else that a data set is known by"):
        make_list(tmp_path / "faces", tmp_path / "videos")


def test_finished_crops_are_taken_without_detection(tmp_path, extract):
    picture = np.full((40, 20, 3), 99, np.uint8)

    def write(path: Path, label: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, picture)

    make_wilddeepfake(tmp_path / "set", write)
    assert extract(tmp_path / "set", tmp_path / "faces") == 0
    faces = tmp_path / "faces" / "real_train_1_real_10"
    assert sorted(path.name for path in faces.iterdir()) == ["000.png", "001.png"]
    face = read_image(faces / "000.png")
    assert face.shape == (320, 320, 3) and (face[:, 80:240] == 99).all() and not face[:, :80].any()


@pytest.mark.parametrize("on_cuda", [False, True])
def test_a_mask_chooses_the_face(tmp_path, on_cuda):
    """The portrait and its mirror image; the mask means the one that is not the largest."""
    portrait = read_portrait(PERSONS[0])[:SIDE, 96 : 96 + SIDE]
    draw(tmp_path / "two.mp4", np.stack([np.concatenate([portrait, portrait[:, ::-1]], axis=1)]))
    (frame,) = iter_frames(tmp_path / "two.mp4", [0])
    detector = ALIGNING["mtcnn"].build()
    faces = detector.detect([frame.image])[0]
    largest = largest_face(faces)
    (other,) = (face for face in faces if face is not largest)
    mask = np.zeros((1, SIDE, 2 * SIDE, 3), np.uint8)
    mask[:, :, SIDE:] = 255 * (other.box[0] > SIDE)
    mask[:, :, :SIDE] = 255 * (other.box[0] < SIDE)
    draw(tmp_path / "mask.mp4", mask)
    job = Job(tmp_path / "faces", Extraction(AlignRecipe(ALIGNING["mtcnn"])))
    video = FaceVideo("two", tmp_path / "two.mp4", mask=tmp_path / "mask.mp4")
    if on_cuda:
        assert [outcome.reason for outcome in extract_on_cuda([video], job, detector, workers=1)] == [None]
    else:
        extract_video(video, job, detector)
    expected = align_face(frame.image, whole_landmarks(other))
    assert (read_image(tmp_path / "faces" / "two" / "000.png") == expected).all()
    assert (align_largest(frame.image, faces)[1] != expected).any()
