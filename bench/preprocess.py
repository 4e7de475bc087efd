"""What preprocessing costs: each step's wall time, rate and peak memory, and the ratio to decoding alone."""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from deepfake.metadata import read_dataset
from deepfake.paths import METADATA_NAME
from deepfake.processes import default_workers
from deepfake.video import count_frames

STEPS = ("detect_original_faces", "extract_crops", "generate_landmarks", "generate_diffs", "generate_folds")
SAMPLE_SECONDS = 0.5
"""Asking for proportional memory costs tens of milliseconds a process: rarely, or the asking is what is measured."""

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Measurement:
    """Wall seconds of one command, start-up included, and the peak of its process tree's proportional memory."""

    seconds: float
    peak_mib: float


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Runs the five preprocessing steps on a data set, in a temporary folder (DATA_ROOT stays as it "
        "is), and compares them with the floor: decoding every frame of every video, one process a core.",
        epilog="example:\n  python bench/preprocess.py DATA_ROOT --repeat 3",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data_root", type=Path, metavar="DATA_ROOT", help="data set in DFDC layout")
    parser.add_argument("--workers", type=int, default=default_workers(), metavar="N", help="default: one a core")
    parser.add_argument("--preset", choices=["training", "published"], default="training", help="of the detection")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="runs; the fastest of each counts")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    dataset = read_dataset(args.data_root)
    videos = [video.path for video in dataset.videos.values()]
    floors, runs = [], []
    for _ in range(args.repeat):
        floors.append(decode_all(videos, args.workers))
        runs.append(run_steps(args.data_root, args.workers, args.preset))
    report(len(videos), floors, runs)


def decode_all(videos: list[Path], workers: int) -> tuple[float, int]:
    """The floor: (wall seconds, frames) of decoding everything."""
    start = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        frames = sum(pool.imap_unordered(_decode, videos))
    return time.perf_counter() - start, frames


def _decode(video: Path) -> int:
    return count_frames(video, threads=1)


def run_steps(data_root: Path, workers: int, preset: str) -> dict[str, Measurement]:
    """All five steps from nothing, on links to the data set's videos."""
    with tempfile.TemporaryDirectory(prefix="bench_preprocess_") as scratch:
        for file in sorted(data_root.resolve().glob(f"*/{METADATA_NAME}")):
            (Path(scratch) / file.parent.name).symlink_to(file.parent)
        measured = {}
        for step in STEPS:
            command = [sys.executable, f"preprocessing/{step}.py", "--root-dir", scratch, "--workers", str(workers)]
            measured[step] = measure([*command, *(["--preset", preset] if step == STEPS[0] else [])])
        return measured


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


def report(videos: int, floors: list[tuple[float, int]], runs: list[dict[str, Measurement]]) -> None:
    floor, frames = min(floors)
    print(f"{'step':24}{'seconds':>9}{'videos/s':>10}{'peak MiB':>10}{'x floor':>9}")
    print(f"{'floor: decode all':24}{floor:9.2f}{videos / floor:10.2f}{'':10}{1:9.1f}   ({frames} frames)")
    total = 0.0
    for step in STEPS:
        seconds = min(run[step].seconds for run in runs)
        peak = max(run[step].peak_mib for run in runs)
        total += seconds
        print(f"{step:24}{seconds:9.2f}{videos / seconds:10.2f}{peak:10.0f}{seconds / floor:9.1f}")
    print(f"{'all five':24}{total:9.2f}{videos / total:10.2f}{'':10}{total / floor:9.1f}")
    print(f"ratio to floor: {total / floor:.1f}")


if __name__ == "__main__":
    main()
