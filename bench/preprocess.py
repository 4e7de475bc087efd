"""What preprocessing costs: wall time, rate, peak memory, and the ratio to decoding alone; in one pass, and by step."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from deepfake.commandline import positive_int
from deepfake.encode import write_video
from deepfake.metadata import Dataset, VideoRecord, read_dataset
from deepfake.paths import METADATA_NAME, part_folder
from deepfake.processes import default_workers
from deepfake.video import count_frames, iter_frames

PASS = "preprocess_videos"
STEPS = ("detect_original_faces", "extract_crops", "generate_landmarks", "generate_diffs")
FOLDS = "generate_folds"
WAYS = {"one pass": (PASS, FOLDS), "five steps": (*STEPS, FOLDS)}
SCALING_WORKERS = (1, 2)
SCALING_VIDEOS = (10, 100)
SAMPLE_SECONDS = 0.5
"""Asking for proportional memory costs tens of milliseconds a process: rarely, or the asking is what is measured."""

ROOT = Path(__file__).resolve().parents[1]

Copy = tuple[VideoRecord, str]
"""A video of the data set, and what its name ends in here: each may be there several times."""


@dataclass(frozen=True)
class Measurement:
    """Wall seconds of one command, and the peak of its process tree's proportional memory."""

    seconds: float
    peak_mib: float


@dataclass(frozen=True)
class Best:
    """The fastest of several runs, what of it is start-up, and the highest peak."""

    seconds: float
    start_up: float
    peak_mib: float

    @property
    def working(self) -> float:
        """Seconds without start-up."""
        return max(self.seconds - self.start_up, 1e-3)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Preprocesses a data set in a temporary folder (DATA_ROOT stays as it is), in one pass and by the "
        "five steps, and compares with the floor: decoding every frame of every video, one process a core. A "
        "command's start-up is what it takes over an original and a fake of one frame each.",
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
    videos = [video.path for video, _ in copies]
    floors: list[tuple[float, int]] = []
    runs: dict[tuple[str, str], list[Measurement]] = {}
    starts: dict[tuple[str, str], list[Measurement]] = {}
    for _ in range(args.repeat):
        floors.append(decode_all(videos, args.workers))
        for way, commands in WAYS.items():
            for found, measured in (
                (starts, run_commands(commands, read_copies(single), args.workers, args.preset)),
                (runs, run_commands(commands, copies, args.workers, args.preset)),
            ):
                for command, measurement in measured.items():
                    found.setdefault((way, command), []).append(measurement)
    report(len(videos), floors, {key: best(found, starts[key]) for key, found in runs.items()})


def tell_scaling(dataset: Dataset, single: Path, args: argparse.Namespace) -> None:
    copies = repeated(dataset, args.videos or len(dataset.videos))
    videos = [video.path for video, _ in copies]
    floors: dict[int, list[tuple[float, int]]] = {}
    runs: dict[int, list[Measurement]] = {}
    starts: dict[int, list[Measurement]] = {}
    for _ in range(args.repeat):
        for workers in SCALING_WORKERS:
            floors.setdefault(workers, []).append(decode_all(videos, workers))
            starts.setdefault(workers, []).append(run_pass(read_copies(single), workers, args.preset))
            runs.setdefault(workers, []).append(run_pass(copies, workers, args.preset))
    print(f"{'workers':24}{'seconds':>9}{'start-up':>10}{'videos/s':>10}{'gain':>7}{'gain of decoding':>18}")
    rates = {}
    for workers in SCALING_WORKERS:
        found = best(runs[workers], starts[workers])
        rates[workers] = len(videos) / found.working
        gain = rates[workers] / rates[SCALING_WORKERS[0]]
        of_decoding = min(floors[SCALING_WORKERS[0]])[0] / min(floors[workers])[0]
        print(
            f"{workers:<24}{found.seconds:9.2f}{found.start_up:10.2f}{rates[workers]:10.2f}{gain:7.2f}{of_decoding:18.2f}"
        )
    print(f"{'videos':24}{'peak MiB':>9}")
    for count in SCALING_VIDEOS:
        some = repeated(dataset, count)
        print(f"{len(some):<24}{run_pass(some, args.workers, args.preset).peak_mib:9.0f}")


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


def decode_all(videos: list[Path], workers: int) -> tuple[float, int]:
    """The floor: (wall seconds, frames) of decoding everything."""
    start = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        frames = sum(pool.imap_unordered(_decode, videos))
    return time.perf_counter() - start, frames


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
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        peak = 0
        while True:
            try:
                process.wait(SAMPLE_SECONDS)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, tree_memory(process.pid))
        seconds = time.perf_counter() - start
        if process.returncode != 0:
            output.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output.read().decode()}")
    return Measurement(seconds, peak / 2**20)


def tree_memory(pid: int) -> int:
    """Bytes of proportional set size (resident size where the system has none) of a process and its children."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    except psutil.Error:  # a process ended between listing and asking
        pass
    return total


def best(runs: Sequence[Measurement], starts: Sequence[Measurement]) -> Best:
    return Best(min(run.seconds for run in runs), min(run.seconds for run in starts), max(run.peak_mib for run in runs))


def report(videos: int, floors: list[tuple[float, int]], found: dict[tuple[str, str], Best]) -> None:
    floor, frames = min(floors)
    print(f"{'':24}{'seconds':>9}{'start-up':>10}{'videos/s':>10}{'peak MiB':>10}{'x floor':>9}")
    print(f"{'floor: decode all':24}{floor:9.2f}{0:10.2f}{videos / floor:10.2f}{'':10}{1:9.1f}   ({frames} frames)")
    ratios = []
    for way in WAYS:
        rows = {command: row for (of, command), row in found.items() if of == way}
        seconds, start_up = sum(row.seconds for row in rows.values()), sum(row.start_up for row in rows.values())
        whole = Best(seconds, start_up, max(row.peak_mib for row in rows.values()))
        for name, row in {**rows, way: whole}.items():
            figures = f"{row.seconds:9.2f}{row.start_up:10.2f}{videos / row.working:10.2f}{row.peak_mib:10.0f}"
            print(f"{name:24}{figures}{row.working / floor:9.1f}")
        ratios.append(f"{way} {whole.working / floor:.1f} ({whole.seconds / floor:.1f} with it)")
    print(f"ratio to floor without start-up: {', '.join(ratios)}")


if __name__ == "__main__":
    main()
