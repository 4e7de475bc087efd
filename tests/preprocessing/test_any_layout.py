"""Data sets of other layouts than DFDC's, with real clips, through the steps."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepfake.datasets.data_root import DataRoot, parse_crop_name
from deepfake.datasets.folds import read_folds
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import CROPS, FRAMES, VIDEO, VideoRecord
from deepfake.faces.boxes import crop_face, read_boxes
from deepfake.faces.detectors import PRESETS
from deepfake.faces.ssim_mask import difference_mask
from deepfake.media.images import read_gray, read_image, write_image
from deepfake.synthesis.portraits import PERSONS, read_portrait
from preprocessing import (
    compress_videos,
    detect_original_faces,
    extract_crops,
    generate_diffs,
    generate_folds,
    perturb_videos,
    preprocess_videos,
    status,
)
from preprocessing.pipeline.one_pass import detect_on_cuda
from preprocessing.pipeline.video_steps import compare_crops, detect_boxes
from tests.data.clips import draw
from tests.data.dataset_trees import (
    make_celeb_df,
    make_celeb_df_pp,
    make_deeperforensics,
    make_dfdc_full,
    make_ffiw,
    make_ffpp,
    make_ffpp_kaggle,
    make_wilddeepfake,
)
from visualize.dataset.pair_sheet import Source, make_pair_sheet
from visualize.dataset.pairs import pairs_of, read_pair_boxes

SIDE = 256


@pytest.fixture
def run(monkeypatch) -> Callable[..., int]:
    """`run(step, root, ...)`: a step's main in this process, with one worker."""

    def run_step(step, root: Path, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [step.__name__, "--root-dir", str(root), *arguments])
        return step.main()

    return run_step


def files(root: Path) -> set[Path]:
    return {path.relative_to(root) for path in root.rglob("*")}


def test_outputs_go_elsewhere_where_the_set_stays_as_it_is(tmp_path, write_faces, run, capsys):
    root, out = tmp_path / "set", tmp_path / "out"
    make_ffpp(root, write_faces)
    before = files(root)
    chosen = ["--methods", "Deepfakes", "--compression", "c23", "--out-root", str(out)]
    assert run(preprocess_videos, root, *chosen, "--workers", "1") == 0
    assert "layout ff++, recognized by" in capsys.readouterr().err
    assert run(generate_folds, root, *chosen, "--split-by", "original", "--n-splits", "2") == 0
    assert files(root) == before
    crops = {folder.name for folder in DataRoot(out).crops.iterdir()}
    assert crops and all("c23" in name for name in crops)
    assert any(name.startswith("Deepfakes") for name in crops)
    assert DataRoot(out).folds_csv.is_file()
    assert run(status, root, *chosen) == 0
    assert run(status, root, "--out-root", str(out)) == 3  # all of the data set, most of it not done


@pytest.mark.parametrize(
    ("make", "arguments", "taken", "warned"),
    [(make_ffiw, [], "split by official", ""), (make_celeb_df_pp, [], "split by official", "in test and train"),
     (make_celeb_df, ["--split-by", "original"], "", "2 videos of the official split test are in folds, and will be "
      "trained on; --split train leaves them out"), (make_ffpp_kaggle, [], "split by original", ""),
     (make_deeperforensics, [], "split by official", "with its only fold held out, no video is left to train on")],
)  # fmt: skip
def test_how_a_data_set_is_split_is_said(tmp_path, run, capsys, make, arguments, taken, warned):
    make(tmp_path)
    assert run(generate_folds, tmp_path, "--check", *arguments) == 0
    said = capsys.readouterr().err
    assert taken in said and warned in said
    assert bool(taken) == ("split by " in said)


