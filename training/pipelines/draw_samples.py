"""Writes one crop as training sees it: variants drawn by the training data set itself, and one without any change."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from deepfake.commandline import EXIT_USAGE, positive_int, run_guarded

EPILOG = f"""files in DIR:
  00.png ...    the variants, RGB, of the size that the network is given
  plain.png     the crop as validation and prediction see it
  samples.json  crop, config, seed, and for each variant its label and what was blacked out

exit codes: 0 done; {EXIT_USAGE} the command, config or data set cannot be used; 130 interrupted

example:
  python training/pipelines/draw_samples.py --data-dir DATA_ROOT --video ID --frame 30 --config configs/b7.json --out DIR
"""

SAMPLES_JSON = "samples.json"
PLAIN_PNG = "plain.png"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data-dir", type=Path, required=True, metavar="DATA_ROOT", help="the preprocessed data set")
    add("--crops-dir", default="crops", metavar="NAME", help="crops' folder below DATA_ROOT (default: %(default)s)")
    add("--video", required=True, metavar="ID", help="whose crop: a video's file name without its suffix")
    add("--frame", type=int, required=True, metavar="N", help="which frame's crop")
    add("--face", type=int, default=0, metavar="K", help="which face's crop, 0 is the largest (default: %(default)s)")
    add("--count", type=positive_int, default=16, metavar="N", help="variants (default: %(default)s)")
    add("--config", type=Path, required=True, metavar="JSON", help="the recipe, one of configs/*.json")
    add("--seed", type=positive_int, default=777, metavar="S", help="of the draws (default: %(default)s)")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the pictures")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    # After the command line is known to be good: these take seconds.
    import numpy as np
    import pandas as pd

    from deepfake import atomic
    from deepfake.images import encode_image
    from deepfake.paths import DataRoot
    from training.config import read_config
    from training.datasets.crops import SampleOptions, TrainingCrops, ValidationCrops

    config, layout, options = read_config(args.config), DataRoot(args.data_dir, args.crops_dir), SampleOptions()
    row = asdict(find_row(layout, args.video, args.frame, args.face))
    # An epoch that has nothing but this crop.
    rows, positions = pd.DataFrame([row] * args.count), np.arange(args.count)
    plain = ValidationCrops(rows, positions[:1], layout, config.size, options.padding_part)[0]
    if isinstance(plain, str):
        raise ValueError(plain)
    variants = TrainingCrops(rows, positions, layout, config.size, options, args.seed, epoch=0)
    told = []
    for i in range(args.count):
        sample = variants[i]
        name = f"{i:02d}.png"
        atomic.write_bytes(args.out / name, encode_image(sample.image, ".png"))
        told.append({"file": name, "label": sample.label, "occlusion": sample.occlusion})
    atomic.write_bytes(args.out / PLAIN_PNG, encode_image(plain.image, ".png"))
    facts = {**row, "config": args.config.name, "size": config.size, "seed": args.seed, "samples": told}
    atomic.write_text(args.out / SAMPLES_JSON, json.dumps(facts, indent=1) + "\n")
    print(f"{args.out}: {args.count} variants of {row['video']}/{row['file']}")
    return 0


def find_row(layout, video: str, frame: int, face: int):
    """The `FoldRow` of a crop, of fold 0: the fold table may not be there yet.

    Raises:
        ValueError: no such video in the metadata, or no such crop.
    """
    from deepfake.folds import FoldRow
    from deepfake.metadata import read_dataset
    from deepfake.paths import list_crops, parse_crop_name

    record = read_dataset(layout.root).videos.get(video)
    if record is None:
        raise ValueError(f"{layout.root}: its metadata names no video {video!r}")
    folder = layout.crops / video
    for path in list_crops(folder) if folder.is_dir() else []:
        if parse_crop_name(path.name) == (frame, face):
            return FoldRow(video, path.name, record.label, record.identity, frame, fold=0)
    raise ValueError(f"{folder}: no crop of frame {frame}, face {face}; run extract_crops.py, or name another frame")


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))
