"""Faces of one video for several networks: shared work is done once, each gets its own."""

import numpy as np
import pytest

from deepfake.faces.boxes import Face
from deepfake.faces.detectors import DETECTORS, PRESETS, RetinaFaceSettings
from deepfake.faces.recipes import AlignRecipe, CropRecipe
from deepfake.media.video import EveryFrames, Frame, SpreadFrames
from deepfake.prediction.face_collector import FaceCollector, FaceSource, FaceView

RETINA = RetinaFaceSettings("mobilenet0.25", nms=None)
SMALL = Face((10, 10, 30, 30), 0.9, ((14, 16), (26, 16), (20, 20), (16, 25), (24, 25)))
LARGE = Face((40, 20, 90, 80), 0.9, ((52, 41), (77, 41), (65, 53), (57, 68), (72, 68)))


class Counting:
    """Finds the same two faces everywhere, but none in black frames; remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def detect(self, frames):
        self.seen += [int(frame[0, 0, 0]) - 1 for frame in frames]
        return [[LARGE, SMALL] if frame.any() else [] for frame in frames]


@pytest.fixture
def detectors(monkeypatch):
    made = {}

    def build(settings, device, weights_dir):
        assert settings not in made, "a detector is built once"
        made[settings] = Counting()
        return made[settings]

    for kind in DETECTORS.values():
        monkeypatch.setattr(kind, "build", build)
    return made


def frames(choices, count=40, black=()):
    wanted = {choice: choice.indices(count) for choice in choices}
    for i in range(count):
        chosen_by = frozenset(choice for choice, indices in wanted.items() if i in indices)
        if chosen_by:
            image = np.zeros((100, 120, 3), np.uint8)
            image[...] = 0 if i in black else i + 1
            yield Frame(i, image, chosen_by)


def test_equal_detectors_look_once(detectors):
    crop = FaceSource(CropRecipe(PRESETS["prediction"]))
    aligned = FaceSource(AlignRecipe(PRESETS["prediction"]))
    views = [FaceView.of(crop, 64), FaceView.of(aligned, 64), FaceView.of(crop, 96), FaceView.of(crop, 64)]
    collector = FaceCollector(views)
    found = collector.collect(frames(collector.choices))
    assert collector.choices == [SpreadFrames(32)]
    (detector,) = detectors.values()
    assert len(detector.seen) == len(set(detector.seen)) == len(found.frames) == 32
    assert len(found.found[crop]) == 64 and len(found.found[aligned]) == 32
    assert {view.size: images.shape for view, images in found.images.items()} == {
        64: (64, 64, 64, 3),
        96: (64, 96, 96, 3),
        320: (32, 320, 320, 3),
    }
    assert {face.face for face in found.found[aligned]} == {LARGE}


def test_each_source_sees_its_own_frames(detectors):
    spread = FaceSource(CropRecipe(), SpreadFrames(4))
    every = FaceSource(AlignRecipe(RETINA), EveryFrames(10), max_faces=25)
    collector = FaceCollector([FaceView.of(spread, 64), FaceView.of(every, 299)])
    found = collector.collect(frames(collector.choices))
    assert detectors[PRESETS["prediction"]].seen == [0, 13, 26, 39]
    assert detectors[RETINA].seen == [9, 19, 29, 39]
    assert found.frames == [0, 9, 13, 19, 26, 29, 39]
    assert [face.frame for face in found.found[every]] == [9, 19, 29, 39]
    assert found.size == (100, 120)


def test_aligned_faces_end_the_search_when_there_are_enough(detectors):
    source = FaceSource(AlignRecipe(RETINA), EveryFrames(2), max_faces=3)
    collector = FaceCollector([FaceView.of(source, 64)])
    stream = frames(collector.choices, black=(1, 3))
    found = collector.collect(stream)
    assert [face.frame for face in found.found[source]] == [5, 7, 9]
    assert next(stream).index == 17, "of the chunk that filled up no frame is read beyond"
    assert len(found.images[FaceView(source, 320)]) == 3


def test_aligned_faces_lie_on_the_template(detectors):
    source = FaceSource(AlignRecipe(RETINA, size=160), EveryFrames(40))
    collector = FaceCollector([FaceView.of(source, 64)])
    image = np.zeros((100, 120, 3), np.uint8)
    for x, y in LARGE.landmarks:
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    found = collector.collect([Frame(39, image, frozenset(collector.choices))])
    (picture,) = found.images[FaceView(source, 160)]
    for x, y in ((61, 70), (98, 70), (80, 89), (68, 112), (91, 112)):  # half of the 320-pixel template's
        assert picture[y, x].min() > 100


def test_a_face_without_landmarks_is_not_aligned(detectors, monkeypatch):
    source = FaceSource(AlignRecipe(RETINA), EveryFrames(10))
    collector = FaceCollector([FaceView.of(source, 64)])
    nowhere = Face((0, 0, 99, 99), 0.9, ((5, 5),) * 5)
    monkeypatch.setattr(
        Counting, "detect", lambda self, images: [[nowhere, Face((0, 0, 50, 50), 0.8), SMALL] for _ in images]
    )
    found = collector.collect(frames(collector.choices))
    assert {face.face for face in found.found[source]} == {SMALL}
