"""predict_folder.py --report, --aggregate and --calibration on real videos."""

import csv
import json
from pathlib import Path

import pytest

import predict_folder
from deepfake.calibration import Calibration, calibrate_scores, kept_of_models, write_calibration
from deepfake.scoring import MIN_PERSON_FACES
from tests.clips import cut, draw, gradient
from tests.predicting import tiny_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")

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
    from deepfake.images import write_image
    from deepfake.video import iter_spread

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
        temperature=3.0, real_below=0.05, fake_above=0.1, false_alarm_rate=0.05, miss_rate=0.05, reals=9, fakes=8,
        models=kept_of_models(plain["models"]), crop_recipes=plain["crop_recipes"],
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
    expected = float(calibrate_scores(before["score"], 3.0))
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
    from visualize import report

    def vanish(path, wanted):
        raise report.VideoError(f"{path}: gone meanwhile")

    monkeypatch.setattr(report, "iter_frames", vanish)
    code, err = run(videos / "one.mp4", *TINY_RUN, "--output", tmp_path / "s.csv", "--report", tmp_path / "r")
    assert code == 0, err
    content = json.loads((tmp_path / "r" / "one.mp4.json").read_text())
    assert content["score"] is not None
    (reason,) = content["not_judged"]
    assert reason.startswith("no pictures: ") and reason.endswith("one.mp4: gone meanwhile")
