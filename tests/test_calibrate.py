"""calibrate.py as users run it: details and labels in, calibration, table and picture out."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.special import expit

import calibrate
from deepfake.scoring import calibration_fit as fit
from deepfake.scoring.calibration import check_models, read_calibration
from deepfake.scoring.calibration_report import explain
from deepfake.scoring.reliability import Estimate
from deepfake.scoring.results import NO_FACE, OK, VideoResult
from deepfake.scoring.tables import write_details

ROOT = Path(__file__).resolve().parents[1]
MODELS = [{"name": "m", "sha256": "a" * 64, "weight": 1.0, "aggregation": "confident", "crop_recipe": 0}]
RUN = {"models": MODELS, "crop_recipes": [{"detector": "mtcnn"}], "settings": {}}
TEMPERATURE = 2.5


@pytest.fixture
def data(tmp_path):
    """Details and labels, each in two kinds of file, of 240 videos whose logits are TEMPERATURE times too large."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, 240)
    fakes = rng.random(240) < expit(logits)
    scores = dict(zip((f"v{i}.mp4" for i in range(240)), expit(TEMPERATURE * logits)))
    results = {name: VideoResult(OK, float(score), "", {"m": float(score)}) for name, score in scores.items()}
    results["faceless.mp4"] = VideoResult(NO_FACE, reason="no face")
    results["unknown.mp4"] = VideoResult(OK, 0.5)
    for suffix in ("json", "csv"):
        write_details(tmp_path / f"details.{suffix}", results, RUN)
    real = next(name for name, fake in zip(scores, fakes) if not fake)
    entries = {name: {"label": "FAKE", "original": name.replace("v", "o")} for name in scores}
    entries |= {name: {"label": "REAL"} for name, fake in zip(scores, fakes) if not fake}
    entries |= {"faceless.mp4": {"label": "FAKE", "original": real}, "not predicted.mp4": {"label": "REAL"}}
    (tmp_path / "metadata.json").write_text(json.dumps(entries))
    rows = [f"{name},{int(entry['label'] == 'FAKE')}\n" for name, entry in entries.items()]
    (tmp_path / "labels.csv").write_text("".join(["filename,label\n", *rows]))
    return tmp_path


@pytest.fixture
def run(data, run_main):
    """`run(option, value, ...)` runs the command on the data, in this process -> (exit code, stdout, stderr)."""

    def call(*options, predictions=("details.json",), labels="metadata.json", out="x.calibration.json"):
        words = ["--predictions", *(str(data / name) for name in predictions)]
        words += ["--labels", str(data / labels), "--out", str(data / out), "--bootstrap", "5", *options]
        return run_main(calibrate.main, *words)

    return call


def test_from_details_to_a_calibration(run, data):
    code, message, _ = run("--bootstrap", "50")
    assert code == 0
    found = read_calibration(data / "x.calibration.json")
    assert found.temperature == pytest.approx(TEMPERATURE, rel=0.25)
    check_models(found, MODELS, RUN["crop_recipes"])
    assert found.reals + found.fakes == 240
    assert len(found.predictions["details.json"]) == len(found.labels["metadata.json"]) == 64
    assert found.figures["unseen"]["log_loss"][0] < found.figures["before"]["log_loss"][0]

    content = json.loads((data / "details.json").read_text())
    labels = json.loads((data / "metadata.json").read_text())
    reals = [v["score"] for v in content["videos"] if labels.get(v["filename"], {}).get("label") == "REAL"]
    alarms = [found.verdict(found.apply(score)) == "fake" for score in reals if score is not None]
    assert sum(alarms) == int(0.05 * len(alarms)) > 0, "the highest count that the rate allows"

    assert f"240 videos with score and label: {found.reals} real, {found.fakes} fake" in message
    assert "labels found for 241 of 242 predicted videos, by path" in message
    assert (
        "1 without a score (e.g. 'faceless.mp4'), 1 without a label (e.g. 'unknown.mp4'), 1 with a label but" in message
    )
    assert f"temperature {found.temperature:.3f} [" in message and "the scores were too sure" in message
    assert f"fake over  {found.fake_above:.4f}: {sum(alarms)} of {len(alarms)} reals called fake" in message
    assert "50 resamples of videos" in message, "each fake has an original of its own"
    picture = cv2.imread(str(data / "x.calibration.png"))
    assert picture.shape[0] > 500 and picture.std() > 20
    assert not list(data.glob(".partial*"))


