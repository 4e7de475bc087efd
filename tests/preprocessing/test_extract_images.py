"""preprocessing/extract_images.py: whole frames as pictures."""

import numpy as np
import pytest

from deepfake.datasets.data_root import DataRoot
from deepfake.media.images import read_image
from tests.data.clips import draw, write_metadata

LEVELS = [20, 50, 80, 110, 140, 170, 200]


@pytest.fixture
def data_root(tmp_path):
    """A real and a fake of 7 frames; frame i is gray of LEVELS[i]. And one that is no video."""
    part = tmp_path / "data" / "dfdc_train_part_0"
    part.mkdir(parents=True)
    frames = np.stack([np.full((32, 64, 3), level, np.uint8) for level in LEVELS])
    for name in ("real.mp4", "fake 1.mp4"):
        draw(part / name, frames)
    write_metadata(part, ["real.mp4"], {"fake 1.mp4": "real.mp4"})
    return tmp_path / "data"


def _pictures(root, video):
    return {path.name: read_image(path) for path in (DataRoot(root).images / video).iterdir()}


def test_all_frames(data_root, run_step):
    done = run_step("extract_images", data_root)
    assert done.returncode == 0, done.stderr
    for video in ("real", "fake 1"):
        pictures = _pictures(data_root, video)
        assert set(pictures) == {f"{i}.jpg" for i in range(7)}
        for i, level in enumerate(LEVELS):
            assert pictures[f"{i}.jpg"].shape == (32, 64, 3)
            assert abs(pictures[f"{i}.jpg"].mean() - level) < 4


def test_every_third_as_png_and_only_once(data_root, run_step):
    assert run_step("extract_images", data_root, "--every", "3", "--format", "png").returncode == 0
    pictures = _pictures(data_root, "real")
    assert set(pictures) == {"0.png", "3.png", "6.png"}
    assert abs(pictures["3.png"].mean() - LEVELS[3]) < 4
    assert "0 done, 2 skipped" in run_step("extract_images", data_root, "--every", "3", "--format", "png").stdout


def test_a_broken_video_is_listed(data_root, run_step):
    (data_root / "dfdc_train_part_0" / "real.mp4").write_bytes(b"broken")
    done = run_step("extract_images", data_root)
    assert done.returncode == 3 and "1 done" in done.stdout
    assert "real.mp4" in DataRoot(data_root).failures_file("extract_images").read_text()
    assert [path.name for path in DataRoot(data_root).images.iterdir()] == ["fake 1"]
