"""Step 5: the table of all crops with label and fold, folds.csv."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from deepfake.cli.commandline import positive_int
from deepfake.datasets.data_root import DataRoot, is_there, list_crops, parse_crop_name
from deepfake.datasets.folds import (
    DFDC_PARTS,
    N_SPLITS,
    SEED,
    FoldRow,
    check_leaks,
    describe_split_leaks,
    describe_test,
    describe_unattributed,
    describe_uneven,
    families,
    folds_by_official,
    folds_by_original,
    folds_by_part,
    most_even_splits,
    write_folds,
)
from deepfake.datasets.label_words import TEST, TRAIN, VAL
from deepfake.datasets.records import Dataset, VideoRecord
from deepfake.storage.locks import writing_table
from deepfake.storage.names import escape
from preprocessing.pipeline.arguments import (
    USUAL_LAYOUT,
    add_crops_dir,
    add_dataset_options,
    chosen_dataset,
    chosen_root,
    make_root_parser,
    run_main,
)

STEP = Path(__file__).stem

EVEN_SPLITS = 5
"""What is proposed where the split by parts is uneven, and the usual number for other data sets than DFDC."""

SPLITTERS = (PART, ORIGINAL, OFFICIAL) = ("part", "original", "official")


def parse_args() -> argparse.Namespace:
    parser = make_root_parser(
        "Assigns every video to a fold, an original and its fakes always to the same, and lists their crops.",
        f"python preprocessing/{STEP}.py --root-dir DATA_ROOT --out folds.csv --split-by original --n-splits 5",
    )
    add_crops_dir(parser)
    add_dataset_options(parser)
    parser.add_argument(
        "--out", type=Path, metavar="CSV", help="the table to write (default: DATA_ROOT/folds.csv); always made anew"
    )
    parser.add_argument(
        "--split-by",
        choices=SPLITTERS,
        help="part: DFDC's part folders, 50 / N of them a fold; original: each original with its fakes, or what else "
        "the data set groups; official: val is fold 0 and train fold 1 (train dealt out by original where there is no "
        "val), test is left out (default: part for DFDC, official where train and val or test are there, else "
        "original)",
    )
    parser.add_argument(
        "--n-splits", type=positive_int, metavar="N", help=f"default: {N_SPLITS} for DFDC, else {EVEN_SPLITS}"
    )
    parser.add_argument(
        "--parts",
        type=positive_int,
        default=DFDC_PARTS,
        metavar="N",
        help="default: %(default)s",
    )
    parser.add_argument(
        "--seed", type=int, default=SEED, help="of the split and the rows' order (default: %(default)s)"
    )
    parser.add_argument(
        "--include-unpaired",
        action="store_true",
        help="also DFDC's reals of which there is no fake (published: left out); of other data sets all are taken",
    )
    parser.add_argument(
        "--check", action="store_true", help="only check, by the metadata, that the videos can be split; write nothing"
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = chosen_root(args)
    whole = chosen_dataset(args)
    choose_way(whole, args)
    dataset = without_test(whole) if args.split_by == PART else whole
    videos = chosen_videos(dataset, args.include_unpaired or dataset.layout != USUAL_LAYOUT)
    choose_n_splits(dataset, videos, args)
    folds = split(dataset, videos, args)
    videos = [video for video in videos if video.video_id in folds]
    for oddity in find_oddities(dataset, videos, folds, args):
        print(f"{STEP}: warning: {oddity}", file=sys.stderr)
    if args.check:
        return 0
    out = args.out or layout.folds_csv
    with writing_table(out, layout.root):
        rows = [row for video in videos for row in video_rows(video, layout, folds[video.video_id])]
        if not rows:
            raise ValueError(f"{layout.crops}: no crops of the data set's videos; run extract_crops.py first")
        write_folds(out, rows, args.seed)
    without = len(videos) - len({row.video for row in rows})
    left_out = len(whole.videos) - len(videos)
    kinds = "reals or fakes without a counterpart"
    if args.split_by == OFFICIAL or dataset is not whole:
        kinds += ", videos of test or of no split"
    print(
        f"{STEP}: {len(rows)} crops of {len(videos) - without} videos in {len({row.fold for row in rows})} folds: {out}"
        f" ({without} videos without crops, {left_out} {kinds} left out)"
    )
    return 0


def choose_way(dataset: Dataset, args: argparse.Namespace) -> None:
    """Set what videos are split by, where the command line leaves it open; print it, if it is not DFDC's way."""
    if args.split_by is not None:
        return
    is_dfdc = dataset.layout == USUAL_LAYOUT
    args.split_by = PART if is_dfdc else OFFICIAL if dataset.has_official_split else ORIGINAL
    if not is_dfdc:
        print(f"{STEP}: split by {args.split_by} (--split-by chooses)", file=sys.stderr)