def test_table_of_figures_is_what_the_file_holds(run, data):
    _, message, _ = run()
    figures = read_calibration(data / "x.calibration.json").figures
    (before,) = [line for line in message.splitlines() if line.startswith("before ")]
    values = [float(word) for word in before.split() if word[-1].isdigit() and word[0] != "["]
    assert values == pytest.approx([figures["before"][m][0] for m in ("log_loss", "brier", "auc", "ece")], abs=6e-5)
    assert [line.split("  ")[0] for line in message.splitlines()[6:11]] == [
        "after, same videos",
        "after, unseen videos",
        "isotonic, unseen videos",
        "after - before, unseen",
        "isotonic - after, unseen",
    ]


def test_a_table_gives_the_same_fit_but_knows_no_checkpoints(run, data):
    assert run(out="one.json")[0] == 0
    code, message, _ = run(predictions=["details.csv"], labels="labels.csv", out="two.json")
    assert code == 0 and "does not name its checkpoints" in message
    one, two = read_calibration(data / "one.json"), read_calibration(data / "two.json")
    assert (one.temperature, one.fake_above, one.real_below) == (two.temperature, two.fake_above, two.real_below)
    assert two.models is None and two.crop_recipes is None


def test_the_same_command_gives_the_same_file_and_the_seed_matters(run, data):
    for name, seed in (("a.json", "1"), ("b.json", "1"), ("c.json", "2")):
        run("--seed", seed, out=name)
    contents = [(data / name).read_bytes() for name in ("a.json", "b.json", "c.json")]
    assert contents[0] == contents[1] != contents[2]


def test_rates_can_be_chosen(run, data):
    run("--false-alarm-rate", "0.2", "--miss-rate", "0", "--plot", str(data / "here.png"))
    found = read_calibration(data / "x.calibration.json")
    assert (found.false_alarm_rate, found.miss_rate) == (0.2, 0.0)
    assert (data / "here.png").is_file() and not (data / "x.calibration.png").exists()
    strict = found.fake_above
    run("--false-alarm-rate", "0.01")
    assert read_calibration(data / "x.calibration.json").fake_above > strict


def test_predictions_in_several_files(run, data):
    content = json.loads((data / "details.json").read_text())
    half = len(content["videos"]) // 2
    for name, videos in (("one.json", content["videos"][:half]), ("two.json", content["videos"][half:])):
        (data / name).write_text(json.dumps({**content, "videos": videos}))
    assert run()[0] == 0
    whole = read_calibration(data / "x.calibration.json")
    code, message, _ = run(predictions=["one.json", "two.json"])
    assert code == 0 and "240 videos" in message
    parts = read_calibration(data / "x.calibration.json")
    assert parts.temperature == pytest.approx(whole.temperature) and set(parts.predictions) == {"one.json", "two.json"}


def test_originals_keep_their_fakes_in_the_resamples(run, data):
    entries = json.loads((data / "metadata.json").read_text())
    real = [name for name, entry in entries.items() if entry["label"] == "REAL"]
    for i, entry in enumerate(entries.values()):
        if entry["label"] == "FAKE":
            entry["original"] = real[i % len(real)]
    (data / "metadata.json").write_text(json.dumps(entries))
    assert "resamples of originals, each with its fakes" in run()[1]


def test_few_videos_are_reported_what_they_cannot_tell(run, data):
    lines = (data / "labels.csv").read_text().splitlines()
    few = [line for label in "01" for line in [v for v in lines if v.endswith(f",{label}") and v.startswith("v")][:10]]
    (data / "few.csv").write_text("\n".join([lines[0], *few]))
    code, message, _ = run(labels="few.csv")
    assert code == 0
    assert "10 reals are too few to find a rate of 5.0%: no error was allowed" in message
    assert "0 of 10 reals called fake, 0.0% [0.0%, 30.8%], 9.1% expected of new ones" in message


def _write(data, name, rows):
    (data / name).write_text("\n".join(["filename,label", *rows]) + "\n")


