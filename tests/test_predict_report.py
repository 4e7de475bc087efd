"""predict_folder.py --report, --aggregate and --calibration on real videos."""

import csv
import json
import os
import shutil
import time
from pathlib import Path

import pytest

import predict_folder
from deepfake.faces.tracking import MIN_PERSON_FACES
from deepfake.media.video import VideoError
from deepfake.scoring.calibration import Calibration, calibrate_scores, model_fingerprints, write_calibration
from deepfake.scoring.tables import read_details
from deepfake.storage.locks import writing_file, writing_folder
from tests.data.clips import cut, draw, gradient
from tests.data.predicting import tiny_checkpoint

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

TINY_RUN = ("--models", "tiny", "--frames", 2)
MODEL = "ref_DeepFakeClassifier_tf_efficientnet_b2_ns_0_last"


@pytest.fixture(scope="module")
def weights(tmp_path_factory, reference_checkpoint) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_checkpoint(folder / "tiny")
    (folder / MODEL).symlink_to(reference_checkpoint)
    return folder


@pytest.fixture(scope="module")
def videos(mini_dfdc, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    (street,) = mini_dfdc.glob("*/video.mp4")
    cut(street, folder / "street.mp4", 48)
    cut(mini_dfdc / "dfdc_train_part_1" / "d0.mp4", folder / "one.mp4", 12)
    draw(folder / "faceless.mp4", gradient(4))
    (folder / "empty.mp4").touch()
    return folder


@pytest.fixture
def run(run_main, weights):
    def call(*arguments: object) -> tuple[int, str]:
        code, _, err = run_main(predict_folder.main, *arguments, "--weights-dir", weights)
        return code, err

    return call


def label(path: Path) -> float:
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    return float(row["label"])


def test_each_person_of_a_crowd_is_judged_and_the_highest_decides(run, videos, tmp_path):
    street, out = videos / "street.mp4", tmp_path / "s.csv"
    common = (street, "--models", MODEL, "--frames", 4, "--output", out)
    code, err = run(*common, "--aggregate", "max-person", "--report", tmp_path / "report")
    assert code == 0, err
    content = json.loads((tmp_path / "report" / "street.mp4.json").read_text())
    persons = content["persons"]
    deciding = [p for p in persons if p["faces"] >= MIN_PERSON_FACES]
    assert len(persons) > len(deciding) >= 2
    assert content["score"] == max(p["score"] for p in deciding) == pytest.approx(label(out), abs=1e-6)
    for person in persons:
        own = [f for f in content["faces"] if f["person"] == person["person"]]
        assert len({f["frame"] for f in own}) == len(own) == person["faces"]
        assert person["score"] == pytest.approx(sum(f["scores"][MODEL] for f in own) / len(own), abs=2e-6)
        assert ("too few faces" in person["note"]) == (person["faces"] < MIN_PERSON_FACES)
    assert any(doubt.startswith("small faces") for doubt in content["doubts"])
    page = (tmp_path / "report" / "street.mp4.html").read_text()
    assert page.count("<svg") == len(deciding) and page.count("activation map over the face") == 4
    run(*common, "--aggregate", "mean")
    mean = sum(f["scores"][MODEL] for f in content["faces"]) / len(content["faces"])
    assert label(out) == pytest.approx(mean, abs=2e-6) and mean < content["score"]


def test_a_folder_gets_a_page_for_each_video_and_a_table(run, videos, tmp_path):
    code, _ = run("--test-dir", videos, *TINY_RUN, "--output", tmp_path / "s.csv", "--report", tmp_path / "r")
    assert code == 3
    names = ("empty.mp4", "faceless.mp4", "one.mp4", "street.mp4")
    assert {path.name for path in (tmp_path / "r").iterdir()} == {
        "index.html",
        *(f"{name}{suffix}" for name in names for suffix in (".html", ".json")),
    }
    found = {name: json.loads((tmp_path / "r" / f"{name}.json").read_text()) for name in names}
    assert [found[name]["verdict"] for name in names[:2]] == [None, None]
    assert found["faceless.mp4"]["not_judged"] == ["the video: no face was found"]
    assert found["one.mp4"]["verdict"] in ("real", "uncertain", "fake") and len(found["one.mp4"]["persons"]) == 1
    assert found["one.mp4"]["doubts"] == ["few faces: 2 in 2 frames, where 8 or more are wanted"]
    index = (tmp_path / "r" / "index.html").read_text()
    assert all(f'href="{name}.html"' in index for name in names)


def test_pictures_are_judged_too(run, videos, tmp_path):
    from deepfake.media.images import write_image
    from deepfake.media.video import iter_spread

    (frame,) = iter_spread(videos / "one.mp4", 1)
    write_image(tmp_path / "portrait.png", frame.image)
    code, err = run(
        tmp_path / "portrait.png", "--models", "tiny", "--output", tmp_path / "s.csv", "--report", tmp_path / "r"
    )
    assert code == 0, err
    content = json.loads((tmp_path / "r" / "portrait.png.json").read_text())
    assert content["frames"] == [0] and len(content["faces"]) == 1
    assert "frame 0" in (tmp_path / "r" / "portrait.png.html").read_text()


@pytest.fixture
def calibrated(run, videos, tmp_path):
    """A calibration for the tiny model, its file, and what the run without it gave."""
    details = tmp_path / "d.json"
    common = (videos / "one.mp4", "--models", "tiny", "--frames", 2, "--output", tmp_path / "s.csv")
    run(*common, "--details", details)
    plain = json.loads(details.read_text())
    calibration = Calibration(
        temperature=3.0, intercept=0.5, real_below=0.05, fake_above=0.1, false_alarm_rate=0.05, miss_rate=0.05,
        reals=9, fakes=8,
        models=model_fingerprints(plain["models"]), crop_recipes=plain["crop_recipes"],
        predictions={"d.json": "0" * 64}, labels={"l.csv": "0" * 64}, figures={},
    )  # fmt: skip
    write_calibration(tmp_path / "tiny.calibration.json", calibration)
    return common, tmp_path / "tiny.calibration.json", plain


def test_a_calibration_turns_scores_into_probabilities(run, calibrated, tmp_path):
    common, file, plain = calibrated
    code, err = run(*common, "--calibration", file, "--details", tmp_path / "d.json", "--report", tmp_path / "r")
    assert code == 0, err
    (before,), content = plain["videos"], json.loads((tmp_path / "d.json").read_text())
    (after,) = content["videos"]
    assert after["score"] == before["score"] == before["probability"]
    expected = float(calibrate_scores(before["score"], 3.0, 0.5))
    assert after["probability"] == pytest.approx(expected, abs=2e-6) != before["probability"]
    assert label(tmp_path / "s.csv") == pytest.approx(expected, abs=2e-6)
    assert after["verdict"] == "fake" and content["thresholds"]["fake_above"] == 0.1
    page = (tmp_path / "r" / "one.mp4.html").read_text()
    assert "fitted on 9 real, 8 fake videos" in page and "before calibration" in page


@pytest.mark.parametrize("change", [("--aggregate", "max-person"), ("--aggregate", "mean"), ("--frames", 3)])
def test_a_calibration_for_other_scores_is_refused(run, calibrated, change):
    common, file, _ = calibrated
    code, err = run(*common, "--calibration", file, *change)
    assert code == 2
    assert err.startswith("error: the calibration is for ")


def test_a_calibration_that_is_none_is_refused(run, calibrated, tmp_path):
    common, file, _ = calibrated
    file.write_text(json.dumps({**json.loads(file.read_text()), "temperature": "hot"}))
    code, err = run(*common, "--calibration", file)
    assert code == 2 and "temperature: expected" in err


def test_a_report_survives_a_video_that_cannot_be_read_again(run, videos, tmp_path, monkeypatch):
    from visualize.report import report

    def vanish(path, wanted, limits):
        raise VideoError(f"{path}: gone meanwhile")

    monkeypatch.setattr(report, "iter_frames", vanish)
    code, err = run(videos / "one.mp4", *TINY_RUN, "--output", tmp_path / "s.csv", "--report", tmp_path / "r")
    assert code == 0, err
    content = json.loads((tmp_path / "r" / "one.mp4.json").read_text())
    assert content["score"] is not None
    (reason,) = content["not_judged"]
    assert reason.startswith("no pictures: ") and reason.endswith("one.mp4: gone meanwhile")


def test_a_page_that_cannot_be_written_costs_neither_tables_nor_other_pages(run, videos, tmp_path):
    out, report = tmp_path / "s.csv", tmp_path / "r"
    common = (videos / "one.mp4", videos / "empty.mp4", *TINY_RUN, "--output", out, "--report", report)
    (report / "empty.mp4.html").mkdir(parents=True)  # in the way of the page
    code, err = run(*common)
    assert code == 3 and "no page: empty.mp4: " in err, err
    assert len(out.read_text().splitlines()) == 3
    assert (report / "one.mp4.html").is_file() and (report / "index.html").is_file()
    (report / "empty.mp4.html").rmdir()
    code, err = run(*common)
    assert "continuing: 2 of 2 videos are done already" in err
    assert (report / "empty.mp4.html").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"s.csv", "r"}


