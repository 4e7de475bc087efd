"""A family in one pass: the files of the four steps, each video decoded once, each output for itself."""

import errno
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from deepfake.datasets import crops
from deepfake.datasets.crops import CropFolder, KeptCrops, cut_out
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import Dataset
from deepfake.datasets.stages import CROPS, DETECT, DIFFS, LANDMARKS, Stage
from deepfake.faces.boxes import Face, as_stored
from deepfake.faces.detectors import PRESETS
from deepfake.faces.detectors.portable import PortableDetector
from deepfake.media.images import as_written, encode_image, read_image, write_image
from deepfake.media.video import Frame
from deepfake.parallel.workers import Task
from preprocessing.pipeline import video_steps
from preprocessing.pipeline.families import FAMILY_STAGES, Family, FamilyJob, families, output_path
from preprocessing.pipeline.video_steps import compare_crops, cut_crops, detect_boxes, find_landmarks
from preprocessing.pipeline.work import OutputResult
from tests.data.clips import cut, write_metadata

pytestmark = pytest.mark.usefixtures("one_thread")

FACTS = {"every": 5}
BOXES = PortableDetector(PRESETS["training"])
LANDMARK_DETECTORS = [PortableDetector(PRESETS[name]) for name in ("landmarks-quick", "landmarks")]


@pytest.fixture(scope="module")
def clips(mini_dfdc, tmp_path_factory) -> Path:
    """A part: an original with two fakes, one of 6 frames only; an original alone."""
    part = tmp_path_factory.mktemp("clips") / "dfdc_train_part_0"
    part.mkdir()
    for name, source, frames in (("a", "d0", 11), ("a_x", "d0_d3", 11), ("a_short", "d0_d3", 6), ("b", "d3", 6)):
        cut(mini_dfdc / "dfdc_train_part_1" / f"{source}.mp4", part / f"{name}.mp4", frames)
    write_metadata(part, ["a.mp4", "b.mp4"], {"a_x.mp4": "a.mp4", "a_short.mp4": "a.mp4"})
    return part


@pytest.fixture
def layouts(clips, tmp_path) -> list[DataRoot]:
    """Two data roots with copies of the clips."""
    made = [DataRoot(tmp_path / "steps"), DataRoot(tmp_path / "pass")]
    for layout in made:
        shutil.copytree(clips, layout.root / clips.name)
    return made


def all_outputs(dataset: Dataset) -> set[tuple[str, str]]:
    return {(stage.name, video.video_id) for stage in FAMILY_STAGES for video in stage.videos(dataset)}


def functions(layout: DataRoot, suffix: str) -> dict[Stage, Callable[..., object]]:
    """What each step does with one video."""
    return {
        DETECT: partial(detect_boxes, detector=BOXES, layout=layout, facts=FACTS),
        CROPS: partial(cut_crops, layout=layout, suffix=suffix),
        LANDMARKS: partial(find_landmarks, detectors=LANDMARK_DETECTORS, layout=layout),
        DIFFS: partial(compare_crops, layout=layout),
    }


def run_steps(layout: DataRoot, suffix: str = ".png") -> dict[tuple[str, str], str]:
    """The four steps one after the other: why outputs failed."""
    dataset = read_dataset(layout.root)
    failed = {}
    for stage in FAMILY_STAGES:
        for video in stage.videos(dataset):
            try:
                functions(layout, suffix)[stage](video)
            except ValueError as error:
                failed[stage.name, video.video_id] = str(error)
    return failed


def run_pass(layout: DataRoot, suffix: str = ".png", todo: set[tuple[str, str]] | None = None) -> list[OutputResult]:
    dataset = read_dataset(layout.root)
    job = FamilyJob(layout, {stage.name: Task(function) for stage, function in functions(layout, suffix).items()})
    todo = all_outputs(dataset) if todo is None else todo
    return [result for family in families(dataset, todo) for result in job(family)]


def failures(results: list[OutputResult]) -> dict[tuple[str, str], str]:
    return {result.output: result.reason for result in results if result.reason is not None}