def test_refusals(run, data):
    names = [f"v{i}.mp4" for i in range(240)]
    _write(data, "one kind.csv", [f"{name},1" for name in names])
    _write(data, "few.csv", [f"{name},{i % 2}" for i, name in enumerate(names[:8])])
    _write(data, "swapped.csv", [f"{n},{1 - int(s)}" for n, s in _rows(data / "labels.csv")])
    _write(data, "strangers.csv", ["other.mp4,1"])
    other = json.loads((data / "details.json").read_text())
    other["videos"] = [{"filename": "new.mp4", "score": 0.5}]
    other["models"][0]["sha256"] = "b" * 64
    (data / "other.json").write_text(json.dumps(other))
    other["models"] = [{"name": "m"}]
    (data / "vague.json").write_text(json.dumps(other))
    cases = [
        ({"predictions": ["vague.json"]}, "expected name, sha256, weight, aggregation of each"),
        ({"labels": "one kind.csv"}, "0 real videos"),
        ({"labels": "few.csv"}, "4 real videos with score and label, of 4 originals; at least 5"),
        ({"labels": "strangers.csv"}, "labels know e.g. 'other.mp4', the predictions e.g. 'v0.mp4'"),
        ({"labels": "swapped.csv"}, "1 for fake?"),
        ({"labels": "nothing.csv"}, "nothing.csv: not a table of labels"),
        ({"labels": "details.csv"}, "found the columns 'filename', 'status', 'score'"),
        ({"predictions": ["labels.csv"]}, "labels.csv: no column status, score"),
        ({"predictions": ["metadata.json"]}, "metadata.json: not the details of a prediction"),
        ({"predictions": ["details.json", "details.json"]}, "name each video once"),
        ({"predictions": ["details.json", "other.json"]}, "other.json: scores of other models"),
        ({"out": "x.yaml"}, "x.yaml: a calibration is a file that ends in .json"),
    ]
    for options, message in cases:
        code, _, error = run(**{"out": "refused.json", **options})
        assert code == 2 and message in error and error.startswith("error: ") and error.count("\n") == 1, options
    assert run("--plot", str(data / "x.jpg"))[0] == 2
    assert not (data / "refused.json").exists() and not list(data.glob("*.png"))


def _rows(path):
    return [line.split(",") for line in path.read_text().splitlines()[1:]]


@pytest.mark.parametrize("option", [("--false-alarm-rate", "1"), ("--miss-rate", "-0.1"), ("--bootstrap", "0")])
def test_options_out_of_range(run, option):
    code, _, message = run(*option)
    assert code == 2 and option[0] in message


def test_scores_that_part_the_labels_are_left_as_they_are(run, data):
    videos = {f"v{i}.mp4": VideoResult(OK, 0.8 * (i % 2) + i / 1000) for i in range(20)}
    write_details(data / "apart.json", videos, RUN)
    _write(data, "apart.csv", [f"v{i}.mp4,{i % 2}" for i in range(20)])
    code, message, _ = run(predictions=["apart.json"], labels="apart.csv")
    found = read_calibration(data / "x.calibration.json")
    assert code == 0 and found.temperature == 1.0 and found.real_below == found.fake_above == 0.5
    assert "log loss names no temperature" in message and "uncertain: 0 of 20 videos" in message


def test_scores_off_center_get_an_intercept(run, data):
    rng = np.random.default_rng(0)
    logits = np.concatenate([rng.normal(-3, 1, 60), rng.normal(0, 1, 60)])
    videos = {f"v{i}.mp4": VideoResult(OK, float(score)) for i, score in enumerate(expit(logits))}
    write_details(data / "low.json", videos, RUN)
    _write(data, "low.csv", [f"v{i}.mp4,{i // 60}" for i in range(120)])
    code, message, _ = run("--bootstrap", "40", predictions=["low.json"], labels="low.csv")
    assert code == 0 and "an intercept helps" in message and "the scores were too low" in message
    assert "a threshold beyond 0.5" not in message
    found = read_calibration(data / "x.calibration.json")
    assert found.intercept == pytest.approx(4.5, abs=1.5) and found.cross_validated["platt"] < 0.4
    assert found.figures["unseen"]["log_loss"][0] == pytest.approx(found.cross_validated["platt"], abs=1e-6)
    assert (found.apply(expit(-3)) < 0.2) and (found.apply(expit(0)) > 0.8) and found.method == "platt"
    assert f"intercept {found.intercept:.3g}" in found.source
    assert f"{found.cross_validated['temperature']:.4f} by temperature alone" in message


