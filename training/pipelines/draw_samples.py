"""Writes one crop as training sees it: variants drawn by the training data set itself, and one without any change."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from deepfake.cli.commandline import EXIT_INTERRUPTED, EXIT_USAGE, index_int, positive_int, run_guarded
from deepfake.datasets.folds import FoldRow
from deepfake.datasets.layout import DataRoot, list_crops, parse_crop_name
from deepfake.datasets.metadata import read_dataset
from deepfake.media.images import encode_image
from deepfake.storage import atomic
from training.config import TrainConfig, read_config

EPILOG = f"""files in DIR:
  00.png ...    the variants, as the network is given them but for the normalisation
  plain.png     the crop as validation and prediction see it
  samples.json  crop, config, seed, and for each variant its label and what was blacked out

exit codes: 0 done; {EXIT_USAGE} the command, config or data set cannot be used; {EXIT_INTERRUPTED} interrupted

example:
  python training/pipelines/draw_samples.py --data-dir DATA_ROOT --video ID --frame 30 \\
      --config configs/b7.json --out DIR
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data-dir", type=Path, required=True, metavar="DATA_ROOT", help="the preprocessed data set")
    add("--crops-dir", default="crops", metavar="NAME", help="crops' folder below DATA_ROOT (default: %(default)s)")
    add("--video", required=True, metavar="ID", help="whose crop: a video's file name without its suffix")
    add("--frame", type=index_int, required=True, metavar="N", help="which frame's crop")
    add("--face", type=index_int, default=0, metavar="K", help="which face's, 0 is the largest (default: %(default)s)")
    add("--count", type=positive_int, default=16, metavar="N", help="variants (default: %(default)s)")
    add("--config", type=Path, required=True, metavar="JSON", help="the recipe, one of configs/*.json")
    add("--seed", type=positive_int, default=777, metavar="S", help="of the draws (default: %(default)s)")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the pictures")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    config, layout = read_config(args.config, TrainConfig), DataRoot(args.data_dir, args.crops_dir)
    row = find_row(layout, args.video, args.frame, args.face)
    samples = write_samples(layout, row, config.size, args.count, args.seed, args.out)
    facts = {**asdict(row), "config": args.config.name, "size": config.size, "seed": args.seed, "samples": samples}
    atomic.write_text(args.out / "samples.json", json.dumps(facts, indent=1) + "\n")
    print(f"{args.out}: {args.count} variants of {row.video}/{row.file}")
    return 0


def find_row(layout: DataRoot, video: str, frame: int, face: int) -> FoldRow:
    """A crop as a row of a fold table, in fold 0: the data set may have no table yet.

    Raises:
        ValueError: no such video in the metadata, or no such crop.
    """
    record = read_dataset(layout.root).videos.get(video)
    if record is None:
        raise ValueError(f"{layout.root}: its metadata names no video {video!r}")
    folder = layout.crops / video
    for path in list_crops(folder) if folder.is_dir() else []:
        if parse_crop_name(path.name) == (frame, face):
            return FoldRow(video, path.name, record.label, record.identity, frame, fold=0)
    raise ValueError(f"{folder}: no crop of frame {frame}, face {face}; run extract_crops.py, or name another")


def write_samples(layout: DataRoot, row: FoldRow, size: int, count: int, seed: int, out: Path) -> list[dict]:
    """Writes the samples of an epoch that has nothing but one crop, and the crop as validation sees it.

    Returns:
        For each sample its file, its label and what was blacked out.

    Raises:
        ValueError: the crop, its landmarks or its mask is broken.
    """
    # After the command line is known to be good: torch takes seconds.
    from training.datasets.crop_reading import FolderCrops
    from training.datasets.crops import SampleOptions, TrainingCrops, ValidationCrops

    crops = FolderCrops(layout)
    options, rows, positions = SampleOptions(), pd.DataFrame([asdict(row)] * count), np.arange(count)
    plain = ValidationCrops(rows, positions[:1], crops, size, options.padding_part)[0]
    if isinstance(plain, str):
        raise ValueError(plain)
    atomic.write_bytes(out / "plain.png", encode_image(plain.image, ".png"))
    variants = TrainingCrops(rows, positions, crops, size, options, seed, epoch=0)
    told = []
    for i in range(count):
        sample, name = variants[i], f"{i:02d}.png"
        atomic.write_bytes(out / name, encode_image(sample.image, ".png"))
        told.append({"file": name, "label": sample.label, "occlusion": sample.occlusion})
    return told


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))
