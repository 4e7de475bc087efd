"""deepfake_cam.py from end to end, on a real clip."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import deepfake_cam
from deepfake.checkpoints.checkpoint import save_checkpoint
from deepfake.checkpoints.spec import OUTPUT_SOFTMAX, ModelSpec
from deepfake.faces.recipes import AlignRecipe
from deepfake.media.images import SECOND_PLACE, fit_square, read_image, write_image
from deepfake.media.video import SpreadFrames, iter_every, probe
from deepfake.prediction.ensemble import Member
from deepfake.prediction.face_scorer import FaceScorer
from deepfake.prediction.loading import build_predictor, load_models
from tests.data.clips import cut, draw, gradient
from tests.data.predicting import tiny_checkpoint
from visualize.activation.face_maps import FaceMapper
from visualize.activation.maps import METHODS

pytestmark = pytest.mark.usefixtures("one_thread")

TINY, WSDAN = "tiny_last", "wsdan_last"
FRAMES = 6


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_checkpoint(folder / TINY)
    torch.manual_seed(0)
    spec = ModelSpec("wsdan_efficientnet_b3", {}, 96, SECOND_PLACE, AlignRecipe(), OUTPUT_SOFTMAX)
    save_checkpoint(folder / WSDAN, spec.build(), spec)
    return folder


@pytest.fixture(scope="module")
def inputs(mini_dfdc, tmp_path_factory) -> Path:
    """A clip with one face, one without, a broken one; a photo, one without a face; a folder of crops."""
    folder = tmp_path_factory.mktemp("inputs")
    cut(mini_dfdc / "dfdc_train_part_1" / "d0_d3.mp4", folder / "fünf.mp4", FRAMES)
    draw(folder / "faceless.mp4", gradient(3))
    (folder / "broken.mp4").write_text("not a video")
    photo = next(iter_every(folder / "fünf.mp4", 1)).image
    write_image(folder / "photo.jpg", photo)
    write_image(folder / "wall.png", gradient(1)[0])
    (folder / "empty").mkdir()
    crops = folder / "crops"
    crops.mkdir()
    for name, size in (("9_0.png", (40, 30)), ("10_0.png", (100, 100)), ("2_0.jpg", (20, 90))):
        write_image(crops / name, np.full((*size, 3), 90, np.uint8))
    (crops / "notes.txt").touch()
    return folder


@pytest.fixture
def run(run_main, weights, tmp_path):
    def call(*arguments: object, model: str = TINY, out: Path = tmp_path / "maps") -> tuple[int, str, str]:
        words = ["--model", model, "--weights-dir", weights, "--output", out, "--device", "cpu", *arguments]
        return run_main(deepfake_cam.main, *words)

    return call


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_video_gives_pictures_a_sheet_and_a_video(run, inputs, weights, tmp_path):
    code, message, err = run("--input", inputs / "fünf.mp4", "--frames", 3, "--video")
    assert code == 0, err
    assert message.endswith("1 of 1 inputs are drawn\n")
    out = tmp_path / "maps"
    names = {"fünf/0_0.png", "fünf/2_0.png", "fünf/5_0.png", "fünf/maps.json", "fünf_sheet.png", "fünf_cam.mp4"}
    assert files(out) == names
    record = json.loads((out / "fünf" / "maps.json").read_text())
    assert (record["method"], record["model"]) == ("gradcam", TINY)
    assert [entry["frame"] for entry in record["pictures"].values()] == [0, 2, 5]
    # The same faces and scores as prediction's.
    models = load_models([Member(weights / TINY, frames=SpreadFrames(3))])
    result = build_predictor(models).predict(inputs / "fünf.mp4")
    for entry, face in zip(record["pictures"].values(), result.faces):
        assert entry["score"] == pytest.approx(face.scores[TINY], abs=1e-4)
        assert entry["box"] == pytest.approx(face.box, abs=1e-3)
    sheet = read_image(out / "fünf_sheet.png")
    assert sheet.shape[1] > 3 * 224 and sheet.std() > 20

    drawn, source = list(iter_every(out / "fünf_cam.mp4", 1)), list(iter_every(inputs / "fünf.mp4", 1))
    assert len(drawn) == FRAMES and probe(out / "fünf_cam.mp4").fps == pytest.approx(probe(inputs / "fünf.mp4").fps)
    x1, y1, x2, y2 = (int(v) for v in result.faces[0].box)
    for frame, original in zip(drawn, source):
        assert frame.image.shape == original.image.shape
        difference = np.abs(frame.image.astype(int) - original.image).mean(2)
        assert difference[y1:y2, x1:x2].mean() > 3 * difference[: y1 // 2, : x1 // 2].mean(), "over the face"


def test_more_pixels_than_the_limit(run, inputs):
    code, _, err = run("--input", inputs / "fünf.mp4", inputs / "photo.jpg", "--max-pixels", 100)
    assert code == 3
    assert "fünf.mp4: frames of" in err and "photo.jpg: " in err
    assert err.count("(--max-pixels raises the limit)") == 2


def test_every_second_frame_at_half_the_rate(run, inputs, tmp_path):
    assert run("--input", inputs / "fünf.mp4", "--frames", 1, "--video", "--video-step", 2)[0] == 0
    video = tmp_path / "maps" / "fünf_cam.mp4"
    assert len(list(iter_every(video, 1))) == FRAMES // 2
    assert probe(video).fps == pytest.approx(probe(inputs / "fünf.mp4").fps / 2, rel=0.01)


def test_wsdan_draws_its_attention_over_aligned_faces(run, inputs, tmp_path):
    arguments = ("--input", inputs / "fünf.mp4", "--detector", "mtcnn", "--frames", 2, "--video", "--video-step", 3)
    code, _, err = run(*arguments, model=WSDAN)
    assert code == 0, err
    out = tmp_path / "maps"
    assert json.loads((out / "fünf" / "maps.json").read_text())["method"] == "attention"
    assert len(list(iter_every(out / "fünf_cam.mp4", 1))) == 2
    code, _, err = run(*arguments, "--method", "hirescam", model=WSDAN)
    assert code == 0, err
    assert json.loads((out / "fünf" / "maps.json").read_text())["method"] == "hirescam", "drawn anew"


def test_a_photo_is_searched_for_faces(run, inputs, tmp_path):
    code, _, err = run("--input", inputs / "photo.jpg", "--method", "eigencam")
    assert code == 0, err
    out = tmp_path / "maps"
    assert files(out) == {"photo/0_0.png", "photo/maps.json", "photo_sheet.png", "photo_cam.png"}
    photo, drawn = read_image(inputs / "photo.jpg"), read_image(out / "photo_cam.png")
    assert photo.shape == drawn.shape and (photo != drawn).any() and (photo == drawn).mean() > 0.2


def test_a_folders_crops_are_taken_as_they_are(run, inputs, tmp_path, weights):
    folder = tmp_path / "crops of a face"
    shutil.copytree(inputs / "crops", folder)
    (folder / "11_0.png").write_text("not a picture")
    code, _, err = run("--input", folder, "--method", "gradcam++")
    assert code == 3
    assert f"{folder / '11_0.png'}: not a picture" in err
    record = json.loads((tmp_path / "maps" / folder.name / "maps.json").read_text())
    assert list(record["pictures"]) == ["2_0.png", "9_0.png", "10_0.png"], "in the order of frames"
    (model,) = load_models([Member(weights / TINY)])
    squares = np.stack([fit_square(read_image(folder / name), 64) for name in ("2_0.jpg", "9_0.png", "10_0.png")])
    expected = FaceScorer(model.network)(squares)
    assert [entry["score"] for entry in record["pictures"].values()] == pytest.approx(expected, abs=1e-4)
    picture = read_image(tmp_path / "maps" / folder.name / "9_0.png")
    assert picture.shape[0] > 320, "small crops are enlarged, labels are below"


def test_a_crops_padding_is_not_drawn(inputs, weights):
    (model,) = load_models([Member(weights / TINY)])
    faces, failures = FaceMapper(model).crops([inputs / "crops" / name for name in ("9_0.png", "2_0.jpg")])
    assert not failures
    assert [face.picture.shape for face in faces] == [(64, 48, 3), (14, 64, 3)]
    assert [face.activation.shape for face in faces] == [(64, 48), (14, 64)]
    assert all(face.picture.min() > 80 for face in faces)


def test_files_are_what_their_content_says(run, inputs, tmp_path):
    """An animation is a video of its frames, and a broken picture harms nothing."""
    frames = [Image.fromarray(frame.image) for frame in iter_every(inputs / "fünf.mp4", 3)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:], duration=200)
    frames[0].save(tmp_path / "still.mp4", format="TIFF")
    (tmp_path / "new.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99))
    names = ("moving.gif", "still.mp4", "new.jp2")
    code, message, err = run("--input", *(tmp_path / name for name in names), "--frames", 2)
    assert code == 3 and message.endswith("2 of 3 inputs are drawn\n")
    assert f"{tmp_path / 'new.jp2'}: JPEG 2000 pictures are not read; convert it to JPEG or PNG\n" in err
    faces = {"moving/0_0.png", "moving/1_0.png", "moving/maps.json", "still/0_0.png", "still/maps.json"}
    assert files(tmp_path / "maps") == faces | {"moving_sheet.png", "still_sheet.png", "still_cam.png"}


def test_the_first_crops_are_drawn_and_that_is_reported(run, inputs, tmp_path):
    code, _, err = run("--input", inputs / "crops", "--max-faces", 2)
    assert code == 0 and "the first 2 of 3 pictures" in err
    assert files(tmp_path / "maps" / "crops") == {"2_0.png", "9_0.png", "maps.json"}


def test_a_folder_of_crops_needs_no_detector(run, inputs):
    code, _, err = run("--input", inputs / "crops", model=WSDAN)  # RetinaFace's weights are not there
    assert code == 0, err


def test_one_broken_input_stops_nothing_and_leaves_nothing(run, inputs, tmp_path):
    broken = [inputs / name for name in ("broken.mp4", "faceless.mp4", "wall.png")]
    code, message, err = run("--input", *broken, inputs / "fünf.mp4", "--frames", 1, "--video")
    assert code == 3
    assert message.endswith("1 of 4 inputs are drawn\n")
    assert f"{inputs / 'broken.mp4'}: not a video file" in err
    assert f"{inputs / 'faceless.mp4'}: no face was found\n" in err
    assert f"{inputs / 'wall.png'}: no face was found; if it is a crop of a face itself, put it into a folder" in err
    assert files(tmp_path / "maps") == {"fünf/0_0.png", "fünf/maps.json", "fünf_sheet.png", "fünf_cam.mp4"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fünf.mp4", "--model", "absent_last"], "absent_last: no such checkpoint"),
        (["fünf.mp4", "--model", "INPUTS/photo.jpg"], "photo.jpg: "),
        (["fünf.mp4", "--method", "saliency"], "invalid choice: 'saliency'"),
        (["fünf.mp4", "--method", "attention"], "only WS-DAN has attention maps of its own; choose one of gradcam"),
        (["fünf.mp4", "--detector", "mtcnn"], "another detector is for networks that see aligned faces"),
        (["fünf.mp4", "--model", WSDAN], "no such file; RetinaFace needs its published"),
        (["empty"], "no picture in it; expected a folder that holds face crops itself"),
        (["absent.mp4"], "absent.mp4: no such file or folder"),
        (["crops/notes.txt"], "neither a folder of crops, nor a video or picture\n"),
        (["photo.jpg", "INPUTS/../INPUTSNAME/photo.jpg"], "both would be drawn to"),
        (["crops", "--output", "INPUTS"], "crops: holds other files"),
        (["fünf.mp4", "--frames", "0"], "argument --frames: invalid positive_int value: '0'"),
    ],
)
def test_what_cannot_be_used_is_reported(run, inputs, tmp_path, arguments, message):
    known = {"INPUTSNAME": inputs.name, "INPUTS": str(inputs)}
    words = []
    for word in arguments:
        for name, value in known.items():
            word = word.replace(name, value)
        words.append(word)
    before = files(inputs)
    end = next((number for number, word in enumerate(words) if word.startswith("--")), len(words))
    code, _, err = run("--input", *(inputs / word for word in words[:end]), *words[end:])
    assert code == 2
    assert message in err
    assert not (tmp_path / "maps").exists() and files(inputs) == before


def test_no_file_of_the_users_is_removed(run, inputs, tmp_path):
    out = tmp_path / "maps"
    arguments = ("--input", inputs / "photo.jpg", "--frames", 1)
    assert run(*arguments)[0] == 0
    assert run(*arguments)[0] == 0, "its own pictures are replaced"
    (out / "photo" / "mine.txt").touch()
    code, _, err = run(*arguments)
    assert code == 2 and "photo: holds other files, 'mine.txt' for one" in err
    assert (out / "photo" / "mine.txt").exists()
    shutil.copy(inputs / "photo.jpg", tmp_path / "x_sheet.png")
    shutil.copy(inputs / "photo.jpg", tmp_path / "x.jpg")
    code, _, err = run("--input", tmp_path / "x.jpg", tmp_path / "x_sheet.png", out=tmp_path)
    assert code == 2 and "is an input and would be written over" in err


def test_a_run_that_breaks_leaves_nothing_half_written(run, inputs, tmp_path, monkeypatch):
    from visualize.activation import map_pictures

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(map_pictures, "_entry", interrupt)
    assert run("--input", inputs / "photo.jpg")[0] == 130
    assert list((tmp_path / "maps").rglob("*")) == []


def test_the_methods_are_the_modules():
    assert tuple(METHODS) == deepfake_cam.METHODS


def test_outputs_of_a_long_name_fit_the_disk(tmp_path):
    source = deepfake_cam.Source(tmp_path / ("x" * 251 + ".mp4"), deepfake_cam.VIDEO, ())
    for path in deepfake_cam.outputs(source, tmp_path):
        path.touch()
