"""Looks into a preprocessed data set: sheets of pairs, of a crop's variants in training, a page of figures."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import sys
from pathlib import Path

import numpy as np

from deepfake.cli.commandline import (
    EXIT_INTERRUPTED,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    index_int,
    positive_int,
    run_guarded,
)
from deepfake.cli.dataset_options import add_dataset, add_out_root, read_chosen
from deepfake.cli.reading_options import add_limits, chosen_limits
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.folds import read_folds
from deepfake.datasets.records import Dataset
from deepfake.media.images import encode_image
from deepfake.media.video import LIMITS, ReadLimits
from deepfake.storage import atomic
from visualize.dataset.augmentation_sheet import Crop, make_augmentation_sheet
from visualize.dataset.dataset_facts import gather_facts
from visualize.dataset.pair_sheet import Source, make_pair_sheet
from visualize.dataset.pairs import Pair, choose_frame, draw_pairs, pairs_of, read_pair_boxes, unknown_id
from visualize.dataset.sheets import Sheet, draw_sheet
from visualize.dataset.stats_page import render_stats

SEED = 777
CONFIG = Path(__file__).resolve().parents[1] / "configs" / "b7.json"

EPILOG = f"""files in DIR:
  FAKE_FRAME.png                     of --video and --sample; an original without fakes gives its own name
  ID_FRAME_FACE_augmentations.png    of --augmentations
  stats.html                         of --stats

exit codes:
  0    done; what a sheet lacks, it says itself
  {EXIT_USAGE}    the command or the data set cannot be used, or there is no face in the frame
  {EXIT_SOME_FAILED}    complete, but some of the pairs of --sample have no face to show
  {EXIT_INTERRUPTED}  interrupted

example:
  python visualize/data_sheets.py --root-dir DATA_ROOT --video ID --frame 30
  python visualize/data_sheets.py --root-dir DATA_ROOT --video ID --augmentations --config configs/b7.json
  python visualize/data_sheets.py --root-dir DATA_ROOT --sample 10 --seed 1
  python visualize/data_sheets.py --root-dir DATA_ROOT --stats
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--root-dir", type=Path, required=True, metavar="DATA_ROOT", help="data set, preprocessed")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--video", metavar="ID", help="a fake with its original, or an original with its first fakes")
    mode.add_argument("--sample", type=positive_int, metavar="N", help="N random pairs, a random frame of each")
    mode.add_argument("--stats", action="store_true", help="a page of the whole data set")
    add("--frame", type=index_int, metavar="N", help="of the video (default: the first one with a face)")
    add("--augmentations", action="store_true", help="16 variants of the video's crop as training sees it, instead")
    add("--face", type=index_int, metavar="K", help="whose crop --augmentations shows (default: 0, the largest)")
    add("--config", type=Path, metavar="JSON", help="recipe for --augmentations (default: configs/b7.json)")
    add("--seed", type=positive_int, metavar="S", help=f"of --sample and --augmentations (default: {SEED})")
    add("--crops-dir", default="crops", metavar="NAME", help="crops' folder below DATA_ROOT (default: %(default)s)")
    add("--folds-csv", type=Path, metavar="CSV", help="fold table (default: DATA_ROOT/folds.csv)")
    add("--out", type=Path, metavar="DIR", help="where the pictures go (default: DATA_ROOT/sheets)")
    add_dataset(add)
    add_out_root(add)
    add_limits(add)
    args = parser.parse_args()
    check_combination(parser, args)
    return args


