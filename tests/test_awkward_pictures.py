"""Pictures and folders as people hand them over, from the reference data's awkward cases."""

import numpy as np
import pytest

from deepfake.media.files import find_videos
from deepfake.media.frames import SpreadFrames
from deepfake.media.image_files import iter_image
from deepfake.media.images import ImageError, read_image
from deepfake.media.video import chosen_frames, open_video

UNREAD = {
    "heic_named.jpg": "damaged or truncated HEIC",
    "pic.heic": "damaged or truncated HEIC",
    "pic.jp2": "JPEG 2000 pictures are not read",
    "html_named.jpg": "a web page",
}
ODD_SIZE = {"one_pixel.png", "line.png", "eight.png"}
GRAY = {"gray.jpg", "gray.png", "gray16.png", "bilevel.png"}
LEVELS = 2.0
"""What compression changes, on average over a picture."""


def test_pictures(built):
    folder = built("11-pictures")
    clean = read_image(folder / "clean.png").astype(int)
    seen = 0
    for path in sorted(folder.iterdir()):
        if path.name in UNREAD:
            with pytest.raises(ImageError, match=UNREAD[path.name]):
                list(iter_image(path))
            continue
        damage: list[str] = []
        _, image = next(iter_image(path, damage=damage))
        assert bool(damage) == path.name.startswith("cut"), path
        if path.name in ODD_SIZE:
            continue
        assert image.shape == clean.shape
        expected = np.repeat(clean.mean(axis=2, keepdims=True), 3, axis=2) if path.name in GRAY else clean
        rows = 256 if path.name == "cut.jpg" else 512
        left = 100 if path.name == "alpha.png" else 0
        off = np.abs(image[:rows, left:] - expected[:rows, left:]).mean()
        assert off < (12 if path.name in GRAY - {"bilevel.png"} else 130 if path.name in GRAY else LEVELS), path
        seen += 1
    assert seen > 25


def test_a_folder_of_many_containers(built):
    found = find_videos([built("16-suffixes")])
    assert len(found.videos) == 13 and found.left_out.summary() == ""
    frames = {path.name: len(list(chosen_frames(open_video(path, 1), [SpreadFrames(32)]))) for path in found.videos}
    assert frames.pop("i.jpg") == 1
    assert set(frames.values()) == {12}
