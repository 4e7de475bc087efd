"""predict_folder.py: tables, statuses, bad videos, bad checkpoints, stopped runs; most of it in this process."""

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import predict_folder
from deepfake.faces.detectors import PRESETS
from deepfake.faces.recipes import CropRecipe
from deepfake.media.video import iter_frames
from deepfake.models.precision import fastest_precision
from tests.data.clips import cut, draw, gradient
from tests.data.predicting import FACELESS, SCORED, UNREADABLE, make_zoo, tiny_checkpoint

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

MODEL = "tiny_a"
FRAMES = "4"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Two models of one crop recipe, one with another margin, one with another detector setting and input size."""
    folder = tmp_path_factory.mktemp("weights")
    tiny_checkpoint(folder / MODEL)
    tiny_checkpoint(folder / "tiny_b", seed=1)
    tiny_checkpoint(folder / "tiny_wide", crop=CropRecipe(margin=5))
    strict = replace(PRESETS["prediction"], scale=1.0, min_face=100)
    tiny_checkpoint(folder / "tiny_other", input_size=96, crop=CropRecipe(settings=strict))
    return folder


@pytest.fixture(scope="module")
def source(mini_dfdc) -> Path:
    return mini_dfdc / "dfdc_train_part_1" / "d0.mp4"


@pytest.fixture(scope="module")
def zoo(source, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("zoo") / "Videos mit ä"
    make_zoo(folder, source)
    return folder


@pytest.fixture
def run(run_main, weights):
    """`run(argument, ...)`: the command's exit code, output and errors, with the tiny model unless others are named."""

    def call(*arguments: object) -> tuple[int, str, str]:
        words = [str(argument) for argument in arguments]
        if "--models" not in words and "--ensemble" not in words:
            words += ["--models", MODEL]
        if "--weights-dir" not in words:
            words += ["--weights-dir", str(weights)]
        if "--frames" not in words and "--ensemble" not in words:
            words += ["--frames", FRAMES]
        return run_main(predict_folder.main, *words)

    return call


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def without_seconds(details: Path) -> dict:
    content = json.loads(details.read_text())
    for video in content["videos"]:
        assert video.pop("seconds") >= 0
    return content


