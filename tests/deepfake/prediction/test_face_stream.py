"""Faces found ahead of their scoring."""

import contextlib
import sys
import tempfile
import threading

import psutil
import pytest

from deepfake.media.video import ReadLimits, SpreadFrames, VideoError, chosen_frames, iter_spread
from deepfake.prediction import face_stream
from deepfake.prediction.face_collector import FaceCollector, FaceSource, FaceView
from deepfake.synthesis.perturbations.perturbation import parse_perturbations
from deepfake.synthesis.perturbations.perturbed_video import open_perturbed
from serving.upload_options import UPLOAD_MEMORY
from tests.data.clips import draw, gradient


def test_detecting_beside_the_decoding_processes_finds_the_same(face_clips):
    """The way taken on CUDA, here with a detector on the CPU."""
    source = FaceSource(frames=SpreadFrames(4))
    view = FaceView(source, 64)
    collector = FaceCollector([view])
    videos = [face_clips / name for name in ("a.mp4", "broken.mp4", "faceless.mp4")]
    outcomes = dict(face_stream._ahead(lambda: face_stream._faces_on_cuda(videos, collector, 2), 1))
    assert outcomes.keys() == set(videos)
    assert isinstance(outcomes[face_clips / "broken.mp4"], VideoError)
    direct = collector.collect(iter_spread(face_clips / "a.mp4", 4))
    assert outcomes[face_clips / "a.mp4"].found == direct.found
    assert (outcomes[face_clips / "a.mp4"].images[view] == direct.images[view]).all()
    assert outcomes[face_clips / "faceless.mp4"].found == {source: []}


@pytest.mark.parametrize("word", ["CS:5", "VC:5"])
def test_a_perturbed_finder_sees_perturbed_videos(word, face_clips, tmp_path, monkeypatch):
    """Frame by frame or through the encoder, detected in the reading processes or beside them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (perturbation,) = parse_perturbations(word)
    view = FaceView(FaceSource(frames=SpreadFrames(3)), 64)
    finder = face_stream.FaceFinder([view], workers=2)
    clip = face_clips / "a.mp4"
    plain = dict(finder.stream([clip]))[clip]
    outcomes = dict(finder.perturbed(perturbation).stream([clip, face_clips / "broken.mp4"]))
    assert isinstance(outcomes[face_clips / "broken.mp4"], VideoError)
    with open_perturbed(clip, perturbation) as video:
        expected = finder.collector.collect(chosen_frames(video, finder.collector.choices))
    beside = dict(face_stream._faces_on_cuda([clip], finder.collector.perturbed(perturbation), 1))
    for faces in (outcomes[clip], beside[clip]):
        assert faces.found == expected.found and len(faces.images[view]) == 3
        assert (faces.images[view] == expected.images[view]).all()
        assert (faces.images[view] != plain.images[view]).any()
    again = dict(finder.stream([clip]))[clip]
    assert (again.images[view] == plain.images[view]).all(), "the finder itself is as it was"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU's C library keeps freed blocks")
def test_a_reading_process_gives_memory_back_before_the_faces_are_scored(tmp_path):
    draw(tmp_path / "large.mp4", gradient(1, 2160, 3840))
    view = FaceView(FaceSource(frames=SpreadFrames(1)), 64)
    collector = FaceCollector([view], limits=ReadLimits(memory=UPLOAD_MEMORY))
    before = set(psutil.Process().children())  # what other tests keep, such as a fork server
    with contextlib.closing(face_stream.stream_faces([tmp_path / "large.mp4"], collector, "cpu", 1)) as found:
        _, faces = next(found)
        (reader,) = set(psutil.Process().children()) - before
        assert faces.frames == [0]
        assert reader.memory_full_info().uss < 4 * 3840 * 2160 * 3


def test_reading_ahead_is_bounded_and_ends_with_its_user():
    made, closed = [], threading.Event()

    def endless():
        try:
            while True:
                made.append(len(made))
                yield made[-1]
        finally:
            closed.set()

    values = face_stream._ahead(endless, 2)
    assert [next(values) for _ in range(3)] == [0, 1, 2]
    values.close()
    assert closed.wait(5)
    assert len(made) <= 8


def test_an_error_ahead_reaches_the_user():
    def failing():
        yield 1
        raise ValueError("message")

    values = face_stream._ahead(failing, 2)
    assert next(values) == 1
    with pytest.raises(ValueError, match="message"):
        next(values)