def tree(layout: DataRoot) -> dict[str, bytes]:
    made = (path for path in layout.root.rglob("*") if path.is_file() and "dfdc" not in str(path))
    return {str(path.relative_to(layout.root)): path.read_bytes() for path in made}


def without_root(reasons: dict[tuple[str, str], str], layout: DataRoot) -> dict[tuple[str, str], str]:
    return {output: reason.replace(str(layout.root), "ROOT") for output, reason in reasons.items()}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_the_files_are_those_of_the_steps(layouts, suffix):
    steps, one = layouts
    assert run_steps(steps, suffix) == {}
    results = run_pass(one, suffix)
    assert failures(results) == {}
    assert tree(one) == tree(steps)
    assert len(list(one.landmarks.glob("*/*.npy"))) == 5 and len(list(one.diffs.glob("*/*.png"))) == 5
    for result in results:
        path = output_path(one, result.output)
        assert result.cost.bytes == sum(p.stat().st_size for p in ([path] if path.is_file() else path.iterdir()))


def test_every_video_is_decoded_once_and_no_crop_read(layouts, monkeypatch):
    opened = []

    def watched(read):
        return lambda path, *more, **options: opened.append(path.stem) or read(path, *more, **options)

    def refuse(path):
        raise AssertionError(f"{path} is read")

    for name in ("iter_every", "iter_frames"):
        monkeypatch.setattr(video_steps, name, watched(getattr(video_steps, name)))
    monkeypatch.setattr(crops, "read_image", refuse)
    assert failures(run_pass(layouts[1])) == {}
    assert sorted(opened) == ["a", "a_short", "a_x", "b"]


def test_more_crops_than_memory_may_hold_change_no_file(layouts, monkeypatch):
    steps, one = layouts
    run_steps(steps)
    kept = []
    size = sum(crop.nbytes for crop in CropFolder(steps.crops / "a").values())

    class Tiny(KeptCrops):
        def __init__(self) -> None:
            super().__init__(limit=size - 1)
            kept.append(self)

    monkeypatch.setattr(video_steps, "KeptCrops", Tiny)
    assert failures(run_pass(one)) == {}
    assert {each.crops is None for each in kept} == {True, False}
    assert tree(one) == tree(steps)


def test_what_is_there_already_is_left_as_it_is(layouts):
    steps, one = layouts
    run_steps(steps)
    everything = tree(steps)
    outputs = sorted(all_outputs(read_dataset(steps.root)))
    shutil.copytree(steps.root, one.root, dirs_exist_ok=True)
    draw = np.random.default_rng(0)
    for _ in range(4):
        missing = {output for output in outputs if draw.random() < 0.5}
        kept = {output: output_path(one, output).stat().st_mtime_ns for output in outputs if output not in missing}
        for output in missing:
            path = output_path(one, output)
            path.unlink() if path.is_file() else shutil.rmtree(path)
        assert {result.output for result in run_pass(one, todo=missing)} == missing
        assert tree(one) == everything
        assert {output: output_path(one, output).stat().st_mtime_ns for output in kept} == kept


def test_failures_are_those_of_the_steps(layouts, mini_dfdc):
    source = mini_dfdc / "dfdc_train_part_1" / "d0_d3.mp4"
    for layout in layouts:
        part = layout.root / "dfdc_train_part_0"
        (part / "b.mp4").write_bytes(b"no video")
        shutil.copy(part / "a_x.mp4", part / "b_x.mp4")
        (part / "a_short.mp4").unlink()
        cut(source, part / "a_small.mp4", 6, "-vf", "scale=256:256")
        fakes = {"b_x.mp4": "b.mp4", **{f"{name}.mp4": "a.mp4" for name in ("a_x", "a_short", "a_small")}}
        write_metadata(part, ["a.mp4", "b.mp4"], fakes)
    ends = [without_root(run_steps(layouts[0]), layouts[0]), without_root(failures(run_pass(layouts[1])), layouts[1])]
    assert ends[0] == ends[1]
    assert len(ends[0]) == 3 + 2 + 4 and "no boxes of b" in ends[1][CROPS.name, "b_x"]
    assert tree(layouts[0]) == tree(layouts[1])