def check_combination(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """An option that the chosen mode would ignore is an error."""
    single = args.video is not None
    belongs = {
        "--frame": (args.frame is not None, single, "--video"),
        "--augmentations": (args.augmentations, single, "--video"),
        "--face": (args.face is not None, args.augmentations, "--augmentations"),
        "--config": (args.config is not None, args.augmentations, "--augmentations"),
        "--seed": (args.seed is not None, args.augmentations or args.sample is not None, "--sample or --augmentations"),
    }
    for option, (given, usable, mode) in belongs.items():
        if given and not usable:
            parser.error(f"{option} goes with {mode}")


def main() -> int:
    args = parse_args()
    layout = DataRoot(args.out_root or args.root_dir, args.crops_dir)
    out, folds_csv = args.out or layout.sheets, args.folds_csv or layout.folds_csv
    dataset = read_chosen(args.root_dir, args)
    if args.stats:
        return write_stats(layout, dataset, folds_csv, out)
    if args.augmentations:
        return draw_augmentations(args, layout, dataset, out)
    if args.sample is not None:
        return draw_sample(args, layout, dataset, read_fold_of(folds_csv), out)
    pairs, folds = pairs_of(dataset, args.video), read_fold_of(folds_csv)
    for pair in pairs:
        draw_pair(layout, pair, folds, out, args.frame, limits=chosen_limits(args))
    fakes = [fake for original, fake in dataset.pairs if original.video_id == args.video]
    if len(fakes) > len(pairs):
        print(f"{args.video} has {len(fakes)} fakes, these are the first {len(pairs)}; --video FAKE draws another")
    return 0


def draw_sample(
    args: argparse.Namespace, layout: DataRoot, dataset: Dataset, folds: dict[str, int] | str, out: Path
) -> int:
    """Sheets of random pairs. A pair without a face in any frame is reported, and the others are drawn."""
    seed = SEED if args.seed is None else args.seed
    pairs = draw_pairs(dataset, args.sample, seed)
    if not pairs:
        raise ValueError(f"{layout.root}: no fake has its original in the data set; there is no pair to draw")
    failed = 0
    for pair in pairs:
        try:
            draw_pair(layout, pair, folds, out, None, seed, chosen_limits(args))
        except ValueError as error:
            failed += 1
            print(f"no sheet of {pair.name}: {error}", file=sys.stderr)
    if len(pairs) < args.sample:
        print(f"these are all {len(pairs)} pairs of the data set")
    return EXIT_SOME_FAILED if failed else 0


def draw_pair(
    layout: DataRoot,
    pair: Pair,
    folds: dict[str, int] | str,
    out: Path,
    frame: int | None,
    seed: int | None = None,
    limits: ReadLimits = LIMITS,
) -> None:
    """Draws one pair's sheet.

    Raises:
        ValueError: there is no face to show.
    """
    boxes = read_pair_boxes(layout, pair)
    frame = choose_frame(layout, pair, boxes, frame, seed)
    sheet = make_pair_sheet(Source(layout, boxes, folds, limits), pair, frame)
    write_sheet(out / f"{pair.name}_{frame}.png", sheet)


def draw_augmentations(args: argparse.Namespace, layout: DataRoot, dataset: Dataset, out: Path) -> int:
    """The sheet of one crop's variants."""
    record = dataset.videos.get(args.video)
    if record is None:
        raise ValueError(unknown_id(dataset, args.video))
    # The video's own crops, be it a real or a fake.
    pair = Pair(None, record) if record.label == 1 else Pair(record, None)
    face = args.face or 0
    crop = Crop(layout, record, choose_frame(layout, pair, read_pair_boxes(layout, pair), args.frame), face)
    sheet = make_augmentation_sheet(crop, args.config or CONFIG, SEED if args.seed is None else args.seed)
    write_sheet(out / f"{args.video}_{crop.frame}_{face}_augmentations.png", sheet)
    return 0


def write_stats(layout: DataRoot, dataset: Dataset, folds_csv: Path, out: Path) -> int:
    """The page of the data set."""
    page = out / "stats.html"
    atomic.write_text(page, render_stats(gather_facts(layout, dataset, folds_csv)))
    print(page)
    return 0


def write_sheet(path: Path, sheet: Sheet) -> None:
    """Draws a sheet, writes it, and tells what it lacks."""
    atomic.write_bytes(path, encode_image(np.ascontiguousarray(draw_sheet(sheet).image), ".png"))
    cells = [cell for row in sheet.rows for cell in row.cells]
    missing = sum(isinstance(cell.content, str) for cell in cells)
    print(f"{path}: {sheet.title}" + (f" ({missing} of {len(cells)} pictures missing)" if missing else ""))


def read_fold_of(folds_csv: Path) -> dict[str, int] | str:
    """Video id -> fold, or why that is not known."""
    if not folds_csv.exists():
        return f"no {folds_csv.name}: run generate_folds.py"
    try:
        table = read_folds(folds_csv)
    except ValueError as error:
        return str(error)
    return dict(zip(table["video"], table["fold"].tolist()))


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))