@pytest.mark.parametrize("option", ["--output", "--details", "--report"])
def test_a_place_that_cannot_be_written_is_found_out_before_scoring(run, videos, tmp_path, option):
    (tmp_path / "file").touch()
    places = {"--output": tmp_path / "s.csv", "--details": tmp_path / "d.json", "--report": tmp_path / "r"}
    places[option] = tmp_path / "file" / "x.json"
    code, err = run(videos / "one.mp4", *TINY_RUN, *(word for pair in places.items() for word in pair))
    assert code == 2 and f"error: {option} {places[option]}: cannot be written (" in err
    assert "video/s" not in err, "nothing was scored"
    assert not (tmp_path / "s.csv").exists()


def test_two_runs_into_the_same_places_are_refused(run, videos, tmp_path):
    places = ("--output", tmp_path / "s.csv", "--details", tmp_path / "d.json", "--report", tmp_path / "r")
    (tmp_path / "r").mkdir()
    locks = {"s.csv": writing_file, "d.json": writing_file, "r": writing_folder}
    for name, writing in locks.items():
        ready, go = os.pipe()
        pid = os.fork()
        if pid == 0:  # another process holds the lock until this one closes the pipe
            os.close(go)
            with writing(tmp_path / name):
                os.read(ready, 1)
            os._exit(0)
        os.close(ready)
        while not any(lock.stat().st_size for lock in tmp_path.glob("**/.*lock")):
            time.sleep(0.01)
        code, err = run(videos / "one.mp4", *TINY_RUN, *places)
        os.close(go)
        os.waitpid(pid, 0)
        assert code == 2 and f"error: {tmp_path / name} is being written by process {pid} (" in err


