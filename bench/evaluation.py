"""Seconds that evaluate.py's figures of recorded scores take, with every breakdown, and the memory."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from deepfake.cli.commandline import positive_int
from deepfake.datasets.records import Dataset, VideoRecord
from deepfake.evaluation.evaluating import Evaluation, MeasureOptions, evaluate
from deepfake.evaluation.recorded import ScoredVideo
from visualize.evaluation_page import render_evaluation

EPILOG = """example:
  python bench/evaluation.py --videos 10000 --frames 32
"""
METHODS, COMPRESSIONS, SPLITS = ("a", "b", "c", "d", "e"), ("raw", "c23", "c40"), ("train", "val", "test")
FAKES_PER_REAL = 4


def recorded(videos: int, frames: int) -> tuple[Dataset, dict[str, ScoredVideo]]:
    """Return a data set of originals with their fakes, and random scores that tell them apart a little."""
    rng = np.random.default_rng(0)
    records, found = {}, {}
    for i in range(videos):
        original, kind = divmod(i, FAKES_PER_REAL + 1)
        name, label = f"v{original}_{kind}", int(kind > 0)
        records[name] = VideoRecord(
            name, Path(f"{name}.mp4"), label, f"v{original}_0" if label else None,
            method=METHODS[i % len(METHODS)] if label else None, compression=COMPRESSIONS[original % 3],
            split=SPLITS[original % 3],
        )  # fmt: skip
        scores = rng.normal(0.4 + 0.2 * label, 0.2, frames).clip(0, 1)
        found[name] = ScoredVideo(
            float(scores.mean()), "", scores, float(rng.uniform(30, 400)), int(rng.integers(1, 4))
        )
    return Dataset(records), found


def measure(videos: int, frames: int, bootstrap: int) -> Evaluation:
    """Evaluate random scores."""
    dataset, found = recorded(videos, frames)
    names = {name: name for name in found}
    return evaluate(dataset, found, names, "drop", MeasureOptions(bootstrap), {"set": "random"})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=positive_int, default=10000, metavar="N", help="default: %(default)s")
    parser.add_argument("--frames", type=positive_int, default=32, metavar="N", help="of a video, default: %(default)s")
    parser.add_argument("--bootstrap", type=positive_int, default=1000, metavar="N", help="default: %(default)s")
    args = parser.parse_args()
    start = time.perf_counter()
    evaluation = measure(args.videos, args.frames, args.bootstrap)
    measured = time.perf_counter()
    page = render_evaluation(evaluation, Path())
    drawn = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(evaluation.videos)} videos, {len(evaluation.cells)} cells: figures {measured - start:.1f} s")
    print(f"page of {len(page) >> 10} KB: {drawn - measured:.1f} s; peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