def test_a_mask_that_cannot_be_made_costs_no_crops(layouts, monkeypatch):
    def refuse(original, fake):
        raise ValueError("too small")

    monkeypatch.setattr(video_steps, "difference_mask", refuse)
    assert failures(run_pass(layouts[1])) == {(DIFFS.name, name): "too small" for name in ("a_x", "a_short")}
    assert len(list(layouts[1].crops.iterdir())) == 4 and not list(layouts[1].diffs.glob("*"))


def test_a_full_disk_is_not_a_videos_failure(layouts, monkeypatch):
    def full(path, points):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(video_steps, "write_landmarks", full)
    with pytest.raises(OSError, match="No space left"):
        run_pass(layouts[1])
    assert layouts[1].boxes_file("a").exists() and not list(layouts[1].landmarks.glob("*"))


def test_a_family_falls_into_pieces(clips):
    dataset = read_dataset(clips.parent)
    todo = all_outputs(dataset)
    a, b = families(dataset, todo)
    assert (a.original.video_id, [fake.video_id for fake in a.fakes]) == ("a", ["a_x", "a_short"])
    assert a.todo | b.todo == todo and a.videos == {"a", "a_x", "a_short"} and b.fakes == ()
    original, fakes = a.pieces(a.todo - {(DIFFS.name, "a_x"), (CROPS.name, "a_x")})
    assert [(piece.original.video_id, piece.fakes, piece.videos) for piece in original] == [("a", (), {"a"})]
    assert [[fake.video_id for fake in piece.fakes] for piece in fakes] == [["a_short"]]
    assert families(dataset, {(DIFFS.name, "a_x")}) == [Family(a.original, a.fakes, frozenset({(DIFFS.name, "a_x")}))]
    assert families(dataset, set()) == []


def test_crops_in_memory_are_those_of_the_files(tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (40, 30, 3), np.uint8)
    for suffix in (".png", ".jpg", ".webp"):
        write_image(tmp_path / f"10_0{suffix}", noise)
        assert (as_written(noise, encode_image(noise, suffix), suffix) == read_image(tmp_path / f"10_0{suffix}")).all()
        folder = CropFolder(tmp_path)
        assert (
            list(folder) == [(10, 0)]
            and (10, 1) not in folder
            and (folder[10, 0] == as_written(noise, encode_image(noise, suffix), suffix)).all()
        )
        (tmp_path / f"10_0{suffix}").unlink()
    frame = Frame(20, noise)
    ((name, crop),) = cut_out(frame, [Face((200.0, 5.0, 220.0, 20.0)), Face((5.0, 5.0, 20.0, 20.0))])
    assert name == (20, 1) and crop.base is None and (crop == noise[0:25, 0:25]).all()


class Rounding:
    """Finds one face, whose edge the box file rounds up to the next pixel."""

    def detect(self, frames):
        return [[Face((99.99999, 100.0, 160.0, 170.0))] for _ in frames]


def test_faces_are_cut_out_as_the_box_file_gives_them(layouts):
    face = Face((9.99999, 1.23456789, 30.0, 40.0), 0.123456789, ((1.00001, 2.0),) * 5)
    assert as_stored(face) == Face((10.0, 1.2346, 30.0, 40.0), 0.123457, ((1.0, 2.0),) * 5)
    layout = layouts[0]
    video = read_dataset(layout.root).videos["b"]
    kept = detect_boxes(video, Rounding(), layout, FACTS, keep=True)
    read = cut_crops(video, layout, ".png", keep=True)
    assert kept is not None and read is not None and list(kept) == list(read) == [(0, 0), (5, 0)]
    assert all((kept[name] == read[name]).all() and kept[name].shape[1] == 100 for name in read)


def test_crops_of_frames_of_several_sizes_are_left_to_the_reading_that_tells(layouts, monkeypatch):
    frames = [Frame(i, np.zeros((200 + i, 300, 3), np.uint8)) for i in (0, 5)]
    monkeypatch.setattr(video_steps, "iter_every", lambda *_, **__: iter(frames))
    video = read_dataset(layouts[0].root).videos["b"]
    assert detect_boxes(video, Rounding(), layouts[0], FACTS, keep=True) is None
