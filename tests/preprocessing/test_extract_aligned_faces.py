"""preprocessing/extract_aligned_faces.py: faces on the template, from good videos and bad, stopped and gone on with."""

import csv
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from deepfake.datasets.aligned_faces import (
    RECIPE_JSON,
    Extraction,
    FaceVideo,
    list_faces,
    list_folders,
    read_extraction,
)
from deepfake.faces.align import TEMPLATE, align_largest
from deepfake.faces.detectors import ALIGNING
from deepfake.faces.detectors.retinaface import weights_path
from deepfake.faces.recipes import AlignRecipe
from deepfake.media.frames import FRAMES_AT_ONCE
from deepfake.media.images import read_image
from deepfake.storage.own_folders import RUNS_DIR
from preprocessing.extract_aligned_faces import Job, extract_on_cuda, extract_video
from tests.data.clips import cut, draw, ffmpeg, gradient
from tests.data.steps import assert_stopped_by_a_full_disk, killed, on_small_disk, run_here, tree

pytestmark = pytest.mark.slow

SMALL = "retinaface-mobilenet0.25"
DETECTORS = (SMALL, "mtcnn")
CLIPS = ["d0", "d0_d3", "d19", "d19_d18"]


@pytest.fixture(scope="module")
def weights(shared, tmp_path_factory) -> Path:
    """A folder of weights with the small RetinaFace's under its published name."""
    folder = tmp_path_factory.mktemp("weights of mine")
    published = shared / "reference" / "RetinaFace-mobilenet0.25_Final.pth"
    shutil.copy(published, weights_path(folder, ALIGNING[SMALL].network))
    return folder


def command(*arguments) -> list[str]:
    return [sys.executable, "preprocessing/extract_aligned_faces.py", *map(str, arguments)]


@pytest.fixture
def extract(weights):
    """`extract(VIDEOS, OUT, ...)` runs the command; --every 10 unless told."""

    def run(*arguments, detector="mtcnn", every=10) -> subprocess.CompletedProcess:
        options = ["--detector", detector, "--weights-dir", weights, "--every", every]
        return run_here("extract_aligned_faces", *arguments, *options)

    return run


def pictures(out: Path) -> dict[str, list[str]]:
    return {name: [path.name for path in list_faces(out / name)] for name in list_folders(out)}


def failures(out: Path) -> dict[str, str]:
    with (out / "failures" / "extract_aligned_faces.csv").open(encoding="utf-8") as file:
        return {row["video"]: row["reason"] for row in csv.DictReader(file)}


