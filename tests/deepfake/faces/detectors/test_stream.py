"""Processes decode, one detector takes batches across videos: same faces as one video after another."""

import numpy as np
import psutil
import pytest

from deepfake.faces.boxes import Face
from deepfake.faces.detectors import PRESETS
from deepfake.faces.detectors.stream import detect_videos
from deepfake.media.video import Frame, VideoError, iter_every


class Brightness:
    """A detector that finds one face a frame, at the frame's brightness; it notes its batches."""

    def __init__(self):
        self.batches = []

    def detect(self, frames):
        self.batches.append(len(frames))
        return [[Face((float(frame[0, 0, 0]), 0.0, 1.0, 1.0))] for frame in frames]


def _frames(item: int):
    """Item i has i frames of brightness i; item 13 breaks after 3 frames."""
    for index in range(item):
        if item == 13 and index == 3:
            raise VideoError("broken")
        yield Frame(index, np.full((4, 6, 3), item, np.uint8))


@pytest.mark.parametrize("workers", [1, 3])
def test_every_video_gets_its_own_faces(workers):
    detector = Brightness()
    items = [1, 40, 0, 7, 13, 25]
    found = {d.item: d for d in detect_videos(items, _frames, detector, workers, batch_frames=16)}
    assert sorted(found) == sorted(items)
    for item in (1, 40, 7, 25):
        assert sorted(found[item].frames) == list(range(item))
        assert {faces[0].box[0] for faces in found[item].frames.values()} == {float(item)}
        assert found[item].sizes == {(4, 6)}
        assert found[item].error is None
    assert found[0].frames == {}
    assert isinstance(found[13].error, VideoError)


def test_batches_span_videos():
    detector = Brightness()
    list(detect_videos([2, 3, 4, 5, 6, 7], _frames, detector, workers=2, batch_frames=16))
    assert sum(detector.batches) == 27
    assert len(detector.batches) <= 3


def test_a_caller_that_stops_early_leaves_no_process_behind():
    before = set(psutil.Process().children())  # what other tests keep, such as a fork server
    stream = detect_videos(list(range(20, 60)), _frames, Brightness(), workers=3)
    next(stream)
    assert set(psutil.Process().children()) - before
    stream.close()
    assert set(psutil.Process().children()) <= before


def test_real_videos_give_the_boxes_of_one_by_one(mini_dfdc):
    from deepfake.faces.detectors.mtcnn import MTCNN

    detector = MTCNN(PRESETS["published"])
    videos = [mini_dfdc / "dfdc_train_part_1" / "d0.mp4", mini_dfdc / "dfdc_train_part_3" / "s18.mp4"]
    for found in detect_videos(videos, lambda path: iter_every(path, 40), detector, workers=2):
        for frame in iter_every(found.item, 40):
            (alone,), (streamed,) = detector.detect([frame.image])[0], found.frames[frame.index]
            assert streamed.box == pytest.approx(alone.box, abs=0.01)