def test_names_of_every_kind_are_scored_and_have_a_page(run, videos, tmp_path):
    names = [
        "名" * 83 + ".mp4",
        "x" * 251 + ".mp4",
        "=1+1.mp4",
        "new\nline\x1b[2J.mp4",
        os.fsdecode(b"gr\xfc\xdfe.mp4"),
    ]
    (tmp_path / "in").mkdir()
    for name in names:
        shutil.copy(videos / "one.mp4", tmp_path / "in" / name)
    (tmp_path / "in" / "-\x1b[2J\udcff.mp4").touch()
    places = ("--output", tmp_path / "s.csv", "--details", tmp_path / "d.json", "--report", tmp_path / "r")
    code, err = run("--test-dir", tmp_path / "in", *TINY_RUN, *places, "--workers", 2)
    assert code == 3, err
    assert r"no score: -\x1b[2J\xff.mp4: unreadable" in err and "\x1b[2J" not in err
    scores = read_details(tmp_path / "d.json").scores
    assert {name for name, score in scores.items() if score is not None} == set(names)
    assert len(list((tmp_path / "r").glob("*.html"))) == len(names) + 2
    index = (tmp_path / "r" / "index.html").read_text(encoding="utf-8")
    assert r"gr\xfc\xdfe.mp4" in index and r"new\x0aline\x1b[2J.mp4" in index
    table = (tmp_path / "s.csv").read_text(encoding="utf-8")
    assert "'=1+1.mp4," in table and "\x1b" not in table and r"gr\xfc\xdfe.mp4," in table
