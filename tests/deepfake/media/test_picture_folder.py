"""Folders of pictures as videos: which frame a picture is, and what damage costs."""

from pathlib import Path

import numpy as np
import pytest

from deepfake.media.images import write_image
from deepfake.media.video import SpreadFrames, VideoError, chosen_frames, iter_every, iter_frames, open_video, probe


def write_folder(folder: Path, *names: str) -> Path:
    """A folder of pictures; the n-th has the gray n."""
    folder.mkdir()
    for gray, name in enumerate(names):
        write_image(folder / name, np.full((8, 12, 3), gray, np.uint8))
    return folder


def spoil(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n, and no more")


@pytest.mark.parametrize(
    ("names", "indices"),
    [
        (["0.png", "5.png", "10.png"], [0, 5, 10]),
        (["000_003_0007.png", "000_003_0009.png"], [7, 9]),
        (["a.png", "b2.png"], [0, 1]),
        (["12_0.png", "12_1.png", "13_0.png"], [0, 1, 2]),
        (["1700000000123.png", "1700000000456.png"], [0, 1]),
    ],
)
def test_frames_go_by_the_numbers_in_their_names(tmp_path, names, indices):
    folder = write_folder(tmp_path / "f", *names)
    assert [(frame.index, frame.image.max()) for frame in iter_every(folder, 1)] == list(zip(indices, range(9)))
    assert [frame.image.max() for frame in iter_frames(folder, indices[1:2])] == [1]
    assert probe(folder).frames == len(names)


def test_frames_are_chosen_among_those_that_are_there(tmp_path):
    video = open_video(write_folder(tmp_path / "f", "0.png", "1.png", "2.png", "300.png"))
    assert [frame.index for frame in chosen_frames(video, [SpreadFrames(4)])] == [0, 1, 2, 300]


def test_a_damaged_picture_costs_one_frame(tmp_path):
    folder = write_folder(tmp_path / "f", *(f"{n}.png" for n in range(10)))
    spoil(folder, "0.png", "4.png", "9.png")
    video = open_video(folder)
    every = {frame.index: sorted(wanted) for frame, wanted in video.nearest(range(10))}
    assert every == {1: [0, 1], 2: [2], 3: [3], 5: [4, 5], 6: [6], 7: [7], 8: [8]}
    assert video.doubts == ["damaged: 7 of 10 frames could be read"]
    chosen = {frame.index: sorted(wanted) for frame, wanted in open_video(folder).nearest([0, 4, 9])}
    assert chosen == {1: [0], 5: [4], 8: [9]}
    assert [frame.index for frame in iter_frames(folder, [3, 4, 11])] == [3]
    assert probe(folder).width == 12


@pytest.mark.parametrize("whole", [0, 1])
def test_too_little_that_can_be_read_is_no_video(tmp_path, whole):
    folder = write_folder(tmp_path / "f", *(f"{n}.png" for n in range(11)))
    spoil(folder, *(f"{n}.png" for n in range(11 - whole)))
    with pytest.raises(VideoError, match=r"only 1 of 11 frames" if whole else r"0\.png"):
        list(iter_every(folder, 1))
