"""preprocessing/make_sample_data.py: a small data set that the pipeline takes for a real one, and single fakes."""

import csv

import numpy as np
import pytest

from deepfake.datasets.folds import check_leaks, folds_by_original, folds_by_part
from deepfake.datasets.reading import read_dataset
from deepfake.media.files import find_videos
from deepfake.media.video import iter_every, probe
from tests.data.clips import cut, draw, gradient
from tests.data.steps import run_here, tree

pytestmark = pytest.mark.slow

OPTIONS = ("--clips", "2", "--frames", "6", "--size", "240")
ARTIFACTS = 3.0
"""Mean difference in gray levels that compression alone stays below."""


def _frames(path):
    return np.stack([frame.image for frame in iter_every(path, 1)]).astype(int)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A data set of 8 clips and 4 test clips, 6 frames each; tests put back what they take."""
    root = tmp_path_factory.mktemp("sample") / "data"
    done = run_here("make_sample_data", "--out", root, *OPTIONS, "--workers", "2")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def detector():
    from deepfake.faces.detectors import get_preset
    from deepfake.faces.detectors.mtcnn import MTCNN

    return MTCNN(get_preset("training"))


def test_it_is_a_dfdc_data_set_split_by_identity(sample):
    data = read_dataset(sample)
    assert len(data.originals) == len(data.fakes) == len(data.pairs) == 4
    assert all(video.path.is_file() for video in data.videos.values())
    persons = {video.part: {v.path.name.split("_")[0] for v in data.videos.values() if v.part == video.part}
               for video in data.videos.values()}  # fmt: skip
    assert persons == {0: {"collins"}, 1: {"hopper"}}
    for folds in (folds_by_part(data.videos.values(), 2, 2), folds_by_original(data.videos.values(), 2)):
        check_leaks(folds, data.pairs)


def test_test_videos_are_labeled_and_no_part_of_the_data_set(sample):
    with (sample / "test_videos" / "labels.csv").open() as file:
        labels = {row["filename"]: int(row["label"]) for row in csv.DictReader(file)}
    assert {path.name for path in find_videos([sample / "test_videos"]).videos} == set(labels)
    assert sorted(labels.values()) == [0, 0, 1, 1]
    assert not set(labels) & {video.path.name for video in read_dataset(sample).videos.values()}


def test_every_frame_shows_one_face(sample, detector):
    for path in find_videos([sample]).videos:
        assert (probe(path).frames, probe(path).width, probe(path).height) == (6, 240, 240)
        frames = [frame.image for frame in iter_every(path, 2)]
        assert [len(faces) for faces in detector.detect(frames)] == [1] * len(frames), path


def test_a_fake_is_its_original_but_for_the_face(sample, detector):
    for original, fake in read_dataset(sample).pairs:
        real, swapped = _frames(original.path), _frames(fake.path)
        changed = np.abs(real - swapped).mean((0, 3))
        x1, y1, x2, y2 = (int(v) for v in detector.detect([real[0].astype(np.uint8)])[0][0].box)
        face = np.zeros(changed.shape, bool)
        face[y1 - 10 : y2 + 10, x1 - 10 : x2 + 10] = True
        assert changed[~face].mean() < ARTIFACTS
        assert changed[y1:y2, x1:x2].mean() > 2 * ARTIFACTS


def test_clips_differ_and_move(sample):
    for person in ("collins", "hopper"):
        first, second, test = (
            _frames(next(sample.rglob(f"{person}_{name}.mp4"))) for name in ("0", "1", "test")
        )  # fmt: skip
        for one, other in ((first, second), (first, test), (second, test)):
            assert np.abs(one - other).mean() > 2 * ARTIFACTS
        assert np.abs(first[0] - first[-1]).mean() > ARTIFACTS


def test_only_what_is_missing_is_made_again_and_equally(sample):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in find_videos([sample]).videos}
    missing = [sample / "dfdc_train_part_1" / "hopper_0.mp4", sample / "test_videos" / "collins_test_hopper_test.mp4"]
    for path in missing:
        path.unlink()
    done = run_here("make_sample_data", "--out", sample, *OPTIONS, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1 done, 5 skipped") == 2
    for path, (content, stamp) in before.items():
        assert path.read_bytes() == content
        assert (path.stat().st_mtime_ns == stamp) == (path not in missing)


def test_other_settings_do_not_mix_into_a_folder(sample):
    before = tree(sample)
    done = run_here("make_sample_data", "--out", sample, *OPTIONS, "--seed", "5")
    assert done.returncode == 2
    assert "was made with" in done.stderr and "--overwrite" in done.stderr and "Traceback" not in done.stderr
    assert tree(sample) == before


def test_a_fake_of_two_clips_that_a_user_names(mini_dfdc, tmp_path):
    target, source, fake = tmp_path / "ein Ziel.mp4", tmp_path / "quelle.mp4", tmp_path / "fälschung.mp4"
    cut(mini_dfdc / "dfdc_train_part_1" / "d0.mp4", target, 7)
    cut(mini_dfdc / "dfdc_train_part_3" / "d19.mp4", source, 4)
    done = run_here("make_sample_data", "--swap", target, source, "--out", fake)
    assert done.returncode == 0, done.stderr
    assert "face replaced in 7 of 7 frames" in done.stdout
    assert probe(fake) == probe(target)
    changed = np.abs(_frames(fake) - _frames(target)).mean((0, 3))
    assert changed.max() > 20 and np.median(changed) < ARTIFACTS


def test_what_a_swap_cannot_do_is_said(sample, tmp_path):
    clip, blank = sample / "test_videos" / "collins_test.mp4", tmp_path / "blank.mp4"
    draw(blank, gradient(4))
    fake = tmp_path / "fake.mp4"
    done = run_here("make_sample_data", "--swap", clip, blank, "--out", fake)
    assert done.returncode == 2 and "blank.mp4: no face found" in done.stderr and not fake.exists()
    done = run_here("make_sample_data", "--swap", clip, blank, "--out", blank)
    assert done.returncode == 2 and "is there already" in done.stderr
    done = run_here("make_sample_data", "--swap", clip, blank, "--out", clip, "--overwrite")
    assert done.returncode == 2 and "one of the clips" in done.stderr
    assert "Traceback" not in done.stderr
