"""What is asked of an upload before it is scored, and cancelled work."""

import time

import numpy as np
import pytest
from PIL import Image

from deepfake.media.images import write_image
from deepfake.media.video import VideoError
from deepfake.parallel.pool import Cancelled, run_in_subprocess
from serving.analyzer import TooLong, check_length, named_as_uploaded
from tests.data.clips import draw, gradient


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    file = tmp_path_factory.mktemp("uploads") / "five seconds.mp4"
    draw(file, gradient(5), 1)
    return file


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