def test_the_test_videos_of_the_full_dfdc_are_in_no_fold(tmp_path, write_faces, run, capsys):
    make_dfdc_full(tmp_path, write_faces)
    assert run(preprocess_videos, tmp_path, "--workers", "1") == 0
    assert run(generate_folds, tmp_path, "--parts", "2", "--n-splits", "2") == 0
    out, err = capsys.readouterr()
    table = read_folds(tmp_path / "folds.csv")
    assert dict(zip(table["video"], table["fold"])) == {"aaa": 0, "aaa_x": 0, "bbb": 1, "bbb_x": 1}
    assert "2 reals or fakes without a counterpart, videos of test or of no split left out" in out
    assert "warning" not in err


def test_official_folds_have_crops_of_train_and_val_alone(tmp_path, write_faces, run):
    make_ffiw(tmp_path, write_faces)
    assert run(preprocess_videos, tmp_path, "--workers", "1") == 0
    assert run(generate_folds, tmp_path) == 0
    table = read_folds(tmp_path / "folds.csv")
    folds = dict(zip(table["video"], table["fold"]))
    assert folds == {"source_train_0001": 1, "target_train_0001": 1, "source_val_0001": 0, "target_val_0001": 0}
    assert set(table["label"]) == {0, 1}


def test_faces_are_found_in_folders_of_frames(tmp_path, write_faces, run):
    for name, label in (("real/a", 0), ("fake/b", 1)):
        for index in (2, 10):
            write_faces(tmp_path / name / f"{index}.png", label)
    assert run(preprocess_videos, tmp_path, "--workers", "1") == 0
    root = DataRoot(tmp_path)
    crops = {folder.name: sorted(crop.name for crop in folder.iterdir()) for folder in root.crops.iterdir()}
    assert crops == {"real_a": ["10_0.png", "2_0.png"], "fake_b": ["10_0.png", "2_0.png"]}
    assert read_image(root.crops / "real_a" / "2_0.png").shape[0] < SIDE


@pytest.mark.parametrize("steps", [(preprocess_videos,), (detect_original_faces, extract_crops)])
def test_pictures_of_one_folder_may_have_any_sizes(tmp_path, write_faces, run, steps):
    """Photographs of one person, not frames of a video."""
    write_faces(tmp_path / "real" / "a" / "1.png", 0)
    picture = read_image(tmp_path / "real" / "a" / "1.png")
    write_image(tmp_path / "real" / "a" / "2.png", np.pad(picture, ((0, 20), (30, 0), (0, 0))))
    write_faces(tmp_path / "fake" / "a.mp4", 1)
    for step in steps:
        assert run(step, tmp_path, "--workers", "1") == 0
    root = DataRoot(tmp_path)
    assert {crop.name for crop in (root.crops / "real_a").iterdir()} == {"1_0.png", "2_0.png"}
    assert read_boxes(root.boxes_file("real_a")).size is None and read_boxes(root.boxes_file("fake_a")).size == (
        256,
        256,
    )


def test_one_detector_for_all_videos_writes_the_same_boxes(tmp_path, write_faces):
    """As on a GPU: a video, pictures of two sizes, and a finished crop, in which nothing is looked for."""
    write_faces(tmp_path / "v.mp4", 0)
    for name in ("p/1.png", "p/2.png", "c/1.png"):
        write_faces(tmp_path / name, 0)
    write_image(tmp_path / "p" / "2.png", np.pad(read_image(tmp_path / "p" / "1.png"), ((0, 20), (30, 0), (0, 0))))
    contents = {"v.mp4": VIDEO, "p": FRAMES, "c": CROPS}
    videos = [VideoRecord(name, tmp_path / name, 0, content=content) for name, content in contents.items()]
    detector, facts = PRESETS["training"].build(), {"every": 10}
    one, many = DataRoot(tmp_path / "one"), DataRoot(tmp_path / "many")
    outcomes = detect_on_cuda(videos, detector, many, facts, workers=1)
    assert {outcome.item.video_id: outcome.reason for outcome in outcomes} == dict.fromkeys(contents)
    for video in videos:
        detect_boxes(video, detector, one, facts)
        first, second = (read_boxes(root.boxes_file(video.video_id)) for root in (one, many))
        assert first.size == second.size and first.settings == second.settings
        assert {index: len(faces) for index, faces in first.frames.items()} == dict.fromkeys(second.frames, 1)
    assert read_boxes(many.boxes_file("p")).size is None


