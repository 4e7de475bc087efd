"""preprocessing/perturb_videos.py: perturbed copies, a data root of their own, the same with any number of workers."""

import subprocess
import sys

import numpy as np
import pytest

from deepfake.datasets.reading import read_dataset
from deepfake.media.video import count_frames, iter_every
from deepfake.synthesis.perturbations.perturbation import Perturbation
from deepfake.synthesis.perturbations.perturbed_video import open_perturbed
from tests.data.clips import draw, gradient, write_metadata

FRAMES = 5


@pytest.fixture
def root(tmp_path):
    """Two clips in one part, and one in another container beside it."""
    part = tmp_path / "data" / "dfdc_train_part_0"
    part.mkdir(parents=True)
    for i, name in enumerate(("a.mp4", "b.mp4")):
        draw(part / name, np.roll(gradient(FRAMES, 48, 64), i, 0))
    write_metadata(part, ["a.mp4"], {"b.mp4": "a.mp4"})
    return tmp_path / "data"


@pytest.fixture
def perturb(project_root):
    """`perturb(source, word, out, ...)`: runs the command."""

    def run(source, word, out, *arguments):
        command = [sys.executable, "preprocessing/perturb_videos.py", source, "--perturb", word, "--out", out]
        command = [str(word) for word in (*command, *arguments)]
        return subprocess.run(command, cwd=project_root, capture_output=True, text=True)

    return run


def videos(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.m*") if path.is_file()}


def test_the_copies_are_a_data_root_and_what_a_prediction_sees(root, perturb, tmp_path):
    before = videos(root)
    done = perturb(root, "GNC:3", tmp_path / "noisy", "--crf", "0", "--seed", "4")
    assert done.returncode == 0, done.stderr
    assert "2 done" in done.stdout and "GNC:3" in done.stdout
    assert videos(root) == before
    copies = read_dataset(tmp_path / "noisy")
    assert [video.label for video in copies.videos.values()] == [0, 1]
    for video in copies.videos.values():
        original = root / "dfdc_train_part_0" / video.path.name
        with open_perturbed(original, Perturbation("GNC", "3", 4)) as seen:
            expected = np.array([frame.image for frame in seen.exactly(range(FRAMES))], int)
        written = np.array([frame.image for frame in iter_every(video.path, 1)])
        clean = np.array([frame.image for frame in iter_every(original, 1)])
        # Chroma is halved by the container alone: luma is the same but for rounding.
        luma = np.array([0.299, 0.587, 0.114])
        assert np.abs(expected @ luma - written @ luma).mean() < 3 < np.abs(expected @ luma - clean @ luma).mean()


def test_workers_change_nothing_and_only_what_is_missing_is_done(root, perturb, tmp_path):
    for workers in (1, 2):
        assert perturb(root, "BW:2", tmp_path / f"out{workers}", "--workers", workers).returncode == 0
    assert videos(tmp_path / "out1") == videos(tmp_path / "out2")
    (tmp_path / "out1" / "dfdc_train_part_0" / "a.mp4").unlink()
    assert "1 done, 1 skipped" in perturb(root, "BW:2", tmp_path / "out1").stdout
    assert videos(tmp_path / "out1") == videos(tmp_path / "out2")
    other = perturb(root, "BW:3", tmp_path / "out1")
    assert other.returncode == 2 and "--overwrite" in other.stderr


def test_a_ladder_of_one_video_goes_into_folders(root, perturb, tmp_path):
    clip = tmp_path / "clip.avi"
    draw(clip, gradient(FRAMES, 48, 64))
    done = perturb(clip, "social", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.mp4")} == {
        f"social_{crf}/clip.avi.mp4" for crf in (23, 28, 33)
    }
    assert count_frames(tmp_path / "out" / "social_23" / "clip.avi.mp4") == FRAMES


def test_a_broken_video_is_listed_and_the_others_are_done(root, perturb, tmp_path):
    (root / "dfdc_train_part_0" / "b.mp4").write_bytes(b"broken")
    done = perturb(root, "CC:1", tmp_path / "out")
    assert done.returncode == 3 and "1 done" in done.stdout and "1 failed" in done.stdout
    assert "b.mp4" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "word, out, says",
    [("GNC:9", "out", "expected one of 1, 2"), ("what", "out", "deeperforensics"), ("GB:1", "data", "holds")],
)
def test_what_cannot_be_done_is_said_before_the_work(root, perturb, tmp_path, word, out, says):
    done = perturb(root, word, tmp_path / out)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
