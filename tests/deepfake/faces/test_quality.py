"""Reasons for doubt are named when they are there, and only then."""

import cv2
import numpy as np
import pytest

from deepfake.faces.quality import BLURRED, HEAVILY_COMPRESSED, bits_per_pixel, reasons_for_doubt, sharpness
from deepfake.media.video import iter_every, probe
from tests.data.clips import cut, ffmpeg

GOOD = {"sizes": [200.0] * 20, "sharpnesses": [150.0] * 20, "bits": 0.1, "frames": 20}


def test_a_good_video_raises_no_doubt():
    assert reasons_for_doubt(**GOOD) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": [40.0] * 20}, "small faces: 40 pixels"),
        ({"sharpnesses": [3.0] * 20}, "blurred faces: sharpness 3"),
        ({"bits": 0.004}, "heavily compressed: 0.004 bits a pixel"),
        ({"sizes": [200.0] * 3, "sharpnesses": [150.0] * 3}, "few faces: 3 in 20 frames"),
    ],
)
def test_each_doubt_is_named(change, message):
    (doubt,) = reasons_for_doubt(**{**GOOD, **change})
    assert doubt.startswith(message)


def test_a_video_without_a_count_of_frames_is_not_called_compressed():
    assert reasons_for_doubt(**{**GOOD, "bits": None}) == []


def test_blur_is_measured_whatever_the_size(mini_dfdc):
    (frame, *_) = iter_every(mini_dfdc / "dfdc_train_part_1" / "d0.mp4", 40)
    face = frame.image[100:400, 150:400]
    blurred = cv2.GaussianBlur(face, (0, 0), 8)
    assert sharpness(face) > BLURRED > sharpness(blurred)
    enlarged = cv2.resize(cv2.resize(face, (24, 24), interpolation=cv2.INTER_AREA), (240, 240))
    assert sharpness(enlarged) < BLURRED
    assert sharpness(np.full((50, 40, 3), 9, np.uint8)) == 0


def test_compression_is_measured(mini_dfdc, tmp_path):
    source = mini_dfdc / "dfdc_train_part_1" / "d0.mp4"
    cut(source, tmp_path / "good.mp4", 20, "-crf", "18")
    ffmpeg("-i", source, "-frames:v", 20, "-an", "-c:v", "libx264", "-crf", 48, tmp_path / "bad.mp4")
    good, bad = (bits_per_pixel(p, probe(p)) for p in (tmp_path / "good.mp4", tmp_path / "bad.mp4"))
    assert good > HEAVILY_COMPRESSED > bad
    ffmpeg("-i", source, "-frames:v", 5, "-c:v", "libvpx", "-deadline", "realtime", tmp_path / "web.webm")
    assert bits_per_pixel(tmp_path / "web.webm", probe(tmp_path / "web.webm")) > HEAVILY_COMPRESSED
