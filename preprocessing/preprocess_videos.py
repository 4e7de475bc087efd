"""Steps 1 to 4 in one pass: an original and its fakes at a time, each video decoded once. The files are the same."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from deepfake.cli.reading_options import chosen_limits, limit_arguments
from deepfake.datasets.layout import DataRoot, is_there
from deepfake.datasets.metadata import VideoRecord, read_dataset
from deepfake.datasets.run_records import Record
from deepfake.datasets.stages import CROPS, DETECT
from deepfake.faces.detectors.portable import PortableDetector
from deepfake.parallel.workers import Cost, Failure, Outcome, Summary, Task, output_bytes
from deepfake.storage.locks import writing_folder
from preprocessing.pipeline.families import Ending, Family, Output, Recipe, families, output_path
from preprocessing.pipeline.work import (
    Plan,
    add_crops_dir,
    choose_device,
    finish,
    longest_first,
    make_parser,
    open_team,
    plan_work,
    run_main,
    run_work,
    seen_by_all,
    video_size,
)
from preprocessing.pipeline.works import (
    LANDMARK_DETECTORS,
    add_detection,
    add_format,
    crops_work,
    detection,
    detection_work,
    diffs_work,
    landmarks_work,
)

STEP = Path(__file__).stem

Team = Callable[[Sequence[Family]], Iterable[Outcome[Family]]]


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Does the work of detect_original_faces.py, extract_crops.py, generate_landmarks.py and generate_diffs.py in "
        "one pass: a worker takes an original and its fakes, and decodes each once. Files, lists of failures and "
        "records are those of the four steps, so both ways can be mixed at any point. With --device cuda all boxes "
        "are found first, as detect_original_faces.py does: originals are decoded twice.",
        f"python preprocessing/{STEP}.py --root-dir DATA_ROOT --workers 8",
    )
    add_detection(parser)
    add_crops_dir(parser)
    add_format(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = DataRoot(seen_by_all(args.root_dir, args), args.crops_dir)
    on_cuda = choose_device(args) == "cuda"
    boxes = detection_work(layout, args, on_cuda)
    crops = crops_work(layout, args, boxes)
    works = [boxes, crops, landmarks_work(layout, crops), diffs_work(layout, crops)]
    settings, facts = detection(args)
    recipe = Recipe(
        layout, PortableDetector(settings), facts, LANDMARK_DETECTORS, f".{args.format}", chosen_limits(args)
    )
    with writing_folder(layout.root):
        plans = [plan_work(work, args) for work in works]  # all of them: refused before the first one begins
        code = 0
        if on_cuda:
            code = run_work(boxes, args, step_arguments(boxes.step, args))
            plans = plans[1:]
        return max(code, run_plans(plans, recipe, args))


def run_plans(plans: Sequence[Plan[VideoRecord]], recipe: Recipe, args: argparse.Namespace) -> int:
    """Does what several steps have to do in one pass, prints and records what came of each: the exit code."""
    start = time.monotonic()
    outputs = {(plan.work.step, video) for plan in plans for video in plan.todo}
    todo = longest_first(families(read_dataset(recipe.layout.root), outputs), family_size)
    with contextlib.ExitStack() as stack:
        team = stack.enter_context(open_team(Task(recipe, prepare=recipe.load), args))
        ledgers = {plan.work.step: stack.enter_context(Ledger(plan, args)) for plan in plans}
        marker = ledgers[plans[0].work.step].record.path
        done = family_endings(todo, partial(team, marker=marker), recipe.layout, plans[0].redo_all)
        all_videos = {plan.work.key(item) for plan in plans for item in plan.items}
        left = {video for _, video in outputs}
        counts = {"total": len(all_videos | left), "initial": len(all_videos - left), "unit": "video", "smoothing": 0}
        with tqdm(desc=STEP, mininterval=0.5, **counts) as bar:
            for endings in done:
                for ending in endings:
                    ledgers[ending.output[0]].add(ending)
                bar.set_postfix(failed=sum(ledger.failed for ledger in ledgers.values()), refresh=False)
                bar.update(len({ending.output[1] for ending in endings}))
        seconds = time.monotonic() - start
        return max(ledger.end(seconds) for ledger in ledgers.values())


class Ledger:
    """The record and the summary of one step's part in the pass. A context manager around `add` and `end`."""

    def __init__(self, plan: Plan[VideoRecord], args: argparse.Namespace) -> None:
        self._plan = plan
        self._summary = Summary(skipped=len(plan.items) - len(plan.todo))
        self.record = Record(plan.work.root, plan.header(args, step_arguments(plan.work.step, args)))

    def __enter__(self) -> Ledger:
        self.record.__enter__()
        for failure in self._plan.work.failures:
            self.record.add(failure.key, failure.reason)
        return self

    def __exit__(self, *raised: Any) -> None:
        self.record.__exit__(*raised)

    @property
    def failed(self) -> int:
        return len(self._summary.failures)

    def add(self, ending: Ending) -> None:
        video = ending.output[1]
        self.record.add(video, ending.reason, ending.cost)
        if ending.reason is None:
            self._summary.done += 1
        else:
            self._summary.failures.append(Failure(video, ending.reason))

    def end(self, seconds: float) -> int:
        """The pass is complete: the exit code."""
        self._summary.seconds = seconds
        work = self._plan.work
        code = finish(work.step, self._summary, work.root, work.failures, work.note)
        self.record.end(self._summary)
        return code


def family_endings(
    todo: Sequence[Family], team: Team, layout: DataRoot, redo_all: bool = False
) -> Iterator[list[Ending]]:
    """What came of the outputs of each family.

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
            continue
        made, left = split(outcome.item, layout, redo_all)
        yield made
        original, alone = outcome.item.pieces(left)
        originals += original
        fakes += alone
    for pieces in (originals, fakes):
        for outcome in team(pieces):
            if outcome.reason is None:
                yield outcome.cost.result
            else:
                made, left = split(outcome.item, layout, redo_all)
                yield [*made, *(Ending(output, outcome.reason) for output in sorted(left))]


def split(family: Family, layout: DataRoot, redo_all: bool) -> tuple[list[Ending], set[Output]]:
    """What the process that died had made of a family, and what is left."""
    there = set() if redo_all else {output for output in family.todo if is_there(output_path(layout, output))}
    made = [Ending(output, None, Cost(bytes=output_bytes(output_path(layout, output)))) for output in sorted(there)]
    return made, set(family.todo) - there


def step_arguments(step: str, args: argparse.Namespace) -> list[str]:
    """The arguments with which the step alone does what the pass does."""
    given = ["--workers", str(args.workers)]
    if args.scheduler is not None:
        given += ["--scheduler", args.scheduler]
    if args.mix_settings:
        given += ["--mix-settings"]
    if step in (DETECT.name, CROPS.name):
        given += limit_arguments(args)
    if step == DETECT.name:
        given += ["--every", str(args.every), "--preset", args.preset, "--device", args.device]
        return given if args.scale is None else [*given, "--scale", str(args.scale)]
    given += ["--crops-dir", args.crops_dir]
    return [*given, "--format", args.format] if step == CROPS.name else given


def family_size(family: Family) -> int:
    """Bytes of its videos, for the order of work."""
    return sum(video_size(video) for video in (family.original, *family.fakes) if video.video_id in family.videos)


if __name__ == "__main__":
    run_main(main)