@pytest.fixture(scope="module")
def zoo_run(zoo, weights, tmp_path_factory, project_root):
    """One run over all kinds of videos, from another folder, as users start it."""
    folder = tmp_path_factory.mktemp("out")
    command = [sys.executable, str(project_root / "predict_folder.py"), "--test-dir", str(zoo), "--frames", FRAMES]
    command += ["--weights-dir", str(weights), "--models", MODEL, "tiny_b", "--workers", "2"]
    command += ["--output", "tables/submission.csv", "--details", "details.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done, folder / "tables" / "submission.csv", folder / "details.json"


def test_bad_videos_do_not_stop_a_run(zoo_run):
    done, submission, _ = zoo_run
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("14 videos: 9 scored, 5 without a score (1 no_face, 4 unreadable; 0.5 in the submission)")
    assert sorted(path.name for path in submission.parent.iterdir()) == ["submission.csv"]  # and no journal


def test_the_submission_is_valid(zoo_run):
    _, submission, _ = zoo_run
    assert submission.read_text(encoding="utf-8").startswith("filename,label\n")
    table = {row["filename"]: row["label"] for row in rows(submission)}
    assert list(table) == sorted(table)
    assert table.keys() == {*SCORED, *FACELESS, *UNREADABLE}
    assert {name for name, label in table.items() if label == "0.500000"} == {*FACELESS, *UNREADABLE}
    assert all(0 <= float(label) <= 1 for label in table.values())


def test_the_details_tell_what_was_seen(zoo_run, weights):
    _, submission, details = zoo_run
    content = json.loads(details.read_text())
    assert content["trained_groups"] == {model["name"]: None for model in content["models"]}, "its spec says nothing"
    assert content["space"] == "frame" and "full frame" in content["note"]
    assert [model["name"] for model in content["models"]] == [MODEL, "tiny_b"]
    assert all(len(model["sha256"]) == 64 and model["input_size"] == 64 for model in content["models"])
    assert content["settings"]["precision"] in ("float32", fastest_precision("cpu"))
    (recipe,) = content["crop_recipes"]
    assert recipe["settings"] == PRESETS["prediction"].to_dict()
    assert (recipe["kind"], recipe["detector"], recipe["margin"]) == ("crop", "mtcnn", 3)
    assert (recipe["frames"], recipe["max_faces"]) == ({"count": 4}, 127)
    videos = {video["filename"]: video for video in content["videos"]}
    labels = {row["filename"]: float(row["label"]) for row in rows(submission)}
    for name in SCORED:
        video = videos[name]
        assert video["status"] == "ok" and video["reason"] == ""
        by_model = [video["model_scores"][model] for model in (MODEL, "tiny_b")]
        assert video["score"] == pytest.approx(sum(by_model) / 2, abs=2e-6)
        assert labels[name] == pytest.approx(video["score"], abs=1e-6)
        assert video["faces"] and {face["frame"] for face in video["faces"]} <= set(video["frames"])
        for face in video["faces"]:
            x1, y1, x2, y2 = face["box"]
            assert 140 < x2 - x1 < 300 and 200 < y2 - y1 < 400  # pixels of the full 512x512 frame, not of half of it
            assert face["scores"].keys() == {MODEL, "tiny_b"}
    for name in UNREADABLE:
        assert (videos[name]["status"], videos[name]["score"], videos[name]["faces"]) == ("unreadable", None, [])
        assert name in videos[name]["reason"]
    for name in FACELESS:
        assert (videos[name]["status"], videos[name]["score"]) == ("no_face", None)
        assert len(videos[name]["frames"]) == 4
    assert videos["one frame.mp4"]["frames"] == [0]
    assert videos["whole.mp4"]["frames"] == [0, 3, 7, 11]
    upright, turned = videos["whole.mp4"]["faces"][0]["box"], videos["rotated.mp4"]["faces"][0]["box"]
    assert turned == pytest.approx(upright, abs=8)  # compressed lying, shown upright
    assert videos["whole.mp4"]["score"] == videos["fünf Gesichter.MOV"]["score"]


def test_a_details_table_leaves_missing_scores_empty(zoo, run, tmp_path):
    out, details = tmp_path / "s.csv", tmp_path / "d.csv"
    arguments = (zoo / "whole.mp4", zoo / "empty.mp4", zoo / "faceless.mp4", "--output", out, "--details", details)
    code, text, err = run(*arguments, "--models", MODEL, "tiny_b")
    assert code == 3
    assert text.splitlines()[-1].startswith("3 videos: 1 scored, 2 without a score (1 no_face, 1 unreadable")
    assert "no score: empty.mp4: unreadable: " in err
    whole, empty, faceless = rows(details)
    head = ["filename", "status", "score", "faces", "frames", MODEL, "tiny_b"]
    assert list(whole) == [*head, "seconds", "reason", "probability", "verdict", "doubts"]
    assert whole["probability"] == whole["score"] and whole["verdict"] == "uncertain"
    assert (empty["probability"], empty["verdict"]) == ("", "")
    assert (whole["status"], whole["faces"], whole["frames"]) == ("ok", "4", "4")
    assert float(whole["score"]) == pytest.approx((float(whole[MODEL]) + float(whole["tiny_b"])) / 2, abs=2e-6)
    assert (empty["status"], empty["score"], empty[MODEL], empty["frames"]) == ("unreadable", "", "", "0")
    assert (faceless["status"], faceless["score"], faceless[MODEL], faceless["frames"]) == ("no_face", "", "", "4")
    assert [row["label"] for row in rows(out)] == [whole["score"], "0.500000", "0.500000"]


def test_a_video_over_a_limit_is_reported_with_the_option(source, run, tmp_path):
    code, _, err = run(source, "--max-frames", 10, "--output", tmp_path / "scores.csv")
    assert code == 3
    assert "d0.mp4: more than 10 frames, the limit for one video (--max-frames raises the limit)" in err


def test_all_scored_ends_well(zoo, run, tmp_path):
    code, text, err = run(zoo / "sub", "--output", tmp_path / "s.csv", "--precision", "bf16", "--device", "cpu")
    assert code == 0, err
    assert text.splitlines()[-1].startswith("1 videos: 1 scored, 0 without a score")
    assert [row["filename"] for row in rows(tmp_path / "s.csv")] == ["whole.mp4"]


def test_a_folder_of_pictures(source, run, tmp_path):
    """Pictures of all kinds are judged like the frame that they show, and one line says what was left out."""
    folder = tmp_path / "pictures"
    (folder / "report").mkdir(parents=True)
    frames = [Image.fromarray(frame.image) for frame in iter_frames(source, range(3))]
    frames[0].save(folder / "a.png")
    frames[0].save(folder / "b.tiff")
    frames[0].save(folder / "c.jpg", format="PNG")
    frames[0].save(folder / "d.webp", lossless=True, save_all=True, append_images=frames[1:], duration=100)
    frames[0].save(folder / "report" / "old.png")
    frames[0].save(folder / ".hidden.png")
    (folder / "e.jpg").write_text("no picture")
    (folder / "notes.txt").touch()
    details = tmp_path / "d.csv"
    words = ("--output", tmp_path / "s.csv", "--details", details, "--report", folder / "report", "--device", "cpu")
    code, _, err = run(folder, *words, "--precision", "float32")
    assert code == 3
    assert "left out: 1 file with another suffix (.txt), 1 hidden file or folder\n" in err
    png, tiff, named, animation, broken = rows(details)
    assert png["status"] == "ok" and png["frames"] == "1"
    assert png["score"] == tiff["score"] == named["score"]
    assert (animation["filename"], animation["status"], animation["frames"]) == ("d.webp", "ok", "3")
    assert broken["status"] == "unreadable" and "e.jpg: not a video file" in broken["reason"]


def test_models_with_different_crop_recipes_see_their_own_faces(zoo, run, tmp_path):
    details = tmp_path / "d.json"
    video = zoo / "sub" / "whole.mp4"
    models = (MODEL, "tiny_b", "tiny_wide", "tiny_other")
    code, _, err = run(video, "--output", tmp_path / "s.csv", "--details", details, "--models", *models)
    assert code == 0, err
    content = json.loads(details.read_text())
    assert [model["crop_recipe"] for model in content["models"]] == [0, 0, 1, 2]
    faces = content["videos"][0]["faces"]
    of = [[face for face in faces if face["recipe"] == recipe] for recipe in range(3)]
    assert [len(part) for part in of] == [4, 4, 4]
    assert [face["scores"].keys() for face in (part[0] for part in of)] == [
        {MODEL, "tiny_b"},
        {"tiny_wide"},
        {"tiny_other"},
    ]
    assert of[0][0]["box"] == of[1][0]["box"] != of[2][0]["box"]
    assert of[0][0]["crop_size"] > of[1][0]["crop_size"]  # a wider margin is a larger crop
    for model in models:  # an ensemble changes nothing for its members
        code, _, _ = run(video, "--output", tmp_path / "s.csv", "--details", tmp_path / "one.json", "--models", model)
        alone = json.loads((tmp_path / "one.json").read_text())["videos"][0]
        assert alone["score"] == pytest.approx(content["videos"][0]["model_scores"][model], abs=2e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--test-dir", "{tmp}/nowhere"], "nowhere: no such file or folder"),
        (["--test-dir", "{tmp}"], "no video or picture in it"),
        (["{zoo}", "--details", "d.txt"], "d.txt: details are written as .csv or .json"),
        (["{zoo}", "--output", "{tmp}"], "is a folder"),
        (["{zoo}", "--output", "{tmp}/x.csv", "--details", "{tmp}/x.csv"], "named for both"),
        (["{zoo}", "--models", "nonesuch"], "nonesuch: no such checkpoint"),
        (["{zoo}", "--models", MODEL, MODEL], "each once"),
        (["{zoo}", "--weights-dir", "{tmp}", "--models", MODEL], "no such checkpoint"),
    ],
)
def test_what_cannot_be_used_is_reported_in_one_line(run, zoo, tmp_path, arguments, message):
    words = [word.format(tmp=tmp_path, zoo=zoo) for word in arguments]
    if "--output" not in words:
        words += ["--output", str(tmp_path / "s.csv")]
    code, _, err = run(*words)
    assert code == 2
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_cuda_that_is_not_there_is_reported(run, zoo, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    code, _, err = run(zoo, "--output", tmp_path / "s.csv", "--device", "cuda")
    assert code == 2
    assert "torch sees no CUDA device here; use --device cpu" in err


def test_no_videos_named_is_a_usage_error(run):
    code, _, err = run()
    assert code == 2
    assert "name some, or a folder with --test-dir" in err


@pytest.mark.parametrize("kind", ["truncated", "code", "other"])
def test_a_bad_checkpoint_stops_before_any_video(run, zoo, weights, tmp_path, kind):
    folder = tmp_path / "weights"
    folder.mkdir()
    data = (weights / MODEL).read_bytes()
    name = "bad_DeepFakeClassifier_tf_efficientnet_b0_ns_0_last" if kind == "other" else "bad"
    if kind == "truncated":
        (folder / name).write_bytes(data[: len(data) // 2])
    elif kind == "code":
        torch.save({"state_dict": {}, "trap": _Trap(tmp_path / "trace")}, folder / name)
    else:
        torch.save({"state_dict": torch.load(weights / MODEL, weights_only=True)["state_dict"]}, folder / name)
    code, _, err = run(zoo, "--output", tmp_path / "s.csv", "--weights-dir", folder, "--models", name)
    assert code == 2
    assert f"{folder / name}: " in err
    assert {"truncated": "damaged", "code": "refused", "other": "keys missing: encoder."}[kind] in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["weights"]  # no trace, no output


class _Trap:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.fixture(scope="module")
def many(source, tmp_path_factory) -> Path:
    """Eight short videos, two of them bad."""
    folder = tmp_path_factory.mktemp("many")
    for i in range(6):
        cut(source, folder / f"v{i}.mp4", 2 + i)
    draw(folder / "no face.mp4", gradient(3))
    (folder / "empty.mp4").touch()
    return folder


def _command(project_root, weights, many, out, *more: str) -> list[str]:
    command = [sys.executable, str(project_root / "predict_folder.py"), "--test-dir", str(many), "--workers", "1"]
    command += ["--weights-dir", str(weights), "--models", MODEL, "--frames", FRAMES]
    return [*command, "--output", str(out / "s.csv"), "--details", str(out / "d.json"), *more]


def _journal_lines(out: Path) -> int:
    path = out / "s.csv.journal"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_continues_and_ends_as_a_clean_one(stop, many, weights, run, project_root, tmp_path):
    clean, out = tmp_path / "clean", tmp_path / "out"
    options = ("--test-dir", many, "--output", clean / "s.csv", "--details", clean / "d.json")
    assert run(*options)[0] == 3
    process = subprocess.Popen(
        _command(project_root, weights, many, out),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while _journal_lines(out) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, stop) if stop == signal.SIGINT else process.kill()
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    if stop == signal.SIGINT:
        assert process.returncode == 130, err
        assert "run the same command again to continue" in err
    else:
        assert process.returncode == -signal.SIGKILL
    assert not (out / "s.csv").exists() and not (out / "d.json").exists()
    finished = _journal_lines(out) - 1
    assert 2 <= finished < 8
    with (out / "s.csv.journal").open("ab") as file:
        file.write(b'["half a li')  # as a kill in the middle of writing leaves it
    code, _, err = run("--test-dir", many, "--output", out / "s.csv", "--details", out / "d.json")
    assert code == 3
    assert f"continuing: {finished} of 8 videos are done already" in err
    assert (out / "s.csv").read_bytes() == (clean / "s.csv").read_bytes()
    assert without_seconds(out / "d.json") == without_seconds(clean / "d.json")
    assert sorted(path.name for path in out.iterdir()) == ["d.json", "s.csv"]


@pytest.fixture
def stopped(many, run, tmp_path, monkeypatch):
    """A run that Ctrl-C ended after three videos; its output's name."""
    out = tmp_path / "s.csv"
    from deepfake.scoring.result_journal import ResultJournal

    record = ResultJournal.record

    def interrupt(self, path, result):
        record(self, path, result)
        if _journal_lines(tmp_path) >= 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ResultJournal, "record", interrupt)
        assert run("--test-dir", many, "--output", out, "--workers", "1")[0] == 130
    assert _journal_lines(tmp_path) == 4
    return out


def test_other_settings_never_reuse_scores(stopped, many, run):
    code, _, err = run("--test-dir", many, "--output", stopped, "--frames", "3")
    assert code == 3
    assert "continuing" not in err


def test_other_models_never_reuse_scores(stopped, many, run, weights, tmp_path):
    tiny_checkpoint(tmp_path / "weights" / MODEL, seed=5)  # of the same name
    code, _, err = run("--test-dir", many, "--output", stopped, "--weights-dir", tmp_path / "weights")
    assert code == 3
    assert "continuing" not in err


def test_overwrite_starts_over(stopped, many, run):
    assert "continuing" not in run("--test-dir", many, "--output", stopped, "--overwrite")[2]


def test_a_changed_video_is_scored_again(stopped, many, run):
    done = [json.loads(line)[0] for line in Path(f"{stopped}.journal").read_text().splitlines()[1:]]
    name = done[0].rsplit(" ", 2)[0]
    os.utime(name)
    assert "continuing: 2 of 8" in run("--test-dir", many, "--output", stopped)[2]


def test_a_continued_run_computes_as_it_began(many, run, tmp_path, monkeypatch, request):
    monkeypatch.setattr("deepfake.prediction.precision_choice.fastest_precision", lambda device: "bf16")
    stopped = request.getfixturevalue("stopped")
    began = Path(f"{stopped}.journal").read_text().splitlines()[0]
    assert '"precision": "bf16"' in began

    def never(*_):
        raise AssertionError("tried again")

    monkeypatch.setattr("deepfake.prediction.precision_choice.try_precision", never)
    code, _, err = run("--test-dir", many, "--output", stopped, "--details", tmp_path / "d.json")
    assert code == 3 and "continuing: 3 of 8" in err
    assert "bf16: scores of 21 faces of 6 videos are " in err
    settings = json.loads((tmp_path / "d.json").read_text())["settings"]
    assert settings == json.loads(began)["run"]["settings"]


def test_fewer_bits_that_would_change_scores_are_reported(many, run, weights, tmp_path, monkeypatch):
    monkeypatch.setattr("deepfake.prediction.precision_choice.fastest_precision", lambda device: "bf16")
    for module in ("precision_check", "precision_trial"):
        monkeypatch.setattr(f"deepfake.prediction.{module}.TRIAL_TOLERANCE", 0.0)
    code, _, err = run("--test-dir", many, "--output", tmp_path / "s.csv")
    assert code == 3
    assert f"float32: in bf16 scores of {MODEL} are off by " in err
    assert "; --precision bf16 takes it all the same" in err


def test_a_check_that_finds_scores_off_is_a_warning_and_in_the_details(many, run, tmp_path, monkeypatch, request):
    monkeypatch.setattr("deepfake.prediction.precision_choice.fastest_precision", lambda device: "bf16")
    monkeypatch.setattr("deepfake.prediction.precision_choice.CHECK_EVERY", 1)
    monkeypatch.setattr("deepfake.prediction.precision_check.REDUCED_TOLERANCE", 0.0)
    stopped = request.getfixturevalue("stopped")
    code, _, err = run("--test-dir", many, "--output", stopped, "--details", tmp_path / "d.json")
    assert code == 3 and "continuing: 3 of 8" in err
    content = json.loads((tmp_path / "d.json").read_text())
    scored = {video["filename"]: video for video in content["videos"] if video["score"] is not None}
    assert all(video["precision_check"]["kept"] is False for video in scored.values())
    check = content["settings"]["precision_check"]
    worst = max(scored, key=lambda name: scored[name]["precision_check"]["difference"])
    assert (check["checked"], check["replaced"], check["farthest"]) == (len(scored), len(scored), worst)
    assert f"warning: scores of {len(scored)} of {len(scored)} videos checked in float32 differ by up to" in err
    code, _, err = run("--test-dir", many, "--output", tmp_path / "exact.csv", "--precision", "float32")
    assert "warning" not in err and rows(tmp_path / "exact.csv") == rows(stopped)


def test_a_full_disk_is_reported_and_loses_nothing(many, weights, run, project_root, tmp_path):
    probe = subprocess.run(["unshare", "-rm", "true"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("this system lets nobody make a name space")
    out = tmp_path / "out"
    out.mkdir()
    # A file system of two pages over the output folder, in a name space that ends with the command.
    script = textwrap.dedent("""
        set -e
        mount -t tmpfs -o size=8k tmpfs "$1"
        folder=$1; shift
        code=0; "$@" || code=$?
        find "$folder" -name '.partial-*' | grep . && exit 99
        find "$folder" -name '*.csv' | grep . && exit 98
        exit $code
    """)
    command = ["unshare", "-rm", "bash", "-c", script, "full", str(out), *_command(project_root, weights, many, out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "the disk is full" in done.stderr
    assert "run the same command again to continue" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_shell_command_scores_a_folder(zoo, weights, project_root, tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable, "WEIGHTS_DIR": str(weights), "MODELS": f"{MODEL} tiny_b"}
    command = ["bash", str(project_root / "predict_submission.sh"), str(zoo / "sub"), "s.csv", "--details", "d.json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [row["filename"] for row in rows(tmp_path / "s.csv")] == ["whole.mp4"]
    assert json.loads((tmp_path / "d.json").read_text())["videos"][0]["model_scores"].keys() == {MODEL, "tiny_b"}


def test_the_shell_command_names_missing_checkpoints(project_root, tmp_path):
    script = str(project_root / "predict_submission.sh")
    environment = {**os.environ, "PYTHON": sys.executable, "WEIGHTS_DIR": str(tmp_path)}
    (tmp_path / "a.mp4").touch()
    done = subprocess.run(["bash", script, str(tmp_path), "s.csv"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("_DeepFakeClassifier_tf_efficientnet_b7_ns_0_") == 7
    assert "bash download_weights.sh" in done.stderr
    for arguments in ([], ["videos"]):
        done = subprocess.run(["bash", script, *arguments], env=environment, capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.startswith("usage: bash predict_submission.sh TEST_DIR CSV")


def test_few_videos_are_not_compiled_and_that_is_reported(source, run, tmp_path):
    cut(source, tmp_path / "a.mp4", 2)
    code, _, message = run(tmp_path / "a.mp4", "--compile", "--output", tmp_path / "s.csv")
    assert code == 0
    assert "not compiled: 1 videos are done in less time than compiling takes" in message


def test_compiling_is_for_torch(run, tmp_path):
    code, _, message = run(tmp_path, "--compile", "--backend", "onnx")
    assert code == 2 and "--compile is for --backend torch" in message
