"""Limits of reading: a video over one fails alone, its reason names the option, and with the option it is read."""

import argparse
import csv
import sys

import pytest

from deepfake.cli.reading_options import add_limits, chosen_limits, limit_arguments
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.stages import CROPS, DETECT, DIFFS, STAGES
from deepfake.faces.boxes import BoxFile, Face, write_boxes
from deepfake.media.encode import Encoding, transcode
from deepfake.media.video import LIMITS, ReadLimits, VideoError
from preprocessing import preprocess_videos
from preprocessing.pipeline.one_pass import step_arguments
from tests.data.clips import draw, gradient, write_metadata
from tests.data.steps import run_here

pytestmark = pytest.mark.slow

SHORT, LONG = 4, 9
"""Frames."""
HEIGHT, WIDTH = 48, 64


@pytest.fixture
def root(tmp_path):
    """A short clip and a long one, of the same size, without faces."""
    part = tmp_path / "data" / "dfdc_train_part_2"
    part.mkdir(parents=True)
    for name, frames in (("short", SHORT), ("long", LONG)):
        draw(part / f"{name}.mp4", gradient(frames, HEIGHT, WIDTH))
    write_metadata(part, ["short.mp4", "long.mp4"], {})
    return tmp_path / "data"


def reasons(file):
    with file.open(encoding="utf-8") as table:
        return {row["video"]: row["reason"] for row in csv.DictReader(table)}


@pytest.mark.parametrize(
    ("step", "more", "listed"),
    [
        ("preprocess_videos", ["--device", "cpu", "--workers", "2"], "detect_original_faces"),
        ("extract_crops", [], "extract_crops"),
        ("extract_images", ["--workers", "1", "--scheduler", "local"], "extract_images"),
        ("compress_videos", ["--workers", "2"], "compress_videos"),
    ],
)
def test_more_frames_are_an_option(root, run_step, step, more, listed):
    if "--scheduler" in more:
        pytest.importorskip("distributed")
    if step == "extract_crops":
        for name in ("short", "long"):
            write_boxes(DataRoot(root).boxes_file(name), BoxFile({0: [Face((8, 8, 40, 40))]}))
    first = run_step(step, root, *more, "--max-frames", str(LONG - 1))
    assert first.returncode == 3, first.stderr
    failed = reasons(DataRoot(root).failures_file(listed))
    path = root / "dfdc_train_part_2" / "long.mp4"
    limit = f"more than {LONG - 1} frames, the limit for one video (--max-frames raises the limit)"
    assert failed == {"long": f"{path}: {limit}"}
    # A limit only refuses: what is done stays, without --mix-settings.
    second = run_step(step, root, *more, "--max-frames", str(LONG))
    assert second.returncode == 0, second.stderr
    assert f"{listed}: 1 done, 1 skipped (already there), 0 failed" in second.stdout
    assert not DataRoot(root).failures_file(listed).exists()


def test_more_pixels_are_an_option(root, run_step):
    first = run_step("extract_images", root, "--max-pixels", str(HEIGHT * WIDTH - 1))
    assert first.returncode == 3
    limit = f"frames of {WIDTH}x{HEIGHT} pixels; the limit is {HEIGHT * WIDTH - 1} pixels a frame"
    assert f"short.mp4: {limit} (--max-pixels raises the limit)" in first.stderr
    assert run_step("extract_images", root, "--max-pixels", str(HEIGHT * WIDTH)).returncode == 0


def test_aligned_faces_have_the_options_too(root, tmp_path):
    line = ["extract_aligned_faces", root, tmp_path / "faces", "--detector", "mtcnn"]
    first = run_here(*line, "--max-frames", 4)
    assert first.returncode == 3
    assert "long.mp4: more than 4 frames, the limit for one video (--max-frames raises the limit)" in first.stderr
    second = run_here(*line, "--max-frames", 9)
    assert second.returncode == 0 and "1 done, 1 skipped" in second.stdout, second.stderr


def test_a_retry_keeps_the_limits(monkeypatch):
    """status.py runs the steps alone as the pass over all of them did: those that read videos have the option."""
    monkeypatch.setattr(sys, "argv", ["preprocess_videos.py", "--root-dir", "data", "--max-frames", "7"])
    args = preprocess_videos.parse_args()
    with_limits = {stage.name for stage in STAGES if "--max-frames 7" in " ".join(step_arguments(stage.name, args))}
    assert with_limits == {DETECT.name, CROPS.name, DIFFS.name}


def test_time_is_an_option(root, run_step):
    done = run_step("extract_images", root, "--max-seconds", "1e-9")
    assert done.returncode == 3
    assert "short.mp4: reading took more than 1e-09 seconds, the limit (--max-seconds raises the limit)" in done.stderr


def test_encoding_again_ends_at_its_time(root, tmp_path):
    source = root / "dfdc_train_part_2" / "long.mp4"
    with pytest.raises(VideoError, match=r"reading took more than 0\.001 seconds"):
        transcode(source, tmp_path / "copy.mp4", Encoding(23), ReadLimits(seconds=0.001))
    assert not (tmp_path / "copy.mp4").exists()


def test_arguments_give_the_same_limits_again():
    parser = argparse.ArgumentParser()
    add_limits(parser.add_argument)
    usual = parser.parse_args([])
    assert limit_arguments(usual) == []
    assert chosen_limits(usual) == ReadLimits(LIMITS.pixels, LIMITS.frames, LIMITS.seconds, has_options=True)
    given = ["--max-pixels", "100", "--max-frames", "7", "--max-seconds", "0.5"]
    assert limit_arguments(parser.parse_args(given)) == given
