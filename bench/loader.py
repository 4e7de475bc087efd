"""What training samples cost: samples a second of one core, from folders and shards, and where the time goes."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd

from bench.first_augmentation import FirstAugmentation
from deepfake.cli.commandline import positive_int, run_guarded
from deepfake.datasets.data_root import CROP_SUFFIXES, DataRoot
from deepfake.datasets.folds import CropFiles, FoldRow, read_folds, write_folds
from deepfake.media.images import encode_image, read_image
from deepfake.parallel.pool import cap_threads
from preprocessing import pack_shards
from training.transforms.augment import TrainAugmentation

if TYPE_CHECKING:
    from training.datasets.crop_data import CropData

SEED = 777
BATCH = 12
SHARDS = "shards"
ROUNDS = 3
"""Each figure is the lowest of so many."""


@dataclass(frozen=True)
class Cost:
    """CPU seconds a sample."""

    whole: float
    read: float
    augment: float
    collate: float

    @property
    def rest(self) -> float:
        """Occlusions, their landmarks and masks, random numbers."""
        return max(self.whole - self.read - self.augment, 0.0)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Copies some crops of DATA_ROOT into a temporary folder as PNG, JPEG, WebP and shards, and reads "
        "them as training does, with every augmentation, in one process. Time is this process' own CPU time.",
        epilog="example:\n  python bench/loader.py DATA_ROOT --samples 400",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data_root", type=Path, metavar="DATA_ROOT", help="preprocessed data set with a folds.csv")
    parser.add_argument("--samples", type=positive_int, default=200, metavar="N", help="crops (default: %(default)s)")
    parser.add_argument("--size", type=positive_int, default=380, help="side of the input (default: %(default)s)")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    cap_threads(1)
    cv2.setNumThreads(1)
    rows = read_folds(args.data_root / "folds.csv")
    rows = rows.sample(n=min(args.samples, len(rows)), random_state=SEED).reset_index(drop=True)
    with tempfile.TemporaryDirectory(prefix="bench_loader_") as scratch:
        sources = make_sources(DataRoot(args.data_root), rows, Path(scratch))
        print(
            f"{'source':8}{'MiB':>8}{'samples/s':>11}{'ms/sample':>11}{'read':>8}{'augment':>9}{'rest':>7}{'collate':>9}"
        )
        for name, (data, size) in sources.items():
            report(name, size, measure(data, args.size))
        compare(sources[SHARDS][0], args.size)
    return 0


def make_sources(layout: DataRoot, rows: pd.DataFrame, scratch: Path) -> dict[str, tuple[CropData, int]]:
    """The rows as a folder of each picture format and as shards of the PNG folder, each with its bytes."""
    from training.datasets.crop_data import open_folder, open_shards  # torch, which --help does without

    sources = {}
    for suffix in CROP_SUFFIXES:
        root = scratch / suffix[1:]
        copy_as(layout, rows, root, suffix)
        sources[suffix[1:]] = (open_folder(root, None, "crops"), tree_bytes(root))
    png, shards = scratch / CROP_SUFFIXES[0][1:], scratch / SHARDS
    table = read_folds(png / "folds.csv")
    for name, packed in (planned := pack_shards.plan(table)).items():
        pack_shards.pack(name, {name: packed}, DataRoot(png), shards)
    pack_shards.write_index(shards, planned, table, DataRoot(png))
    sources[SHARDS] = (open_shards(shards), tree_bytes(shards))
    return sources


def copy_as(layout: DataRoot, rows: pd.DataFrame, root: Path, suffix: str) -> None:
    """A data root with these crops in another format; landmarks and masks as they are."""
    copied = []
    for row in rows.itertuples(index=False):
        values = row._asdict()
        renamed = FoldRow(**{**values, "file": Path(values["file"]).stem + suffix})
        source, target = CropFiles.of(layout, row), CropFiles.of(DataRoot(root), renamed)
        for file in (target.crop, target.landmarks, target.diff):
            file.parent.mkdir(parents=True, exist_ok=True)
        target.crop.write_bytes(encode_image(read_image(source.crop), suffix))
        for old, new in ((source.landmarks, target.landmarks), (source.diff, target.diff)):
            if old.exists():
                new.write_bytes(old.read_bytes())
        copied.append(renamed)
    write_folds(root / "folds.csv", copied)


def tree_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(data: CropData, size: int) -> Cost:
    from training.datasets.batch import collate
    from training.datasets.crops import SampleOptions, TrainingCrops

    rows = list(data.table.itertuples(index=False))
    positions = np.arange(len(rows))
    samples = TrainingCrops(data.table, positions, data.crops, size, SampleOptions(), SEED, 0)
    augment = TrainAugmentation(size)
    images = [data.crops.image(row) for row in rows]
    ready = [samples[i] for i in range(min(BATCH, len(rows)))]
    tasks: list[tuple[Callable[[Any], Any], Sequence[Any]]] = [
        (samples.__getitem__, range(len(rows))),
        (data.crops.image, rows),
        (lambda i: augment(images[i], np.random.default_rng(i)), range(len(rows))),
        (lambda _: collate(ready), range(20)),
    ]
    whole, read, augmented, collated = lowest(tasks)
    return Cost(whole, read, augmented, collated / len(ready))


def compare(data: CropData, size: int) -> None:
    """The augmentation against albumentations' own pipeline, in turns."""
    images = [data.crops.image(row) for row in data.table.itertuples(index=False)]
    indices = range(len(images))
    first, ours = FirstAugmentation(size), TrainAugmentation(size)
    old, new = lowest(
        [
            (lambda i: first(images[i], np.random.default_rng(i)), indices),
            (lambda i: ours(images[i], np.random.default_rng(i)), indices),
        ]
    )
    side = int(np.median([max(image.shape[:2]) for image in images]))
    print(
        f"augmentation of crops of {side} pixels (median) to {size}: {new * 1e3:.2f} ms; as one pipeline of "
        f"albumentations: {old * 1e3:.2f} ms, {old / new:.2f} times that"
    )


def lowest(tasks: Sequence[tuple[Callable[[Any], Any], Sequence[Any]]]) -> list[float]:
    """For each (function, arguments) the lowest CPU seconds a call, of `ROUNDS` in turns."""
    best = [float("inf")] * len(tasks)
    for _ in range(ROUNDS):
        for n, (function, arguments) in enumerate(tasks):
            start = time.process_time()
            for argument in arguments:
                function(argument)
            best[n] = min(best[n], (time.process_time() - start) / len(arguments))
    return best


def report(name: str, size: int, cost: Cost) -> None:
    total = cost.whole + cost.collate
    shares = [part / total for part in (cost.read, cost.augment, cost.rest, cost.collate)]
    figures = "".join(f"{share:{width}.0%}" for share, width in zip(shares, (8, 9, 7, 9)))
    print(f"{name:8}{size / 2**20:8.1f}{1 / total:11.1f}{total * 1e3:11.2f}{figures}")


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))