def test_finished_crops_are_taken_as_they_are(tmp_path, write_faces, run):
    make_wilddeepfake(tmp_path, write_faces)
    blank = tmp_path / "real_train" / "1" / "real" / "10" / "0.png"
    picture = np.zeros((40, 30, 3), np.uint8)  # nothing would be found in it
    write_image(blank, picture)
    assert run(preprocess_videos, tmp_path, "--workers", "1") == 0
    dataset, root = read_dataset(tmp_path), DataRoot(tmp_path)
    assert {folder.name for folder in root.crops.iterdir()} == set(dataset.videos)
    for video in dataset.videos.values():
        count = len(list(video.path.iterdir()))
        names = sorted(crop.name for crop in (root.crops / video.video_id).iterdir())
        assert names == [f"{index}_0.png" for index in range(count)]
        assert video.path != blank.parent or (read_image(root.crops / video.video_id / names[0]) == picture).all()


@pytest.fixture(scope="module")
def two_persons() -> np.ndarray:
    """A frame with a face in its left half, and its mirror image in the right half."""
    portrait = read_portrait(PERSONS[0])[:SIDE, 96 : 96 + SIDE]
    return np.concatenate([portrait, portrait[:, ::-1]], axis=1)


@pytest.fixture
def masked_fake(tmp_path, two_persons) -> Path:
    """FaceForensics++ of one fake without its original: two frames, in whose masks the right half is white."""
    fakes = tmp_path / "manipulated_sequences" / "Deepfakes"
    for folder in (fakes / "c23" / "videos", fakes / "masks" / "videos"):
        folder.mkdir(parents=True)
    mask = np.zeros((SIDE, 2 * SIDE, 3), np.uint8)
    mask[:, SIDE:] = 255
    draw(fakes / "c23" / "videos" / "000_003.mp4", np.stack([two_persons] * 2))
    draw(fakes / "masks" / "videos" / "000_003.mp4", np.stack([mask] * 2))
    return tmp_path