def without_test(dataset: Dataset) -> Dataset:
    """The data set without its official test videos, which are in no part folder; all, if it has no train."""
    if TRAIN not in dataset.splits or TEST not in dataset.splits:
        return dataset
    return replace(dataset, videos={k: video for k, video in dataset.videos.items() if video.split != TEST})


def choose_n_splits(dataset: Dataset, videos: Sequence[VideoRecord], args: argparse.Namespace) -> None:
    """Set the number of folds, where the command line leaves it open."""
    if args.n_splits is None and dataset.layout == USUAL_LAYOUT:
        args.n_splits = N_SPLITS
    if args.n_splits is None:
        dealt = [video for video in videos if args.split_by != OFFICIAL or video.split == TRAIN]
        most = max(1, min(EVEN_SPLITS, len(set(families(dealt).values()))))
        args.n_splits = most_even_splits(dealt, EVEN_SPLITS, args.seed) or most


def split(dataset: Dataset, videos: Sequence[VideoRecord], args: argparse.Namespace) -> dict[str, int]:
    """Video id -> fold, as the command line says.

    Raises:
        ValueError: no videos, or they cannot be split.
    """
    if not videos:
        raise ValueError(
            f"{args.root_dir}: its metadata names no real video with a fake of it; --include-unpaired takes reals "
            'alone (preprocess_data.sh: FOLDS_ARGS="--include-unpaired")'
        )
    if args.split_by == OFFICIAL:
        return folds_by_official(videos, args.n_splits, args.seed)  # kept as published, leaks are warned of
    if args.split_by == PART:
        folds = folds_by_part(videos, args.n_splits, args.parts)
    else:
        folds = folds_by_original(videos, args.n_splits, args.seed)
    check_leaks(folds, dataset.pairs)
    return folds


def find_oddities(
    dataset: Dataset, videos: Sequence[VideoRecord], folds: Mapping[str, int], args: argparse.Namespace
) -> list[str]:
    """What a user should know of a split before hours of work, with the cure. `videos` are those in folds."""
    found = []
    if orphans := dataset.orphans:
        example = f"'{escape(str(orphans[0].original))}' of '{escape(orphans[0].video_id)}'"
        found.append(
            f"{len(orphans)} of {len(dataset.fakes)} fakes are left out: their originals (e.g. {example}) are no real "
            "videos of the data set"
        )
    if args.split_by == OFFICIAL and (leaks := describe_split_leaks(dataset)):
        found.append(leaks)
    if args.split_by == ORIGINAL and dataset.unattributed:
        found.append(describe_unattributed(dataset))
    if in_test := describe_test(dataset, videos):
        found.append(in_test)
    if uneven := find_uneven(videos, folds, args):
        found.append(uneven)
    return found


def find_uneven(videos: Sequence[VideoRecord], folds: Mapping[str, int], args: argparse.Namespace) -> str | None:
    """Why training and validation cannot be done with each fold held out, with the cure; None if they can."""
    has_val = args.split_by == OFFICIAL and any(video.split == VAL for video in videos)
    # An official val is small on purpose.
    uneven = describe_uneven(videos, folds, 2, math.inf) if has_val else describe_uneven(videos, folds, args.n_splits)
    return None if uneven is None else f"{uneven}; {propose_split(videos, args)}"


def propose_split(videos: Sequence[VideoRecord], args: argparse.Namespace) -> str:
    """Return the options that make the most folds that are even; or say that none do."""
    originals = len(set(families(videos).values()))
    n_splits = most_even_splits(videos, EVEN_SPLITS, args.seed)
    if n_splits is None:
        return (
            f"no 2 to {EVEN_SPLITS} folds of these {originals} originals with their fakes are even: add videos, or try "
            "another --seed"
        )
    options = f"--split-by original --n-splits {n_splits}"
    options += f" --seed {args.seed}" * (args.seed != SEED) + " --include-unpaired" * args.include_unpaired
    return f'{options} deals the {originals} originals out evenly (preprocess_data.sh: FOLDS_ARGS="{options}")'


def chosen_videos(dataset: Dataset, include_unpaired: bool) -> list[VideoRecord]:
    """The reals that have a fake (or all of them), then the fakes that have an original or name none.

    Where fakes name no original, any real may have one, and none is left out.
    """
    pairs, alone = dataset.pairs, dataset.unattributed
    paired = {original.video_id for original, _ in pairs}
    reals = [video for video in dataset.originals if include_unpaired or alone or video.video_id in paired]
    return reals + [fake for _, fake in pairs] + alone


def video_rows(video: VideoRecord, layout: DataRoot, fold: int) -> list[FoldRow]:
    """The fold table's rows of one video's crops; none if it has none."""
    folder = layout.crops / video.video_id
    rows = []
    for path in list_crops(folder) if is_there(folder) else []:
        name = parse_crop_name(path.name)
        if name is not None:
            rows.append(FoldRow(video.video_id, path.name, video.label, video.identity, name[0], fold))
    return rows


if __name__ == "__main__":
    run_main(main)
