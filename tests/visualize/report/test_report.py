"""The report says what was found, of each person apart, in one file that needs nothing else."""

import base64
import json
import os
import re
import signal
from dataclasses import asdict, replace
from html.parser import HTMLParser
from urllib.parse import unquote

import cv2
import numpy as np
import pytest

from deepfake.media.video import ReadLimits, probe
from deepfake.prediction.precision_check import VIDEOS, PrecisionCheck
from deepfake.scoring.calibration import Uncalibrated
from deepfake.scoring.results import NO_FACE, OK, UNREADABLE, PersonScore, ScoreCheck, ScoredFace, VideoResult
from tests.data.clips import draw, gradient
from visualize.report.report import COUNTS, STRAY, TOO_FEW, Highlight, Reporter, draw_poster

MODEL = {"input_size": 64, "crop_recipe": 0, "aggregation": "mean"}
RUN = {
    "models": [
        {"name": "a", "weight": 3.0, "architecture": "X", "sha256": "ab" * 32, **MODEL},
        {"name": "b", "weight": 1.0, "architecture": "Y", "sha256": "cd" * 32, **MODEL},
    ],
    "crop_recipes": [{"kind": "crop", "detector": "mtcnn"}],
    "settings": {"device": "cpu", "precision": "float32", "precision_check": None, "aggregate": "family"},
}
LEFT, RIGHT = (20.0, 40.0, 120.0, 160.0), (180.0, 40.0, 280.0, 160.0)
EVIL = '<script>alert("x")</script>'


def face(frame: int, person: int, a: float, b: float) -> ScoredFace:
    return ScoredFace(frame, (LEFT, RIGHT)[person], 0.99, (180, 150), 0, {"a": a, "b": b}, person)


FACES = [face(frame, person, score, score) for frame in (0, 5, 10, 15) for person, score in ((0, 0.1), (1, 0.95))]
RESULT = VideoResult(
    OK, 0.525, "", {"a": 0.5, "b": 0.6}, [0, 5, 10, 15, 19], (240, 320), FACES, 1.5,
    [PersonScore(0, 0.1, 4), PersonScore(1, 0.95, 4)],
)  # fmt: skip


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    draw(path, gradient(20))
    return path


class _Marks:
    """Highlights that only say in which process they were made."""

    def __init__(self, in_workers: bool) -> None:
        self.in_workers, self.prepared = in_workers, False

    def prepare(self) -> None:
        self.prepared = True

    def __call__(self, faces):
        assert self.prepared
        image = np.zeros((8, 8, 3), np.uint8)
        return [Highlight(image, image, "worker" if os.getpid() != TESTS else "parent") for _ in faces]


TESTS = os.getpid()