def test_masks_choose_the_face_and_replace_those_of_ssim(masked_fake, two_persons, run, capsys):
    root, fake = DataRoot(masked_fake), "Deepfakes_c23_000_003"
    assert run(preprocess_videos, root.root, "--workers", "1", "--masks", "dataset") == 0
    assert len(read_boxes(root.boxes_file(fake)).frames[0]) == 2
    (crop,) = (root.crops / fake).iterdir()
    picture, face = read_image(crop), read_boxes(root.boxes_file(fake)).frames[0][parse_crop_name(crop.name)[1]]
    assert face.box[0] > SIDE
    assert np.abs(crop_face(two_persons, face.box).astype(int) - picture).mean() < 12
    (mask,) = (root.diffs / fake).iterdir()
    assert mask.name == f"{crop.stem}_diff.png"
    made = read_gray(mask)
    assert made.shape == picture.shape[:2] and (made[:, SIDE // 4 :] > 240).all()
    before = mask.read_bytes()
    assert run(generate_diffs, root.root, "--workers", "1", "--masks", "dataset", "--overwrite") == 0
    assert mask.read_bytes() == before
    assert "no masks" not in capsys.readouterr().out


def test_the_sheet_of_a_lone_fake_shows_the_mask_of_the_data_set(masked_fake, run):
    assert run(preprocess_videos, masked_fake, "--workers", "1", "--masks", "dataset") == 0
    (pair,) = pairs_of(read_dataset(masked_fake), "Deepfakes_c23_000_003")
    root = DataRoot(masked_fake)
    sheet = make_pair_sheet(Source(root, read_pair_boxes(root, pair), ""), pair, 0)
    cells = {cell.title: cell for row in sheet.rows for cell in row.cells}
    assert cells["mask of the data set"].notes[0].startswith("0 to 255")
    assert not isinstance(cells["mask over the fake crop"].content, str)


def test_a_fake_without_a_mask_keeps_that_of_ssim(tmp_path):
    """FaceShifter has no masks in FaceForensics++."""
    theirs, own = (np.full((8, 9, 3), gray, np.uint8) for gray in (60, 200))
    fake = VideoRecord("f", Path("f.mp4"), 1, original="r")
    compare_crops(fake, DataRoot(tmp_path), {(0, 0): theirs}, {(0, 0): own}, masks="dataset")
    mask = read_gray(DataRoot(tmp_path).diffs / "f" / "0_0_diff.png")
    assert (mask == difference_mask(theirs, own)).all()


def test_without_masks_of_the_data_set_a_fake_alone_has_none(masked_fake, run, capsys):
    assert run(preprocess_videos, masked_fake, "--workers", "1") == 0
    assert not DataRoot(masked_fake).diffs.exists()
    assert "1 fakes name no original" in capsys.readouterr().out


def test_masks_belong_to_the_pictures_of_their_number(tmp_path, write_faces, run):
    """WildDeepfake's kind of crops, by a table with masks; picture 7 has none."""
    for number in (2, 7, 30):
        write_faces(tmp_path / "faces" / f"{number}.png", 1)
        if number != 7:
            (tmp_path / "masks").mkdir(exist_ok=True)
            write_image(tmp_path / "masks" / f"{number}.png", np.full((SIDE // 2, SIDE // 2, 3), 8 * number, np.uint8))
    (tmp_path / "videos.csv").write_text("path,label,mask\nfaces,1,masks\n")
    arguments = ["--workers", "1", "--masks", "dataset", "--pictures", "crops"]
    assert run(preprocess_videos, tmp_path, *arguments) == 0
    made = {mask.name: read_gray(mask) for mask in (DataRoot(tmp_path).diffs / "faces").iterdir()}
    assert {name: mask.mean() for name, mask in made.items()} == {"2_0_diff.png": 16, "30_0_diff.png": 240}
    assert {mask.shape for mask in made.values()} == {(SIDE, SIDE)}


@pytest.mark.parametrize("step", [compress_videos, perturb_videos])
def test_copies_are_a_data_set_of_the_same_layout(tmp_path, write_faces, run, monkeypatch, step):
    root, out = tmp_path / "set", tmp_path / "out"
    make_celeb_df(root, write_faces)
    before = files(root)
    if step is compress_videos:
        assert run(step, root, "--out-root", str(tmp_path), "--out-dir", str(out), "--workers", "1") == 0
    else:
        words = [step.__name__, str(root), "--perturb", "GNC:1", "--out", str(out), "--workers", "1"]
        monkeypatch.setattr(sys, "argv", words)
        assert step.main() == 0
    assert files(root) == before
    there, copies = read_dataset(root), read_dataset(out)
    assert copies.layout == "celeb-df" and list(copies.videos) == list(there.videos)
    for name, video in there.videos.items():
        assert copies.videos[name].split == video.split
        assert copies.videos[name].path.read_bytes() != video.path.read_bytes()


def test_masks_and_videos_that_are_not_chosen_are_not_perturbed(masked_fake, tmp_path_factory, monkeypatch):
    out = tmp_path_factory.mktemp("out")
    words = [str(masked_fake), "--perturb", "GNC:1", "--out", str(out), "--methods", "deepfakes", "--workers", "1"]
    monkeypatch.setattr(sys, "argv", ["perturb_videos", *words])
    assert perturb_videos.main() == 0
    assert [path.parent.parent.name for path in out.rglob("*.mp4")] == ["c23"]
