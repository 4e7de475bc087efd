"""Steps 1 to 4 as one pass over the families of a data set. A step that runs alone is the pass with one kind of output.

A piece of work is a whole family where several kinds of output are made: the later ones find the crops in memory. Of
one kind there is nothing to share, so each video is a piece of its own, and workers share large families.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from deepfake.cli.reading_options import chosen_limits, limit_arguments
from deepfake.datasets.data_root import DataRoot, is_there
from deepfake.datasets.manipulation_masks import DATASET
from deepfake.datasets.records import Dataset, VideoRecord
from deepfake.datasets.run_records import Header
from deepfake.datasets.stages import CROPS, DETECT, DIFFS, LANDMARKS, Stage
from deepfake.faces.boxes import MARGIN, BoxFile, write_boxes
from deepfake.faces.detectors import PRESETS, FaceDetector, get_preset
from deepfake.faces.detectors.portable import PortableDetector
from deepfake.faces.detectors.stream import detect_videos
from deepfake.media.video import LIMITS, ReadLimits, VideoError
from deepfake.parallel.workers import Cost, Outcome, Task, output_bytes
from deepfake.storage.locks import writing_folder
from preprocessing.pipeline.arguments import chosen_dataset, chosen_device, root_arguments
from preprocessing.pipeline.families import Family, FamilyJob, families, output_path
from preprocessing.pipeline.video_steps import (
    compare_crops,
    cut_crops,
    detect_boxes,
    find_landmarks,
    frames_to_look_at,
    size_for_boxes,
)
from preprocessing.pipeline.work import (
    Output,
    OutputResult,
    Plan,
    Work,
    longest_first,
    open_team,
    plan_work,
    record_results,
    run_work,
    stage_work,
    video_size,
)

PASS = "preprocess_videos"
"""The program that makes all kinds of output."""

LANDMARK_DETECTORS = tuple(PortableDetector(PRESETS[name]) for name in ("landmarks-quick", "landmarks"))
"""The quick one, then the thorough one for crops where that finds nothing."""

Team = Callable[[Sequence[Family]], Iterable[Outcome[Family]]]


def run_steps(stages: Sequence[Stage], layout: DataRoot, args: argparse.Namespace) -> int:
    """Make the outputs of some of steps 1 to 4, print and record what came of them, and return the exit code.

    With CUDA all boxes are found first, by one detector in this process that takes batches of several videos: a
    forked process cannot use CUDA.

    Args:
        stages: in the order of work.
        args: the command line's, with the options of these steps.

    Raises:
        ValueError: see `run_work`.
    """
    dataset = chosen_dataset(args)
    works = make_works(stages, layout, dataset, args)
    first, is_alone = works[0], len(works) == 1
    with writing_folder(layout.root):
        plans = [plan_work(work, args) for work in works]  # all of them: refused before the first one begins
        # The records of several steps give the arguments with which each would do its part alone.
        arguments = {work.step: None if is_alone else step_arguments(work.step, args) for work in works}
        codes = []
        if first.on_gpu:
            codes.append(run_work(first, args, arguments[first.step]))
            plans = plans[1:]
        if plans:
            headers = {plan: plan.header(args, arguments[plan.work.step]) for plan in plans}
            codes.append(_run_pass(headers, dataset, layout, args, first.step if is_alone else PASS))
        return max(codes)


def _run_pass(
    headers: Mapping[Plan[VideoRecord], Header],
    dataset: Dataset,
    layout: DataRoot,
    args: argparse.Namespace,
    description: str,
) -> int:
    """Do what several steps have to do, a family at a time. The arguments are those of `record_results`."""
    plans = list(headers)
    job = FamilyJob(layout, {plan.work.step: plan.work.task for plan in plans})
    todo = longest_first(_pieces(dataset, plans), _family_size)
    with open_team(Task(job, prepare=job.load), args) as team:

        def results(marker: Path) -> Iterator[list[OutputResult]]:
            return family_results(todo, partial(team, marker=marker), layout, plans[0].redo_all)

        return record_results(headers, results, description)


def make_works(
    stages: Sequence[Stage], layout: DataRoot, dataset: Dataset, args: argparse.Namespace
) -> list[Work[VideoRecord]]:
    """Return the works of some of steps 1 to 4 in one run: with the settings of those of them that they build on."""
    works: dict[Stage | None, Work[VideoRecord]] = {}
    for stage in stages:
        function, settings, more = _MAKERS[stage](layout, dataset, args)
        works[stage] = stage_work(stage, layout, dataset, function, settings, works.get(stage.source), **more)
    return list(works.values())


Maker = tuple[Callable[..., object], dict[str, Any], dict[str, Any]]
"""A step's function of one video, the settings that decide its outputs, other fields of its work."""


def _detection(layout: DataRoot, dataset: Dataset, args: argparse.Namespace) -> Maker:
    settings = get_preset(args.preset)
    if args.scale is not None:
        settings = settings.with_scale(args.scale)
    facts = {"detector": "mtcnn", "preset": args.preset, "every": args.every, **settings.to_dict()}
    device = chosen_device(args)
    detector = PortableDetector(settings, device)
    how: dict[str, Any] = {"detector": detector, "layout": layout, "facts": facts, "limits": chosen_limits(args)}
    more: dict[str, Any] = {"prepare": detector.load}
    if device == "cuda":
        more |= {"on_gpu": True, "all_at_once": partial(detect_on_cuda, workers=args.workers, **how)}
    return partial(detect_boxes, **how), facts, more


def _crops(layout: DataRoot, dataset: Dataset, args: argparse.Namespace) -> Maker:
    cut = partial(cut_crops, layout=layout, suffix=f".{args.format}", limits=chosen_limits(args))
    return cut, {"format": args.format, "margin": MARGIN}, {}