def assert_refused(done: subprocess.CompletedProcess, *texts: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    for text in texts:
        assert text in done.stderr


# Good videos.


@pytest.mark.parametrize("detector", DETECTORS)
def test_faces_and_recipe_the_same_from_one_process_and_from_two(small_parts, extract, tmp_path, detector):
    out = tmp_path / "faces here"
    done = extract(small_parts, out, "--workers", 2, detector=detector)
    assert done.returncode == 0, done.stderr
    assert "4 done, 0 skipped (already there), 0 failed" in done.stdout and "without a face" not in done.stdout
    assert pictures(out) == {name: ["000.png", "010.png", "020.png"] for name in CLIPS}
    assert {path.name for path in out.iterdir()} == {*CLIPS, RECIPE_JSON, RUNS_DIR}
    assert {read_image(path).shape for path in out.glob("*/*.png")} == {(320, 320, 3)}
    assert read_extraction(out) == Extraction(AlignRecipe(ALIGNING[detector]), 10)
    alone = extract(small_parts, tmp_path / "alone", "--workers", 1, detector=detector)
    assert alone.returncode == 0
    assert tree(tmp_path / "alone") == tree(out)


SIDE_VIEWS = "video"
"""A street scene: no similarity moves five points seen from the side onto the template."""


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_fresh_detection_finds_the_points_near_the_template(mini_dfdc, extract, weights, tmp_path, detector):
    done = extract(mini_dfdc, tmp_path / "faces", detector=detector, every=30)
    assert done.returncode == 0, done.stderr
    fresh = ALIGNING[detector].build(weights_dir=weights)
    far: dict[str, list[float]] = {}
    for path in sorted((tmp_path / "faces").glob("*/*.png")):
        picture = read_image(path)
        found = align_largest(picture, fresh.detect([picture])[0])
        assert found is not None, path
        distances = np.linalg.norm(np.array(found[0].landmarks) - TEMPLATE, axis=1)
        far.setdefault(path.parent.name, []).append(float(distances.mean()))
    assert sum(map(len, far.values())) == 80  # each frame that was looked at
    street = far.pop(SIDE_VIEWS)
    faced = np.concatenate(list(far.values()))
    assert np.mean(faced <= 10) >= 0.9
    assert max(street) < 30 and np.mean(np.append(faced, street) <= 10) > 0.88


def test_videos_and_folders_together_and_options_between_them(small_parts, extract, project_root, tmp_path):
    out = tmp_path / "faces"
    video, folder = small_parts / "dfdc_train_part_1" / "d0.mp4", small_parts / "dfdc_train_part_3"
    line = command(video, folder, "--every", 20, out, "--detector", "mtcnn", "--format", "jpg", "--scale", 0.25)
    done = subprocess.run(line, cwd=project_root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert pictures(out) == {name: ["000.jpg", "020.jpg"] for name in ("d0", "d19", "d19_d18")}
    extraction = read_extraction(out)
    assert extraction is not None
    assert (extraction.every, extraction.suffix, extraction.recipe.settings.scale) == (20, ".jpg", 0.25)


def test_the_faces_may_lie_among_the_videos(small_parts, extract, tmp_path):
    videos = tmp_path / "videos"
    (videos / "faces").mkdir(parents=True)
    shutil.copy(small_parts / "dfdc_train_part_1" / "d0.mp4", videos / "ü 1.MP4")
    shutil.copy(videos / "ü 1.MP4", videos / "faces" / "not to be searched.mp4")
    shutil.copy(videos / "ü 1.MP4", videos / ".hidden.mp4")
    for skipped in (0, 1):
        done = extract(videos, videos / "faces", every=20)
        assert done.returncode == 0, done.stderr
        assert f"{1 - skipped} done, {skipped} skipped" in done.stdout
        assert pictures(videos / "faces") == {"ü 1": ["000.png", "020.png"]}
    flat = extract(videos / "ü 1.MP4", videos, every=20)  # beside the video itself
    assert flat.returncode == 0, flat.stderr
    assert len(list((videos / "ü 1").iterdir())) == 2


def test_a_folder_with_a_video_in_it_is_never_replaced(small_parts, extract, tmp_path):
    inside = tmp_path / "videos" / "d0" / "deep" / "d0.mp4"
    inside.parent.mkdir(parents=True)
    shutil.copy(small_parts / "dfdc_train_part_1" / "d0.mp4", inside)
    assert_refused(extract(tmp_path / "videos", tmp_path / "videos", "--overwrite"), str(inside), "another OUT_DIR")
    assert inside.exists() and not (tmp_path / "videos" / RECIPE_JSON).exists()


# Other settings.


def test_other_settings_are_refused_or_redo_everything(small_parts, extract, tmp_path):
    out, part = tmp_path / "faces", small_parts / "dfdc_train_part_1"
    assert extract(part, out).returncode == 0
    before = tree(out)
    other = extract(part, out, "--scale", 1, "--format", "webp", every=20)
    assert_refused(other, f"{out / RECIPE_JSON}: made with", "name another folder or --overwrite")
    assert "scale 0.5, not 1.0" in other.stderr and "pictures .png, not .webp" in other.stderr
    assert_refused(extract(part / "d0.mp4", out, "--overwrite", every=20), "d0_d3", "name another folder")
    assert tree(out) == before
    done = extract(part, out, "--overwrite", every=20)
    assert "2 done, 0 skipped" in done.stdout
    assert pictures(out) == {name: ["000.png", "020.png"] for name in ("d0", "d0_d3")}


@pytest.mark.parametrize("argument", [("--every", "0"), ("--scale", "0"), ("--scale", "-1"), ("--workers", "0"),
                                      ("--detector", "eyes"), ("--format", "bmp")])  # fmt: skip
def test_nonsense_is_refused(small_parts, tmp_path, argument):
    done = run_here("extract_aligned_faces", small_parts, tmp_path / "faces", *argument)
    assert done.returncode == 2 and argument[0] in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "faces").exists()


# Bad input.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "RetinaFace-Resnet50-fixed.pth: no such file"),  # the published detector is the default
        (["--detector", SMALL], "mobilenet0.25_Final.pth: no such file"),
    ],
)
def test_missing_weights_are_reported_with_both_cures(small_parts, tmp_path, options, message):
    done = run_here("extract_aligned_faces", small_parts, tmp_path / "faces", "--weights-dir", tmp_path, *options)
    assert_refused(done, str(tmp_path), message, "get them from", "--detector mtcnn needs none")
    assert not (tmp_path / "faces").exists()