class _References(HTMLParser):
    """What a page takes from elsewhere, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.images: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "action", "data", "srcset"):
                (self.images if value.startswith("data:image/") else self.addresses).append(value)

    def handle_data(self, data):
        self.text += f" {data}"


def read(page) -> _References:
    parsed = _References()
    parsed.feed(page.read_text(encoding="utf-8"))
    parsed.text = re.sub(r"\s+", " ", parsed.text)
    return parsed


def test_the_page_says_what_was_found(video, tmp_path):
    page = Reporter(tmp_path, RUN, Uncalibrated()).write("clip.mp4", video, RESULT)
    parsed = read(page)
    assert parsed.addresses == [] and "script" not in parsed.tags and "link" not in parsed.tags
    assert "uncertain probability of fake 0.525" in parsed.text
    assert "2 persons" in parsed.text and "1 real 0.100 4" in parsed.text and "2 fake 0.950 4" in parsed.text
    assert "not judged: 1 of 5 frames: no face found in them" in parsed.text
    assert "not calibrated" in parsed.text and "abababab" in parsed.text and "1.5 seconds" in parsed.text
    assert parsed.tags.count("svg") == 2
    assert len(parsed.images) == 1 + 8  # the poster, and each person's four faces
    for image in parsed.images:
        data = base64.b64decode(image.split(",")[1])
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None


def test_the_page_says_what_was_computed_in_and_why(video, tmp_path):
    plain = read(Reporter(tmp_path, RUN, Uncalibrated()).write("clip.mp4", video, RESULT))
    assert "Computed in float32." in plain.text
    check = PrecisionCheck("bf16", VIDEOS, 8, 32, 0.0004, 0.003, 0.001, "a", kept=True)
    run = {**RUN, "settings": {**RUN["settings"], "precision": "bf16", "precision_check": asdict(check)}}
    tried = read(Reporter(tmp_path, run, Uncalibrated()).write("clip.mp4", video, RESULT))
    assert f"Computed in {check.summary()}." in tried.text


def test_scores_that_a_check_found_off_are_a_doubt(video, tmp_path):
    check = PrecisionCheck("bf16", VIDEOS, 8, 64, 0.0004, 0.003, 0.001, "a", True, 3, 1, 0.031, "off.mp4")
    run = {**RUN, "settings": {**RUN["settings"], "precision": "bf16", "precision_check": asdict(check)}}
    reporter = Reporter(tmp_path, run, Uncalibrated())
    off = {"off.mp4": ScoreCheck(0.031, False), "none.mp4": ScoreCheck(None, False)}
    within = {"kept.mp4": ScoreCheck(0.001, True), "other.mp4": None}
    doubts = {}
    for name, checked in (off | within).items():
        page = reporter.write(name, video, replace(RESULT, precision_check=checked))
        content = json.loads(page.with_suffix(".json").read_text())
        doubts[name] = [doubt for doubt in content["doubts"] if "bf16" in doubt]
    assert doubts == {
        "off.mp4": ["the score in bf16 was off by 0.031; this one is float32's"],
        "none.mp4": ["the score in bf16 was no number; this one is float32's"],
        "kept.mp4": [],
        "other.mp4": [f"computed in bf16: {check.warning()}"],
    }
    assert "others may be off too; --precision float32" in read(reporter.write_index()).text


def test_the_json_says_the_same(video, tmp_path):
    page = Reporter(tmp_path, RUN, Uncalibrated()).write("clip.mp4", video, RESULT)
    content = json.loads(page.with_suffix(".json").read_text())
    assert (content["verdict"], content["score"], content["probability"]) == ("uncertain", 0.525, 0.525)
    assert [(p["person"], p["verdict"], p["faces"], p["note"]) for p in content["persons"]] == [
        (0, "real", 4, ""),
        (1, "fake", 4, ""),
    ]
    assert content["thresholds"]["fake_above"] == 0.8 and "not calibrated" in content["thresholds"]["source"]
    assert content["not_judged"] == ["1 of 5 frames: no face found in them"]
    assert content["faces"][0]["person"] == 0 and content["run"] == RUN and content["fps"] == 25
    assert any(doubt.startswith("blurred faces") for doubt in content["doubts"])  # a gradient has no edges


def test_the_top_faces_are_shown_highest_first(video, tmp_path):
    faces = [face(frame, 0, score, 1 - score) for frame, score in ((0, 0.2), (5, 0.9), (10, 0.6))]
    shown = []

    def highlight(given):
        shown.extend((f.face.frame, f.frame.shape) for f in given)
        return [Highlight(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9, 3), np.uint8), "net") for _ in given]

    result = VideoResult(OK, 0.5, "", {}, [0, 5, 10], (240, 320), faces, 1.0, [PersonScore(0, 0.5, 3)])
    page = Reporter(tmp_path, RUN, Uncalibrated(), highlight).write("clip.mp4", video, result)
    assert shown == [(5, (240, 320, 3)), (10, (240, 320, 3)), (0, (240, 320, 3))]
    assert "score 0.700" in read(page).text  # (3 * 0.9 + 0.1) / 4


def test_names_are_escaped_and_stay_in_the_folder(video, tmp_path):
    reporter = Reporter(tmp_path / "out", RUN, Uncalibrated())
    pages = [reporter.write(name, video, RESULT) for name in (EVIL, "../../up.mp4", "sub/a.mp4", "sub_a.mp4", "index")]
    index = reporter.write_index()
    assert {page.parent for page in (*pages, index)} == {tmp_path / "out"}
    assert len(set(pages)) == 5 and index not in pages
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]
    for page in (pages[0], index):
        assert EVIL not in page.read_text() and EVIL in read(page).text.replace("&lt;", "<")
    assert [unquote(address) for address in read(index).addresses] == [page.name for page in pages]


def test_who_is_seen_once_is_named_but_gets_no_timeline(video, tmp_path):
    faces = [*FACES[::2], face(0, 1, 0.99, 0.99)]
    persons = [PersonScore(0, 0.1, 4), PersonScore(1, 0.99, 1)]
    result = VideoResult(OK, 0.1, "", {}, [0, 5, 10, 15], (240, 320), faces, 1.0, persons)
    parsed = read(Reporter(tmp_path, RUN, Uncalibrated()).write("clip.mp4", video, result))
    assert f"seen once only: {TOO_FEW}" in parsed.text
    assert parsed.tags.count("svg") == 1
    page = tmp_path / "clip.mp4.html"
    assert "2 not judged 0.990 1 seen once" in parsed.text and 'class="verdict fake"' not in page.read_text()
    assert 'class="verdict real"' in page.read_text(), "the video and the other one are judged"
    content = json.loads(page.with_suffix(".json").read_text())
    assert [(p["verdict"], p["score"], p["faces"]) for p in content["persons"]] == [("real", 0.1, 4), (None, 0.99, 1)]


def test_the_second_look_has_the_limits_of_the_first(video, tmp_path):
    def pictures(pixels):
        reporter = Reporter(tmp_path, RUN, Uncalibrated(), limits=ReadLimits(pixels=pixels))
        return read(reporter.write("clip.mp4", video, RESULT))

    assert "no pictures" not in pictures(240 * 320).text
    refused = pictures(240 * 320 - 1)
    assert "the limit is 76799 pixels a frame" in refused.text and not refused.images


@pytest.mark.parametrize("faces", [1, 2])
def test_where_nobody_is_seen_often_all_are_judged(video, tmp_path, faces):
    persons = [PersonScore(0, 0.1, faces), PersonScore(1, 0.99, 1)]
    result = VideoResult(OK, 0.1, "", {}, [0, 5], (240, 320), FACES[: 2 * faces], 1.0, persons)
    page = Reporter(tmp_path, RUN, Uncalibrated()).write("clip.mp4", video, result)
    content = json.loads(page.with_suffix(".json").read_text())
    assert [(p["verdict"], p["note"]) for p in content["persons"]] == [("real", ""), ("fake", "")]


def test_a_false_detection_is_not_judged_and_nobody(video, tmp_path):
    stray = ScoredFace(5, RIGHT, 0.81, (180, 150), 0, {"a": 1.0, "b": 1.0}, None)
    result = VideoResult(
        OK, 0.2, "", {}, [0, 5, 10, 15], (240, 320), [*FACES[::2], stray], 1.0, [PersonScore(0, 0.1, 4)]
    )
    shown = []
    reporter = Reporter(tmp_path, RUN, Uncalibrated(), lambda faces: shown.extend(faces) or [])
    page = reporter.write("clip.mp4", video, result)
    content = json.loads(page.with_suffix(".json").read_text())
    assert [p["person"] for p in content["persons"]] == [0] and content["faces"][-1]["person"] is None
    assert content["not_judged"] == [f"1 of 5 detections as a person: {STRAY}{COUNTS}"]
    parsed = read(page)
    assert "1 person " in parsed.text and f"not judged: 1 of 5 detections as a person: {STRAY}{COUNTS}" in parsed.text
    assert 'class="verdict fake"' not in page.read_text() and len(parsed.images) == 1 + 4
    assert len(shown) == 4 and all(shown_face.face.person == 0 for shown_face in shown)
    assert VideoResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    of_person = {**RUN, "settings": {**RUN["settings"], "aggregate": "max-person"}}
    page = Reporter(tmp_path / "max-person", of_person, Uncalibrated()).write("clip.mp4", video, result)
    content = json.loads(page.with_suffix(".json").read_text())
    assert content["not_judged"] == [f"1 of 5 detections as a person: {STRAY}"]


@pytest.mark.parametrize(("status", "reason"), [(NO_FACE, "no face was found"), (UNREADABLE, f"{EVIL}: damaged")])
def test_a_video_without_a_score_gets_no_verdict(video, tmp_path, status, reason):
    reporter = Reporter(tmp_path, RUN, Uncalibrated())
    page = reporter.write("clip.mp4", video.with_name("gone.mp4"), VideoResult(status, reason=reason))
    parsed = read(page)
    assert f"no verdict {status}: {reason}" in parsed.text and parsed.images == []
    content = json.loads(page.with_suffix(".json").read_text())
    assert (content["verdict"], content["probability"], content["not_judged"]) == (None, None, [f"the video: {reason}"])
    assert "no verdict" in read(reporter.write_index()).text


def test_the_poster_shows_everybody():
    poster = draw_poster(np.zeros((240, 320, 3), np.uint8), FACES[:2])
    assert poster.shape == (240, 320, 3)
    assert poster[100, 19:22].any() and poster[100, 179:182].any() and not poster[100, 60:100].any()
    assert draw_poster(np.zeros((1080, 1920, 3), np.uint8), FACES[:1]).shape == (360, 640, 3)


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def many(video) -> list:
    broken = video.with_name("broken.mp4")
    broken.write_bytes(b"no video")
    unread = VideoResult(UNREADABLE, reason="not a video")
    return [("a/clip.mp4", video, RESULT), ("b/clip.mp4", video, RESULT), ("clip.mp4", video, RESULT),
            ("broken.mp4", broken, RESULT), ("unread.mp4", broken, unread)]  # fmt: skip


@pytest.mark.parametrize("workers", [1, 3])
def test_worker_processes_write_the_same_files(video, tmp_path, workers):
    one, many_at_once = (Reporter(tmp_path / name, RUN, Uncalibrated()) for name in ("one", "many"))
    for entry in many(video):
        one.write(*entry)
    outcomes = dict(many_at_once.write_all(many(video), workers))
    assert outcomes == dict.fromkeys([name for name, _, _ in many(video)])
    one.write_index()
    many_at_once.write_index()
    assert contents(tmp_path / "many") == contents(tmp_path / "one") and len(contents(tmp_path / "one")) == 11


@pytest.mark.parametrize("in_workers", [True, False])
def test_maps_are_made_where_the_networks_are(video, tmp_path, in_workers):
    reporter = Reporter(tmp_path, RUN, Uncalibrated(), _Marks(in_workers))
    assert dict(reporter.write_all([("clip.mp4", video, RESULT)], 2)) == {"clip.mp4": None}
    text = read(tmp_path / "clip.mp4.html").text
    assert ("worker" in text, "parent" in text) == (in_workers, not in_workers)


def test_one_page_that_cannot_be_written_ends_no_other(video, tmp_path):
    (tmp_path / "one.mp4.html").mkdir()
    reporter = Reporter(tmp_path, RUN, Uncalibrated())
    outcomes = dict(reporter.write_all([("one.mp4", video, RESULT), ("two.mp4", video, RESULT)], 2))
    assert "one.mp4.html" in outcomes["one.mp4"] and outcomes["two.mp4"] is None
    index = read(reporter.write_index())
    assert "two.mp4" in index.text and "one.mp4" not in index.text


def test_a_decoder_that_crashes_costs_the_pictures_of_one_video(video, tmp_path, monkeypatch):
    def crash(path, limits):
        if path.name == "crash.mp4":
            os.kill(os.getpid(), signal.SIGKILL)
        return probe(path, limits)

    crashing = video.with_name("crash.mp4")
    crashing.write_bytes(video.read_bytes())
    monkeypatch.setattr("visualize.report.report.probe", crash)
    reporter = Reporter(tmp_path, RUN, Uncalibrated())
    outcomes = dict(reporter.write_all([("crash.mp4", crashing, RESULT), ("clip.mp4", video, RESULT)], 2))
    assert outcomes == {"crash.mp4": None, "clip.mp4": None}
    content = json.loads((tmp_path / "crash.mp4.json").read_text())
    assert any("no pictures: the worker process died" in reason for reason in content["not_judged"])
