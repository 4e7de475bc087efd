"""Checkpoints and files beside them that are damaged or hostile end every program with one line and no score."""

import json
import math

import pytest
import torch

import calibrate
import deepfake_cam
import predict_folder
from deepfake.checkpoints.checkpoint import read_checkpoint
from export import __main__ as export_command
from tests.data.clips import draw, gradient
from tests.data.predicting import tiny_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")

NAME = "tiny"


def _nan(content):
    content["state_dict"]["fc.weight"][0, 3] = math.nan


def _integers(content):
    content["state_dict"]["fc.weight"] = content["state_dict"]["fc.weight"].to(torch.int8)


def _endless(content):
    content["spec"]["crop"]["settings"]["factor"] = 1.0


def _calling(content):
    content["spec"]["options"]["pretrained"] = True


DAMAGES = {
    _nan: "fc.weight: 1 of 288 numbers are not finite",
    _integers: "fc.weight torch.int8 instead of torch.float32",
    _endless: "model spec: crop.settings.factor: expected a number from 0.05 to 0.95; found 1.0",
    _calling: "model spec: options.pretrained: not an option here",
}


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    draw(path, gradient(2))
    return path


@pytest.mark.parametrize("program", ["predict", "cam", "export"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_a_damaged_checkpoint_is_one_line(run_main, tmp_path, video, damage, program):
    path = tiny_checkpoint(tmp_path / NAME)
    checkpoint = read_checkpoint(path)
    content = {"spec": checkpoint.spec.to_dict(), "state_dict": checkpoint.state_dict}
    damage(content)
    torch.save(content, path)
    out = tmp_path / "out"
    code, _, err = {
        "predict": lambda: run_main(
            predict_folder.main, video, "--weights-dir", tmp_path, "--models", NAME, "--output", out / "s.csv"
        ),
        "cam": lambda: run_main(deepfake_cam.main, "--input", video, "--model", path, "--output", out),
        "export": lambda: run_main(export_command.main, path, "--format", "onnx", "--out", out),
    }[program]()
    assert code == 2
    assert f"error: {path}: " in err and DAMAGES[damage] in err
    assert len(err.strip().splitlines()) == 1
    assert not out.exists() or not any(file.is_file() for file in out.rglob("*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"temperature": 1' + "0" * 400 + "}", "temperature: expected a whole number of at most 64 bits"),
        ('{"temperature": NaN}', "temperature: expected a finite number; found NaN"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_a_calibration_of_odd_numbers_is_one_line(run_main, tmp_path, video, content, message):
    path = tmp_path / "calibration.json"
    path.write_text(content)
    tiny_checkpoint(tmp_path / NAME)
    code, _, err = run_main(
        predict_folder.main,
        *(video, "--weights-dir", tmp_path, "--models", NAME, "--output", tmp_path / "s.csv", "--calibration", path),
    )
    assert code == 2 and f"error: {path}: not JSON: {message}" in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "s.csv").exists()


@pytest.mark.parametrize("weight", ["1e308", "-1", "true", '"a"', "null"])
def test_details_with_odd_weights_cannot_be_calibrated(run_main, tmp_path, weight):
    details, labels = tmp_path / "details.json", tmp_path / "labels.csv"
    model = '{"name": "NAME", "sha256": "0", "weight": WEIGHT, "aggregation": "mean"}'.replace("WEIGHT", weight)
    models = [json.loads(model.replace("NAME", name)) for name in ("a", "b")]
    videos = [{"filename": f"{i}.mp4", "status": "ok", "score": i / 10} for i in range(10)]
    details.write_text(json.dumps({"format": 1, "videos": videos, "models": models, "crop_recipes": []}))
    labels.write_text("filename,label\n" + "".join(f"{i}.mp4,{'FAKE' if i > 4 else 'REAL'}\n" for i in range(10)))
    code, _, err = run_main(calibrate.main, "--predictions", details, "--labels", labels, "--out", tmp_path / "c.json")
    assert code == 2 and "weight" in err
    assert not (tmp_path / "c.json").exists()