def test_scores_that_an_intercept_does_not_help_keep_the_temperature(run, data):
    code, message, _ = run()
    assert code == 0 and "no intercept: its gain is within a standard error" in message
    found = read_calibration(data / "x.calibration.json")
    assert found.intercept == 0 and set(found.cross_validated) == {"temperature", "platt"}


@pytest.mark.parametrize(
    ("rows", "why", "auc"),
    [
        (lambda i, real: i % 2 if i < 8 else None, "4 real videos with score and label", True),
        (lambda i, real: 1, "0 real videos with score and label", False),
        (lambda i, real: 1 - real, "are the labels of these videos, and 1 for fake?", True),
    ],
    ids=["few", "one label", "swapped"],
)
def test_figures_are_printed_even_where_nothing_is_fitted(run, data, rows, why, auc):
    known = dict(_rows(data / "labels.csv"))
    labels = {f"v{i}.mp4": rows(i, int(known[f"v{i}.mp4"])) for i in range(240)}
    _write(data, "odd.csv", [f"{name},{label}" for name, label in labels.items() if label is not None])
    code, message, error = run(labels="odd.csv", out="refused.json")
    assert code == 2 and why in error and error.count("\n") == 1
    assert not (data / "refused.json").exists() and not list(data.glob("*.png"))
    (before,) = [line.split() for line in message.splitlines() if line.startswith("before ")]
    sure = [word for word in before if word.replace(".", "").isdigit()]
    assert len(sure) == 3 + auc and ("-" in before) == (not auc)


def test_labels_of_other_names_are_matched(run, data):
    lines = (data / "labels.csv").read_text().splitlines()
    rows = [
        f"C:\\clips\\{name.removesuffix('.mp4')};{'Fake' if label == '1' else 'Real'}"
        for name, label in _rows(data / "labels.csv")
    ]
    (data / "odd.txt").write_bytes("\r\n".join(["Video;Class", *rows]).encode("utf-16"))
    assert run(out="one.json")[0] == 0
    code, message, _ = run(labels="odd.txt", out="two.json")
    assert code == 0 and f"labels found for {len(lines) - 2} of 242 predicted videos, by path without suffix" in message
    one, two = read_calibration(data / "one.json"), read_calibration(data / "two.json")
    assert (one.temperature, one.fake_above) == (two.temperature, two.fake_above)


@pytest.mark.parametrize(
    ("change", "message"), [((-0.2, -0.1), ""), ((-0.1, 0.1), "may be chance"), ((0.1, 0.2), "does harm")]
)
def test_no_gain_on_unseen_videos_is_reported(change, message):
    sample = fit.Sample.of([0.1, 0.9, 0.6] * 5, [0, 1, 0] * 5, [str(i) for i in range(15)])
    assessed = fit.assess(sample, resamples=2)
    assessed.figures[fit.CHANGE]["log_loss"] = Estimate(sum(change) / 2, *change)
    lines = "\n".join(explain(sample, assessed, 2))
    assert [word for word in ("may be chance", "does harm") if word in lines] == ([message] if message else [])


def test_the_published_scores_of_real_clips(run, data, reference, mini_dfdc):
    """Seventeen clips are too few to calibrate on, and the command says so."""
    videos = {name: VideoResult(OK, video["label"]) for name, video in reference("predictions").items()}
    write_details(data / "mini.json", videos, RUN)
    code, message, _ = run("--bootstrap", "100", predictions=["mini.json"], labels=mini_dfdc)
    assert code == 0 and "17 videos with score and label: 9 real, 8 fake" in message
    assert "may be chance" in message and "too few to find a rate" in message
    labels = read_calibration(data / "x.calibration.json").labels
    assert set(labels) == {f"dfdc_train_part_{n}/metadata.json" for n in range(4)}


def test_as_a_program(data):
    words = ["--predictions", "details.json", "--labels", "metadata.json", "--out", "w/x.calibration.json"]
    command = [sys.executable, str(ROOT / "calibrate.py"), *words, "--bootstrap", "3"]
    done = subprocess.run(command, cwd=data, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (data / "w" / "x.calibration.json").is_file() and (data / "w" / "x.calibration.png").is_file()
