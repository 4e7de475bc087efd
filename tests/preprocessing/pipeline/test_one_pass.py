"""A step is the pass with one kind of output: a video is then a piece of work of its own, tried no more than needed."""

import argparse
import json
import os
import signal

import numpy as np
import pytest

from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import Dataset
from deepfake.datasets.stages import CROPS, DETECT, DIFFS, LANDMARKS, Stage
from deepfake.faces.detectors.portable import PortableDetector
from deepfake.parallel.workers import Outcome, Task, outcomes
from preprocessing import preprocess_videos
from preprocessing.pipeline import one_pass, video_steps
from preprocessing.pipeline.families import Family
from preprocessing.pipeline.one_pass import family_results, make_works
from preprocessing.pipeline.work import Plan, plan_work
from tests.data.steps import linked_root, tree


@pytest.fixture
def layout(tmp_path) -> DataRoot:
    """An original with two fakes, one without."""
    reals = {f"{name}.mp4": {"label": "REAL"} for name in "ab"}
    fakes = {f"{name}.mp4": {"label": "FAKE", "original": "a.mp4"} for name in "xy"}
    (tmp_path / "metadata.json").write_text(json.dumps(reals | fakes))
    return DataRoot(tmp_path)


@pytest.fixture
def args(monkeypatch, layout) -> argparse.Namespace:
    monkeypatch.setattr("sys.argv", ["step", "--root-dir", str(layout.root), "--device", "cpu"])
    return preprocess_videos.parse_args()


def plans(stages: list[Stage], layout: DataRoot, dataset: Dataset, args: argparse.Namespace) -> list[Plan]:
    return [plan_work(work, args) for work in make_works(stages, layout, dataset, args)]


@pytest.mark.parametrize(
    "stages, expected",
    [
        ([DETECT], ["a", "b"]),
        ([CROPS], ["a", "b", "x", "y"]),
        ([LANDMARKS], ["a", "b"]),
        ([DIFFS], ["x", "y"]),
        ([CROPS, LANDMARKS, DIFFS], ["axy", "b"]),
    ],
)
def test_families_stay_together_where_there_is_something_to_share(stages, expected, layout, args):
    dataset = read_dataset(layout.root)
    pieces = one_pass._pieces(dataset, plans(stages, layout, dataset, args))
    assert sorted("".join(sorted(piece.videos)) for piece in pieces) == expected


def test_settings_of_a_step_hold_those_of_its_source_in_the_same_run(layout, args):
    dataset = read_dataset(layout.root)
    boxes, crops = make_works([DETECT, CROPS], layout, dataset, args)
    assert crops.settings[DETECT.name] == boxes.settings
    (alone,) = make_works([CROPS], layout, dataset, args)
    assert DETECT.name not in alone.settings, "nobody wrote down how the boxes were made"


def test_a_step_alone_keeps_no_crops_in_memory(layout, args, monkeypatch):
    def refuse(*_):
        raise AssertionError("a crop is decoded as its file holds it")

    monkeypatch.setattr(video_steps, "as_written", refuse)
    monkeypatch.setattr(video_steps, "_cut_out_of_video", lambda *_: iter([((0, 0), np.zeros((4, 4, 3), np.uint8))]))
    dataset = read_dataset(layout.root)
    args.workers = 1
    assert one_pass.run_steps([CROPS], layout, args) == 0
    assert sorted(path.name for path in layout.crops.iterdir()) == sorted(dataset.videos)


def die(family: Family) -> list:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def test_a_single_video_that_kills_its_process_is_handed_in_once(layout):
    video = read_dataset(layout.root).videos["a"]
    handed_in: list[Family] = []

    def team(todo: list[Family]) -> list[Outcome[Family]]:
        handed_in.extend(todo)
        return list(outcomes(todo, Task(die), workers=1))

    piece = Family(video, (), frozenset({(DETECT.name, "a")}))
    ((result,),) = family_results([piece], team, layout)
    assert "process died" in result.reason and handed_in == [piece]
    layout.boxes.mkdir()
    layout.boxes_file("a").write_text("{}")
    ((made,),) = family_results([piece], team, layout)
    assert made.reason is None and made.cost.bytes == 2, "it died after its output was there"


@pytest.mark.parametrize("stages", [[DETECT], [DETECT, CROPS]])
def test_boxes_found_by_one_detector_are_those_of_the_pass(stages, data_root, small_parts, tmp_path, monkeypatch):
    """As with CUDA, but on the CPU: processes decode, this one detects, then the pass goes on with the boxes."""
    roots = [data_root, linked_root(small_parts, tmp_path / "all at once")]
    for root in roots:
        monkeypatch.setattr("sys.argv", ["step", "--root-dir", str(root), "--device", "cpu", "--workers", "2"])
        assert one_pass.run_steps(stages, DataRoot(root), preprocess_videos.parse_args()) == 0
        monkeypatch.setattr(one_pass, "chosen_device", lambda args: "cuda")
        monkeypatch.setattr(one_pass, "PortableDetector", lambda settings, device: PortableDetector(settings))
    assert tree(roots[0]) == tree(roots[1]) and len(list((roots[1] / "boxes").iterdir())) == 2
    for stage in stages:
        one, other = (stage.runs(DataRoot(root))[0] for root in roots)
        assert one.header.settings == other.header.settings
        made = [{entry.video: (entry.status, entry.bytes) for entry in run.entries} for run in (one, other)]
        assert made[0] == made[1] and len(made[0]) == len(one.entries)
