"""What preprocessing costs: wall time, rate, peak memory, and the ratio to decoding alone; in one pass, and by step."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measuring import pauses, tree_memory
from deepfake.cli.commandline import positive_int
from deepfake.datasets.data_root import part_folder
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import Dataset, VideoRecord
from deepfake.media.encode import write_video
from deepfake.media.video import count_frames, iter_frames
from deepfake.parallel.pool import default_workers
from deepfake.storage.own_folders import METADATA_NAME

PASS = "preprocess_videos"
STEPS = ("detect_original_faces", "extract_crops", "generate_landmarks", "generate_diffs")
FOLDS = "generate_folds"
WAYS = {"one pass": (PASS, FOLDS), "five steps": (*STEPS, FOLDS)}
SCALING_WORKERS = (1, 2)
SCALING_VIDEOS = (10, 100)

_NOTHING = 1e-3

ROOT = Path(__file__).resolve().parents[1]

Copy = tuple[VideoRecord, str]
"""A video of the data set, and what its name ends in here: each may be there several times."""


@dataclass(frozen=True)
class Measurement:
    """Wall seconds of one command, processor seconds and the peak of proportional memory of its process tree."""

    seconds: float
    processor: float
    peak_mib: float = 0.0

    @staticmethod
    def least(runs: Sequence[Measurement]) -> Measurement:
        """The least of all seconds, the highest peak."""
        seconds, processor = min(run.seconds for run in runs), min(run.processor for run in runs)
        return Measurement(seconds, processor, max(run.peak_mib for run in runs))

    @staticmethod
    def total(runs: Sequence[Measurement]) -> Measurement:
        """One after the other."""
        seconds, processor = sum(run.seconds for run in runs), sum(run.processor for run in runs)
        return Measurement(seconds, processor, max(run.peak_mib for run in runs))


@dataclass(frozen=True)
class Cost:
    """What a command takes, and what of it is start-up."""

    whole: Measurement
    start_up: Measurement

    @property
    def working(self) -> Measurement:
        """Without start-up."""
        seconds = max(self.whole.seconds - self.start_up.seconds, _NOTHING)
        return Measurement(seconds, max(self.whole.processor - self.start_up.processor, _NOTHING))

    @staticmethod
    def total(costs: Sequence[Cost]) -> Cost:
        """Of commands one after the other."""
        whole, start_up = [cost.whole for cost in costs], [cost.start_up for cost in costs]
        return Cost(Measurement.total(whole), Measurement.total(start_up))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Preprocesses a data set in a temporary folder (DATA_ROOT stays as it is), in one pass and by the "
        "five steps, and compares with the floor: decoding every frame of every video, one process a core. A "
        "command's start-up is what it takes over an original and a fake of one frame each. Where other work has the "
        "machine, processor time (without start-up) tells more than wall time.",
        epilog="examples:\n  python bench/preprocess.py DATA_ROOT --videos 60 --repeat 3\n"
        "  python bench/preprocess.py DATA_ROOT --videos 60 --scaling",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data_root", type=Path, metavar="DATA_ROOT", help="data set in DFDC layout")
    parser.add_argument(
        "--workers", type=positive_int, default=default_workers(), metavar="N", help="default: one a core"
    )
    parser.add_argument("--preset", choices=["training", "published"], default="training", help="of the detection")
    parser.add_argument("--repeat", type=positive_int, default=1, metavar="N", help="runs; the fastest of each counts")
    parser.add_argument(
        "--videos",
        type=positive_int,
        metavar="N",
        help="take whole families of originals and fakes until there are N videos, under other names once each has "
        "been taken (default: every video once)",
    )
    parser.add_argument(
        "--scaling",
        action="store_true",
        help="instead: videos a second of the one pass with 1 and 2 workers, and its memory over 10 and 100 videos",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    dataset = read_dataset(args.data_root)
    with tempfile.TemporaryDirectory(prefix="bench_preprocess_") as scratch:
        single = lay_out_single_frames(dataset, Path(scratch, "single"))
        if args.scaling:
            tell_scaling(dataset, single, args)
        else:
            compare_ways(dataset, single, args)


def compare_ways(dataset: Dataset, single: Path, args: argparse.Namespace) -> None:
    copies = repeated(dataset, args.videos or len(dataset.videos))
    floors: list[Measurement] = []
    runs: dict[tuple[str, str], list[Measurement]] = {}
    starts: dict[tuple[str, str], list[Measurement]] = {}
    frames = 0
    for _ in range(args.repeat):
        floor, frames = decode_all(copies, args.workers)
        floors.append(floor)
        for way, commands in WAYS.items():
            for found, some in ((starts, read_copies(single)), (runs, copies)):
                for command, measured in run_commands(commands, some, args.workers, args.preset).items():
                    found.setdefault((way, command), []).append(measured)
    costs = {key: Cost(Measurement.least(found), Measurement.least(starts[key])) for key, found in runs.items()}
    report(len(copies), frames, Measurement.least(floors), costs)


def tell_scaling(dataset: Dataset, single: Path, args: argparse.Namespace) -> None:
    copies = repeated(dataset, args.videos or len(dataset.videos))
    floors: dict[int, list[Measurement]] = {}
    runs: dict[int, list[Measurement]] = {}
    starts: dict[int, list[Measurement]] = {}
    for _ in range(args.repeat):
        for workers in SCALING_WORKERS:
            floors.setdefault(workers, []).append(decode_all(copies, workers)[0])
            starts.setdefault(workers, []).append(run_pass(read_copies(single), workers, args.preset))
            runs.setdefault(workers, []).append(run_pass(copies, workers, args.preset))
    print(f"{'workers':24}{'seconds':>9}{'start-up':>10}{'videos/s':>10}{'gain':>7}{'gain of decoding':>18}")
    seconds = {}
    for workers in SCALING_WORKERS:
        cost = Cost(Measurement.least(runs[workers]), Measurement.least(starts[workers]))
        seconds[workers] = cost.working.seconds
        gain = seconds[SCALING_WORKERS[0]] / seconds[workers]
        of_decoding = Measurement.least(floors[SCALING_WORKERS[0]]).seconds / Measurement.least(floors[workers]).seconds
        figures = f"{cost.whole.seconds:9.2f}{cost.start_up.seconds:10.2f}{len(copies) / seconds[workers]:10.2f}"
        print(f"{workers:<24}{figures}{gain:7.2f}{of_decoding:18.2f}")
    print(f"{'videos, one worker':24}{'peak MiB':>9}")
    for count in SCALING_VIDEOS:
        some = repeated(dataset, count)
        # One worker: two may or may not be at the largest clips together.
        print(f"{len(some):<24}{run_pass(some, 1, args.preset).peak_mib:9.0f}")


def repeated(dataset: Dataset, count: int) -> list[Copy]:
    """`count` videos or some more: whole families, those of the largest files first, again and again."""
    families: dict[str, list[VideoRecord]] = {}
    for video in [*dataset.originals, *(fake for _, fake in dataset.pairs)]:
        families.setdefault(video.identity, []).append(video)
    order = sorted(families.values(), key=lambda family: max(v.path.stat().st_size for v in family), reverse=True)
    copies: list[Copy] = []
    while len(copies) < count:
        taken = len(copies)
        for family in order:
            if len(copies) < count:
                copies += [(video, f"_{taken}" if taken else "") for video in family]
    return copies


def lay_out(copies: Sequence[Copy], root: Path) -> None:
    """A data root of links to videos: one part."""
    part = part_folder(root, 0)
    part.mkdir(parents=True)
    metadata = {}
    for video, ending in copies:
        name = f"{video.video_id}{ending}{video.path.suffix}"
        (part / name).symlink_to(video.path.resolve())
        fake = {"original": f"{video.original}{ending}.mp4"}
        metadata[name] = {"label": "FAKE", **fake} if video.original is not None else {"label": "REAL"}
    (part / METADATA_NAME).write_text(json.dumps(metadata))


def lay_out_single_frames(dataset: Dataset, root: Path) -> Path:
    """A data root of an original and a fake, the first frame of each."""
    part = part_folder(root, 0)
    part.mkdir(parents=True)
    metadata: dict[str, dict[str, str]] = {}
    for name, video in zip(("real.mp4", "fake.mp4"), dataset.pairs[0]):
        write_video(part / name, (frame.image for frame in iter_frames(video.path, [0])), fps=25)
        metadata[name] = {"label": "FAKE", "original": "real.mp4"} if metadata else {"label": "REAL"}
    (part / METADATA_NAME).write_text(json.dumps(metadata))
    return root


def read_copies(root: Path) -> list[Copy]:
    return [(video, "") for video in read_dataset(root).videos.values()]


def decode_all(copies: Sequence[Copy], workers: int) -> tuple[Measurement, int]:
    """The floor, decoding everything; and the number of frames."""
    start, before = time.perf_counter(), children_seconds()
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        frames = sum(pool.imap_unordered(_decode, [video.path for video, _ in copies]))
        pool.close()
        pool.join()
    return Measurement(time.perf_counter() - start, children_seconds() - before), frames


def _decode(video: Path) -> int:
    return count_frames(video, threads=1)


def run_commands(commands: Sequence[str], copies: Sequence[Copy], workers: int, preset: str) -> dict[str, Measurement]:
    """Commands one after the other, from nothing."""
    with tempfile.TemporaryDirectory(prefix="bench_preprocess_") as scratch:
        lay_out(copies, Path(scratch))
        return {command: measure(command_line(command, scratch, workers, preset)) for command in commands}


def run_pass(copies: Sequence[Copy], workers: int, preset: str) -> Measurement:
    return run_commands([PASS], copies, workers, preset)[PASS]


def command_line(command: str, root: str, workers: int, preset: str) -> list[str]:
    line = [sys.executable, f"preprocessing/{command}.py", "--root-dir", root, "--workers", str(workers)]
    return [*line, "--preset", preset] if command in (PASS, STEPS[0]) else line


def measure(command: list[str]) -> Measurement:
    """Runs a command and samples the memory of its process tree (shared pages counted once)."""
    start, before = time.perf_counter(), children_seconds()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        peak = 0
        for pause in pauses():
            try:
                process.wait(pause)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, tree_memory(process.pid))
        seconds = time.perf_counter() - start
        if process.returncode != 0:
            output.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output.read().decode()}")
    return Measurement(seconds, children_seconds() - before, peak / 2**20)


def children_seconds() -> float:
    """Processor seconds of all processes that this one has started and that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def report(videos: int, frames: int, floor: Measurement, costs: dict[tuple[str, str], Cost]) -> None:
    print(
        f"{'':24}{'seconds':>9}{'start-up':>10}{'videos/s':>10}{'x floor':>9}{'processor':>11}{'x floor':>9}{'MiB':>7}"
    )
    print(
        f"{'floor: decode all':24}{floor.seconds:9.2f}{'':10}{videos / floor.seconds:10.2f}{1:9.1f}"
        f"{floor.processor:11.2f}{1:9.1f}{'':7}   ({frames} frames)"
    )
    ratios = []
    for way in WAYS:
        rows = {command: cost for (of, command), cost in costs.items() if of == way}
        whole = Cost.total(list(rows.values()))
        for name, cost in {**rows, way: whole}.items():
            working = cost.working
            print(
                f"{name:24}{cost.whole.seconds:9.2f}{cost.start_up.seconds:10.2f}{videos / working.seconds:10.2f}"
                f"{working.seconds / floor.seconds:9.1f}{working.processor:11.2f}"
                f"{working.processor / floor.processor:9.1f}{cost.whole.peak_mib:7.0f}"
            )
        wall, processor = whole.working.seconds / floor.seconds, whole.working.processor / floor.processor
        ratios.append(f"{way} {wall:.1f} ({processor:.1f} in processor time)")
    print(f"ratio to floor without start-up: {', '.join(ratios)}")


if __name__ == "__main__":
    main()
