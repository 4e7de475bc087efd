"""Step 4: SSIM-difference masks of fakes against their originals, DATA_ROOT/diffs/ID/{frame}_{face}_diff.png."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from deepfake import atomic
from deepfake.diffs import difference_mask
from deepfake.images import read_image, write_image
from deepfake.metadata import VideoRecord
from deepfake.paths import DataRoot, diff_name, list_crops, parse_crop_name
from deepfake.stages import DIFFS
from preprocessing.step import add_crops_dir, make_parser, run_main, run_work, seen_by_all, stage_work

STEP = Path(__file__).stem


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Compares the crops of fakes with those of their originals: masks of 255 * (1 - SSIM), in grey.",
        f"python preprocessing/{STEP}.py --root-dir DATA_ROOT",
    )
    add_crops_dir(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = DataRoot(seen_by_all(args.root_dir, args), args.crops_dir)
    compare = partial(compare_video, layout=layout)
    return run_work(stage_work(DIFFS, layout, compare, {"crops": args.crops_dir}), args)


def compare_video(fake: VideoRecord, layout: DataRoot) -> None:
    """Writes the masks of one fake, for every crop that its original has too."""
    theirs, own = layout.crops / fake.identity, layout.crops / fake.video_id
    for folder in (theirs, own):
        if not folder.is_dir():
            raise ValueError(f"{folder}: no crops; run extract_crops.py first")
    originals = {parse_crop_name(path.name): path for path in list_crops(theirs)}
    with atomic.atomic_folder(layout.diffs / fake.video_id) as folder:
        for path in list_crops(own):
            name = parse_crop_name(path.name)
            if name is not None and name in originals:
                mask = difference_mask(read_image(originals[name]), read_image(path))
                write_image(folder / diff_name(*name), mask)


if __name__ == "__main__":
    run_main(main)
