"""Second place's ensemble, and checkpoints of both families in one run, on real videos."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import predict_folder
from deepfake.faces.align import align_face
from deepfake.faces.detectors import RetinaFaceSettings
from deepfake.faces.detectors.retinaface import RetinaFace
from deepfake.media.video import iter_frames
from deepfake.models import build_model, published_to_own
from deepfake.published import SECOND_PLACE_NAMES
from tests.data.clips import cut, draw, gradient
from tests.data.predicting import tiny_checkpoint

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

FIRST = "tiny_first"
ARCHITECTURES = dict(zip(SECOND_PLACE_NAMES, ("xception", "wsdan_xception", "wsdan_efficientnet_b3")))
ENTRIES = dict(zip(SECOND_PLACE_NAMES, ("xception", "WSDAN:xception", "WSDAN:efficientnet-b3")))
WEIGHTS = (0.2, 0.7, 0.1)
SIZES = (299, 320, 300)


@pytest.fixture(scope="module")
def weights(tmp_path_factory, shared, reference) -> Path:
    """Second place's three checkpoints in their published layout with random weights, one of the other family."""
    folder = tmp_path_factory.mktemp("weights")
    for seed, (name, architecture) in enumerate(ARCHITECTURES.items()):
        torch.manual_seed(seed)
        network, own_key = build_model(architecture), published_to_own(architecture)
        own = network.state_dict()
        head = next(key for key in own if key in ("fc.weight", "classifier.weight"))
        own[head] *= 40  # so that scores differ from face to face
        torch.save(
            {"state_dict": {key: own[own_key(key)] for key in reference("models")[ENTRIES[name]]["keys"]}},
            folder / name,
        )
    tiny_checkpoint(folder / FIRST)
    shutil.copy(shared / "reference" / "RetinaFace-mobilenet0.25_Final.pth", folder / "mobilenet0.25_Final.pth")
    return folder


@pytest.fixture(scope="module")
def videos(mini_dfdc, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    cut(mini_dfdc / "dfdc_train_part_1" / "d0.mp4", folder / "face.mp4", 24)
    cut(mini_dfdc / "dfdc_train_part_1" / "d0.mp4", folder / "short.mp4", 4)
    draw(folder / "faceless.mp4", gradient(12))
    (folder / "empty.mp4").touch()
    return folder


@pytest.fixture
def run(run_main, weights):
    def call(*arguments: object) -> tuple[int, str, str]:
        words = [str(argument) for argument in arguments]
        if "--weights-dir" not in words:
            words += ["--weights-dir", str(weights)]
        return run_main(predict_folder.main, *words)

    return call


def by_hand(video: Path, weights: Path) -> tuple[float, list[float]]:
    """Second place's averaging step by step: the video's score, and the faces'."""
    settings = RetinaFaceSettings("mobilenet0.25-relu", confidence=0.8, nms=None, scale=0.5)
    detector = RetinaFace(settings, weights / "mobilenet0.25_Final.pth")
    networks = []
    for name, architecture in ARCHITECTURES.items():
        network, own_key = build_model(architecture).eval(), published_to_own(architecture)
        state = torch.load(weights / name, weights_only=True)["state_dict"]
        network.load_state_dict({own_key(key): value for key, value in state.items()})
        networks.append(network)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.4479, 0.3744, 0.3473), (0.2537, 0.2502, 0.2424)))
    scores = []
    for frame in iter_frames(video, (9, 19)):
        (faces,) = detector.detect([frame.image])
        largest = max(faces, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))
        picture = align_face(frame.image, np.array(largest.landmarks).astype(int), 320)
        batch = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        inputs = [
            functional.interpolate(batch, size=299, mode="bilinear") * 2 - 1,
            (batch - mean) / std,
            functional.interpolate((batch - mean) / std, size=300, mode="bilinear"),
        ]
        with torch.inference_mode():
            fake = [net(x).softmax(-1)[0, 1].item() for net, x in zip(networks, inputs)]
        scores.append(float(np.dot(fake, WEIGHTS)))
    return float(np.mean(scores)), scores