def test_sources_that_cannot_be_used(extract, tmp_path):
    for name in ("a/x.mp4", "b/x.mov", "c/notes.txt", "d/failures.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    out = tmp_path / "faces"
    assert_refused(extract(tmp_path / "nowhere", out), "nowhere: no such file or folder")
    assert_refused(extract(tmp_path / "c", out), f"{tmp_path / 'c'}: no video in it (left out: 1 file")
    assert_refused(extract(tmp_path, out), str(tmp_path / "a" / "x.mp4"), str(tmp_path / "b" / "x.mov"), "unique")
    assert_refused(extract(tmp_path / "d", out), "'failures'; rename the video")
    assert not out.exists()


@pytest.fixture(scope="module")
def zoo(mini_dfdc, tmp_path_factory) -> Path:
    """Every kind of bad and odd video in one folder."""
    folder = tmp_path_factory.mktemp("zoo")
    source = mini_dfdc / "dfdc_train_part_1" / "d0.mp4"
    cut(source, folder / "whole.mp4", 12)
    data = (folder / "whole.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(data[: len(data) // 2])  # its index stands at the end
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("not a video")
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", folder / "audio_only.mp4")
    cut(source, folder / "one_frame.mkv", 1)
    draw(folder / "faceless.mp4", gradient(12))
    cut(source, folder / "with space ünï.mp4", 12)
    return folder


BAD = {
    "empty": "the file is empty",
    "text": "not a video file",
    "truncated": "no video stream that can be decoded",
    "audio_only": "no video stream that can be decoded",
}
GOOD = {"whole": ["000.png", "010.png"], "with space ünï": ["000.png", "010.png"], "one_frame": ["000.png"]}


def test_broken_videos_are_listed_and_a_faceless_one_is_done(zoo, extract, tmp_path):
    out = tmp_path / "faces"
    done = extract(zoo, out)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "4 done, 0 skipped (already there), 4 failed" in done.stdout
    assert "1 videos without a face, such as faceless" in done.stdout
    assert str(out / "failures" / "extract_aligned_faces.csv") in done.stderr and "Traceback" not in done.stderr
    assert pictures(out) == {**GOOD, "faceless": []}
    reasons = failures(out)
    assert reasons.keys() == BAD.keys()
    for name, message in BAD.items():
        assert f"{name}.mp4: {message}" in reasons[name]
    again = extract(zoo, out)
    assert "0 done, 4 skipped (already there), 4 failed" in again.stdout
    assert "1 videos without a face" in again.stdout


def test_a_full_disk_stops_with_one_line_and_loses_nothing(small_parts, extract, project_root, tmp_path):
    out = tmp_path / "faces"
    out.mkdir()
    line = command(small_parts, out, "--detector", "mtcnn", "--every", 10)
    assert_stopped_by_a_full_disk(on_small_disk(line, project_root, out, "300k"))
    assert extract(small_parts, out).returncode == 0  # with space again, it goes on
    assert sum(map(len, pictures(out).values())) == 12


# Killed.


def test_killed_and_run_again_equals_a_clean_run(small_parts, extract, project_root, tmp_path):
    assert extract(small_parts, tmp_path / "clean", every=2).returncode == 0
    clean = tree(tmp_path / "clean")
    assert len(clean) == 1 + 4 * 11
    out = tmp_path / "faces"
    line = command(small_parts, out, "--detector", "mtcnn", "--every", 2, "--workers", 1)

    def writing(done: int) -> None:
        """Until so many videos are done, or more, and the next one is being written."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not (
            len(list_folders(out)) >= done and any(out.glob(".partial-*/*.png"))
        ):
            time.sleep(0.005)

    for done in (0, 1):
        assert killed(line, project_root, partial(writing, done)) == -9
        assert list_folders(out) != CLIPS
        for name in list_folders(out):  # whole, or not there
            assert {f"{name}/{path.name}" for path in (out / name).iterdir()} == {
                key for key in clean if key.startswith(f"{name}/")
            }
    again = extract(small_parts, out, every=2)
    assert again.returncode == 0, again.stderr
    assert tree(out) == clean


# On a GPU: processes decode, one detector finds, processes decode again and write.


class Watched:
    """A detector that notes how many frames it is given at a time."""

    def __init__(self, detector):
        self.detector, self.batches = detector, []

    def detect(self, frames):
        self.batches.append(len(frames))
        return self.detector.detect(frames)


def test_batches_over_videos_give_the_faces_of_one_by_one(zoo, tmp_path):
    videos = [FaceVideo(path.stem, path) for path in sorted(zoo.iterdir())]
    detector = ALIGNING["mtcnn"].build()
    jobs = [Job(tmp_path / name, Extraction(AlignRecipe(ALIGNING["mtcnn"]), 5)) for name in ("one", "many")]
    outcomes = extract_on_cuda(videos, jobs[1], Watched(detector), workers=2, at_once=3)
    found = {outcome.item: outcome.reason for outcome in outcomes}
    assert found.keys() == set(videos)
    for video, reason in found.items():
        if video.name in BAD:
            assert reason is not None and BAD[video.name] in reason
        else:
            assert reason is None
            extract_video(video, jobs[0], detector)
    one, many = tree(tmp_path / "one"), tree(tmp_path / "many")
    assert one.keys() == many.keys() and len(one) == 3 + 3 + 1
    assert list_folders(tmp_path / "many") == sorted([*GOOD, "faceless"])
    for name in one:  # a batch's size may move the last bit of a landmark, so a face by a pixel
        first, second = read_image(tmp_path / "one" / name), read_image(tmp_path / "many" / name)
        assert np.abs(first.astype(int) - second).mean() < 5


def test_a_long_video_is_never_held_whole(tmp_path):
    draw(tmp_path / "long.mp4", gradient(60, 64, 96))
    detector = Watched(ALIGNING["mtcnn"].build())
    job = Job(tmp_path / "out", Extraction(AlignRecipe(ALIGNING["mtcnn"])))
    extract_video(FaceVideo("long", tmp_path / "long.mp4"), job, detector)
    assert sum(detector.batches) == 60 and max(detector.batches) <= FRAMES_AT_ONCE