def _landmarks(layout: DataRoot, dataset: Dataset, args: argparse.Namespace) -> Maker:
    find = partial(find_landmarks, detectors=LANDMARK_DETECTORS, layout=layout)
    detectors = [detector.settings.to_dict() for detector in LANDMARK_DETECTORS]
    return find, {"crops": layout.crops_name, "detectors": detectors}, {"prepare": _load_landmark_detectors}


def _diffs(layout: DataRoot, dataset: Dataset, args: argparse.Namespace) -> Maker:
    compare = partial(compare_crops, layout=layout, masks=args.masks, limits=chosen_limits(args))
    alone = dataset.unattributed
    own = [fake for fake in alone if fake.mask is not None] if args.masks == DATASET else []
    more: dict[str, Any] = {"items": longest_first([*DIFFS.videos(dataset), *own])} if own else {}
    if without := len(alone) - len(own):
        reason = "name no original: their faces are looked for in themselves, they get no masks"
        more["note"] = f"{without} fakes {reason}"
    return compare, {"crops": layout.crops_name, "masks": args.masks}, more


_MAKERS = {DETECT: _detection, CROPS: _crops, LANDMARKS: _landmarks, DIFFS: _diffs}


def _load_landmark_detectors() -> None:
    for detector in LANDMARK_DETECTORS:
        detector.load()


def detect_on_cuda(
    videos: Sequence[VideoRecord],
    detector: FaceDetector,
    layout: DataRoot,
    facts: dict[str, Any],
    workers: int,
    limits: ReadLimits = LIMITS,
) -> Iterator[Outcome[VideoRecord]]:
    """Write the videos' box files: processes decode, the one detector takes batches of frames of several videos.

    Yields what came of each video.
    """
    for video in filter(attrgetter("is_cut_out"), videos):
        try:
            detect_boxes(video, detector, layout, facts, limits=limits)
        except VideoError as error:
            yield Outcome(video, str(error))
        else:
            yield Outcome(video, None)
    in_frames = [video for video in videos if not video.is_cut_out]
    looked_at = partial(frames_to_look_at, every=facts["every"], limits=limits)
    for found in detect_videos(in_frames, looked_at, detector, workers):
        if found.error is None:
            size = size_for_boxes(found.item, found.sizes)
            write_boxes(layout.boxes_file(found.item.video_id), BoxFile(found.frames, size, facts))
        yield Outcome(found.item, None if found.error is None else str(found.error))


def _pieces(dataset: Dataset, plans: Sequence[Plan[VideoRecord]]) -> list[Family]:
    """Return the pieces of work: families, or single videos where only one kind of output is to be made."""
    whole = families(dataset, {(plan.work.step, video) for plan in plans for video in plan.todo})
    if len(plans) > 1:
        return whole
    return [piece for family in whole for some in family.pieces(family.todo) for piece in some]


def family_results(
    todo: Sequence[Family], team: Team, layout: DataRoot, redo_all: bool = False
) -> Iterator[list[OutputResult]]:
    """Yield what came of the outputs of each family.

    Args:
        redo_all: an output that is there may be one of an earlier run.

    A family whose process died is done again, the original alone, then each fake alone: one video that crashes its
    decoder costs no other's outputs.
    """
    originals: list[Family] = []
    fakes: list[Family] = []
    for outcome in team(todo):
        if outcome.reason is None:
            yield outcome.cost.result
        elif len(outcome.item.videos) == 1:
            yield _failed(outcome, layout, redo_all)
        else:
            made, left = _split(outcome.item, layout, redo_all)
            yield made
            original, alone = outcome.item.pieces(left)
            originals += original
            fakes += alone
    for pieces in (originals, fakes):
        for outcome in team(pieces):
            yield outcome.cost.result if outcome.reason is None else _failed(outcome, layout, redo_all)


def _failed(outcome: Outcome[Family], layout: DataRoot, redo_all: bool) -> list[OutputResult]:
    """Return the results of a video whose process died: what it had not made has failed."""
    made, left = _split(outcome.item, layout, redo_all)
    return [*made, *(OutputResult(output, outcome.reason) for output in sorted(left))]


def _split(family: Family, layout: DataRoot, redo_all: bool) -> tuple[list[OutputResult], set[Output]]:
    """Return what the process that died had made of a family, and what is left."""
    there = set() if redo_all else {output for output in family.todo if is_there(output_path(layout, output))}
    sizes = {output: output_bytes(output_path(layout, output)) for output in sorted(there)}
    made = [OutputResult(output, None, Cost(bytes=size)) for output, size in sizes.items()]
    return made, set(family.todo) - there


def step_arguments(step: str, args: argparse.Namespace) -> list[str]:
    """Return the arguments with which the step alone does what the pass does."""
    given = ["--workers", str(args.workers), *root_arguments(args)]
    if args.scheduler is not None:
        given += ["--scheduler", args.scheduler]
    if args.mix_settings:
        given += ["--mix-settings"]
    if step in (DETECT.name, CROPS.name, DIFFS.name):
        given += limit_arguments(args)
    if step == DETECT.name:
        given += ["--every", str(args.every), "--preset", args.preset, "--device", args.device]
        return given if args.scale is None else [*given, "--scale", str(args.scale)]
    given += ["--crops-dir", args.crops_dir]
    further = {CROPS.name: ["--format", args.format], DIFFS.name: ["--masks", args.masks]}
    return given + further.get(step, [])


def _family_size(family: Family) -> int:
    """Return the bytes of its videos, for the order of work."""
    return sum(video_size(video) for video in (family.original, *family.fakes) if video.video_id in family.videos)
