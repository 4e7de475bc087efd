"""One upload analyzed: length, scores, report, errors; and cancelled work."""

import time

import numpy as np
import pytest
from PIL import Image

from deepfake.faces.detectors.base import ALIGNING
from deepfake.media.images import write_image
from deepfake.media.video import VideoError
from deepfake.parallel.pool import Cancelled, run_in_subprocess
from deepfake.prediction.ensemble import Member
from serving.analyzer import (
    AnalyzersByName,
    AnalyzerSettings,
    TooLong,
    Unsuitable,
    check_length,
    named_as_uploaded,
)
from tests.data.clips import draw, gradient
from tests.data.predicting import tiny_checkpoint


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    file = tmp_path_factory.mktemp("uploads") / "five seconds.mp4"
    draw(file, gradient(5), 1)
    return file


@pytest.fixture(scope="module")
def analyzers(tmp_path_factory):
    """Of one ensemble, whose network sees no aligned faces, with a detector that it has no use for."""
    checkpoint = tiny_checkpoint(tmp_path_factory.mktemp("weights") / "tiny")
    settings = AnalyzerSettings("cpu", next(iter(ALIGNING.values())), checkpoint.parent, "float32", max_seconds=4)
    return AnalyzersByName({"small": [Member(checkpoint)]}, settings, {})


def test_an_ensemble_is_loaded_once(analyzers):
    assert analyzers.names == ["small"]
    assert analyzers.get("small") is analyzers.get("small")
    assert analyzers.get("small").models == ["tiny"]
    with pytest.raises(ValueError, match="'other' unknown; expected one of small"):
        analyzers.get("other")


def test_a_report_is_drawn_where_it_is_asked_for(analyzers, files):
    file, steps = files / "face.jpg", []
    plain = analyzers.get("small").analyze(file, "mine.jpg")
    assert plain.report is None and plain.result.status == "ok"
    assert plain.details["filename"] == "mine.jpg" and plain.details["score"] == pytest.approx(
        plain.result.score, abs=1e-5
    )
    drawn = analyzers.get("small").analyze(
        file, "mine.jpg", progress=lambda share, _: steps.append(share), with_report=True
    )
    assert drawn.result.score == plain.result.score
    assert "<h1>mine.jpg</h1>" in drawn.report and str(files) not in drawn.report
    assert steps == sorted(steps) and 0 <= steps[0] <= steps[-1] <= 1


def test_errors_name_the_upload(analyzers, files):
    analyzer = analyzers.get("small")
    with pytest.raises(Unsuitable, match=r"^mine\.mp4: not a video file"):
        analyzer.analyze(files / "garbage.mp4", "mine.mp4")
    with pytest.raises(TooLong, match="5 seconds long; at most 4"):
        analyzer.analyze(files / "long.mp4", "mine.mp4")
    with pytest.raises(Cancelled):
        analyzer.analyze(files / "face.jpg", "mine.jpg", is_cancelled=lambda: True)


def test_long_videos_are_refused(video, tmp_path):
    check_length(video, 5)
    with pytest.raises(TooLong, match="5 seconds long; at most 4"):
        check_length(video, 4.5)
    with pytest.raises(VideoError):
        check_length(tmp_path / "gone.mp4", 5)
    write_image(tmp_path / "picture.png", np.zeros((8, 8, 3), np.uint8))
    check_length(tmp_path / "picture.png", 0.1)


def test_an_animation_is_as_long_as_it_is_shown(tmp_path):
    frames = [Image.fromarray(image) for image in gradient(5)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=1000)
    check_length(tmp_path / "a.gif", 5)
    with pytest.raises(TooLong, match="5 seconds long; at most 4"):
        check_length(tmp_path / "a.gif", 4)


def test_messages_name_the_upload(tmp_path):
    file = tmp_path / "x.mp4"
    assert named_as_uploaded(VideoError(f"{file}: broken"), file, "mine.mp4") == "mine.mp4: broken"
    assert named_as_uploaded(f"cannot open {tmp_path}/other", file, "mine.mp4") == "cannot open other"


def test_cancelled_work_ends_whatever_it_is_at():
    start = time.monotonic()
    with pytest.raises(Cancelled):
        run_in_subprocess(time.sleep, 60, lambda: time.monotonic() - start > 0.5)
    assert time.monotonic() - start < 20
    with pytest.raises(Cancelled):
        run_in_subprocess(abs, 1, lambda: True)
    assert run_in_subprocess(abs, -1, lambda: False) == 1