def test_second_places_averaging_is_reproduced(run, videos, weights, tmp_path):
    details = tmp_path / "d.json"
    arguments = (videos / "face.mp4", "--ensemble", "second_place", "--detector", "retinaface-mobilenet0.25")
    code, _, err = run(*arguments, "--output", tmp_path / "s.csv", "--details", details)
    assert code == 0, err
    content = json.loads(details.read_text())
    (video,) = content["videos"]
    score, faces = by_hand(videos / "face.mp4", weights)
    assert video["frames"] == [9, 19]
    assert video["score"] == pytest.approx(score, abs=1e-5)
    named = dict(zip(SECOND_PLACE_NAMES, WEIGHTS))
    weighted = [sum(named[name] * value for name, value in face["scores"].items()) for face in video["faces"]]
    assert weighted == pytest.approx(faces, abs=1e-5)
    assert len(set(weighted)) == 2 and min(weighted) > 0.001
    (recipe,) = content["crop_recipes"]
    assert (recipe["kind"], recipe["detector"], recipe["size"], recipe["max_faces"]) == (
        "aligned",
        "retinaface",
        320,
        25,
    )
    assert [model["weight"] for model in content["models"]] == pytest.approx(WEIGHTS)


def test_both_families_in_one_run(run, videos, tmp_path):
    models = (FIRST, "ckpt_e.pth", "xception-hg-2.pth")
    arguments = ("--test-dir", videos, "--models", *models, "--weights", 3, 1, 1, "--detector", "mtcnn", "--frames", 3)
    arguments += ("--precision", "float32")  # auto asks all networks of a run together
    code, out, _ = run(*arguments, "--output", tmp_path / "s.csv", "--details", tmp_path / "d.json")
    assert code == 3
    assert out.startswith("4 videos: 2 scored, 2 without a score (1 no_face, 1 unreadable; 0.5 in the submission)")
    content = json.loads((tmp_path / "d.json").read_text())
    assert [model["crop_recipe"] for model in content["models"]] == [0, 1, 1]
    assert [model["aggregation"] for model in content["models"]] == ["confident", "mean", "mean"]
    crop, aligned = content["crop_recipes"]
    assert crop["settings"] == aligned["settings"], "one detection serves both"
    found = {video["filename"]: video for video in content["videos"]}
    for name in ("face.mp4", "short.mp4"):
        scores = [found[name]["model_scores"][model] for model in models]
        assert found[name]["score"] == pytest.approx(np.average(scores, weights=(3, 1, 1)), abs=2e-6)
        boxes = [[face["box"] for face in found[name]["faces"] if face["recipe"] == recipe] for recipe in (0, 1)]
        assert boxes[0] == boxes[1] and len(boxes[0]) == 3
    for model in models:  # an ensemble changes nothing for its members
        one = (
            "--models",
            model,
            "--frames",
            3,
            "--precision",
            "float32",
            *(("--detector", "mtcnn") if model != FIRST else ()),
        )
        assert run(videos / "face.mp4", *one, "--output", tmp_path / "one.csv")[0] == 0
        alone = float(next(csv.DictReader((tmp_path / "one.csv").open()))["label"])
        assert alone == pytest.approx(found["face.mp4"]["model_scores"][model], abs=2e-6)


def test_a_mix_of_ensembles_keeps_each_ones_frames(run, videos, tmp_path):
    """As configs/ensembles/both.json, with a small network for first place's seven."""
    first = {"frames": {"spread": 3}, "max_faces": 127, "aggregation": "confident", "models": {FIRST: 1}}
    second = {"frames": {"every": 10}, "max_faces": 1, "aggregation": "mean", "models": {"ckpt_e.pth": 1}}
    for name, content in (("first", first), ("second", second), ("mix", {"ensembles": {"first": 1, "second": 1}})):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    scores = []
    for name in ("first", "second", "mix"):
        more = () if name == "first" else ("--detector", "mtcnn")
        arguments = (videos / "face.mp4", "--ensemble", tmp_path / f"{name}.json", *more)
        arguments += ("--precision", "float32")
        assert run(*arguments, "--output", tmp_path / "s.csv", "--details", tmp_path / "d.json")[0] == 0
        (video,) = json.loads((tmp_path / "d.json").read_text())["videos"]
        scores.append(video["score"])
    assert scores[2] == pytest.approx((scores[0] + scores[1]) / 2, abs=2e-6)
    by_recipe = [[face["frame"] for face in video["faces"] if face["recipe"] == recipe] for recipe in (0, 1)]
    assert by_recipe == [[0, 11, 23], [9]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ensemble", "second_place"], "RetinaFace-Resnet50-fixed.pth: no such file; RetinaFace needs its published"),
        (["--ensemble", "second_place"], "(--detector mtcnn needs none)"),
        (["--ensemble", "third_place"], "third_place: no readable ensemble: No such file"),
        (["--ensemble", "first_place"], "fetch first place's with: bash download_weights.sh"),
        (["--ensemble", "second_place", "--weights-dir", "."], "second place's are on the file host that github.com/"),
        (["--ensemble", "second_place", "--frames", "3"], "--weights and --frames go with --models"),
        (["--models", FIRST, "--weights", "1", "2"], "expected 1 numbers more than 0"),
        (["--models", FIRST, "--weights", "-1"], "expected 1 numbers more than 0"),
        (["--models", FIRST, "--weights", "nan"], "expected 1 numbers more than 0"),
        (["--models", FIRST, "--detector", "mtcnn"], "another detector is for networks that see aligned faces"),
        (["--models", FIRST, "--ensemble", "both"], "not allowed with argument"),
        ([], "one of the arguments --models --ensemble is required"),
    ],
)
def test_what_cannot_be_used_is_reported(run, videos, tmp_path, arguments, message):
    code, _, err = run(videos, "--output", tmp_path / "s.csv", *arguments)
    assert code == 2
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_other_weights_or_detectors_never_reuse_scores(run, videos, tmp_path, monkeypatch):
    from deepfake.scoring.result_journal import ResultJournal

    record = ResultJournal.record

    def interrupt(self, path, result):
        record(self, path, result)
        raise KeyboardInterrupt

    common = ("--test-dir", videos, "--models", FIRST, "ckpt_e.pth", "--frames", 1, "--output", tmp_path / "s.csv")
    with monkeypatch.context() as patch:
        patch.setattr(ResultJournal, "record", interrupt)
        assert run(*common, "--detector", "mtcnn")[0] == 130
        assert run(*common, "--detector", "mtcnn")[0] == 130
    journal = (tmp_path / "s.csv.journal").read_bytes()
    assert "continuing" not in run(*common, "--detector", "mtcnn", "--weights", 1, 2)[2]
    (tmp_path / "s.csv.journal").write_bytes(journal)
    assert "continuing" not in run(*common, "--detector", "retinaface-mobilenet0.25")[2]
    (tmp_path / "s.csv.journal").write_bytes(journal)
    assert "continuing" in run(*common, "--detector", "mtcnn")[2]


def test_the_shell_command_takes_an_ensemble(videos, weights, project_root, tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable, "WEIGHTS_DIR": str(weights), "OMP_NUM_THREADS": "1"}
    folder = tmp_path / "test videos"
    folder.mkdir()
    shutil.copy(videos / "short.mp4", folder)
    script = str(project_root / "predict_submission.sh")
    command = ["bash", script, str(folder), "s.csv", "second_place", "--detector", "mtcnn", "--details", "d.json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (video,) = json.loads((tmp_path / "d.json").read_text())["videos"]
    assert video["model_scores"].keys() == set(SECOND_PLACE_NAMES)
    assert video["frames"] == [3], "of fewer than ten frames the last"
