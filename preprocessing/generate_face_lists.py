"""The list of second place's training data: videos with label, pictures and set, FACES/faces.csv."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from deepfake.cli.dataset_options import add_dataset, read_chosen, read_if_dataset
from deepfake.datasets.aligned_faces import (
    FACES_CSV,
    TRAIN,
    VALIDATION,
    FaceListRow,
    list_faces,
    list_folders,
    write_face_list,
)
from deepfake.datasets.folds import (
    SEED,
    check_leaks,
    describe_split_leaks,
    describe_test,
    describe_unattributed,
    draw_validation,
    families,
)
from deepfake.datasets.label_words import LABEL_VALUES, TEST, VAL
from deepfake.datasets.records import Dataset, VideoRecord
from deepfake.storage.locks import writing_table
from preprocessing.pipeline.arguments import make_bare_parser, run_main

STEP = Path(__file__).stem

VAL_SHARE = 0.2
"""Second place's own split: 24,235 of 115,476 videos."""

SPLITTERS = (ORIGINAL, OFFICIAL) = ("original", "official")

ChooseSets = Callable[[Dataset, Sequence[VideoRecord], float, int], dict[str, str]]
"""The data set, some of its videos, the share that validates, a seed -> the set of each."""


def parse_args() -> argparse.Namespace:
    parser = make_bare_parser(
        f"Lists the videos that have aligned faces, with their labels, as {TRAIN} and {VALIDATION}: an original and "
        f"its fakes always in the same set. Writes {FACES_CSV} anew: name,is_fake,n_frame,set_name.",
        f"python preprocessing/{STEP}.py FACES --metadata VIDEOS --val-share 0.2",
        "FACES",
    )
    parser.add_argument("faces", type=Path, metavar="FACES", help="what extract_aligned_faces.py has written")
    parser.add_argument(
        "--metadata",
        type=Path,
        required=True,
        metavar="VIDEOS",
        help="data set whose videos they are",
    )
    parser.add_argument(
        "--if-labeled", action="store_true", help="do nothing where VIDEOS is no data set of a known layout"
    )
    add_dataset(parser.add_argument_group("data set").add_argument)
    parser.add_argument(
        "--split-by",
        choices=SPLITTERS,
        help="original: each original with its fakes, or what else the data set groups; official: its train and val "
        "(of train, where there is no val), test videos are listed as test (default: official where train and val or "
        "test are there, else original)",
    )
    parser.add_argument(
        "--val-share",
        type=float,
        default=VAL_SHARE,
        metavar="S",
        help="share of the originals that validate, with their fakes (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help="of the split (default: %(default)s)")
    parser.add_argument(
        "--check", action="store_true", help="only check, by the metadata, that the videos can be split; write nothing"
    )
    parser.add_argument("--out", type=Path, metavar="CSV", help=f"the list to write (default: FACES/{FACES_CSV})")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    dataset = read_if_dataset(args.metadata, args) if args.if_labeled else read_chosen(args.metadata, args)
    if dataset is None:
        if not args.check:
            print(
                f"{args.metadata}: no metadata.json in it or in a folder below it, nor anything else that says labels, "
                f"so no list: {args.faces / FACES_CSV} needs labels"
            )
        return 0
    is_official = dataset.has_official_split if args.split_by is None else args.split_by == OFFICIAL
    choose_sets = official_sets if is_official else sets_by_original
    if args.check:
        check_sets(make_rows(dataset, dict.fromkeys(dataset.videos, 1), args.val_share, args.seed, choose_sets))
        return 0
    if not args.faces.is_dir():
        raise ValueError(f"{args.faces}: no such folder; run extract_aligned_faces.py first")
    out = args.out or args.faces / FACES_CSV
    with writing_table(out, args.faces):
        return write_list(args, dataset, out, choose_sets)


def write_list(args: argparse.Namespace, dataset: Dataset, out: Path, choose_sets: ChooseSets) -> int:
    """Writes the list to `out`, prints what is in it, and returns the exit code."""
    folders = list_folders(args.faces)
    pictures = {name: len(list_faces(args.faces / name)) for name in folders if name in dataset.videos}
    rows = make_rows(dataset, pictures, args.val_share, args.seed, choose_sets)
    if not rows:
        raise ValueError(f"{args.faces}: no faces of the data set's videos; run extract_aligned_faces.py first")
    check_sets(rows)
    for oddity in find_oddities(dataset, rows, choose_sets):
        print(f"{STEP}: warning: {oddity}", file=sys.stderr)
    write_face_list(out, rows)
    for name in (TRAIN, VALIDATION, TEST):
        if listed := [row for row in rows if row.set_name == name]:
            print(f"{STEP}: {name}: {describe(listed)}")
    print(
        f"{STEP}: {out} ({len(dataset.videos) - len(rows)} videos of the data set without faces left out, "
        f"{len(folders) - len(pictures)} folders of videos that {args.metadata} does not know)"
    )
    return 0


def find_oddities(dataset: Dataset, rows: Iterable[FaceListRow], choose_sets: ChooseSets) -> list[str]:
    """What a user should know of a list."""
    if choose_sets is official_sets:
        found = [describe_split_leaks(dataset)]
    else:
        found = [describe_test(dataset, [dataset.videos[row.name] for row in rows])]
        found += [describe_unattributed(dataset)] if dataset.unattributed else []
    return [oddity for oddity in found if oddity is not None]


def make_rows(
    dataset: Dataset, pictures: Mapping[str, int], val_share: float, seed: int, choose_sets: ChooseSets | None = None
) -> list[FaceListRow]:
    """The list of the videos that have pictures; `pictures` counts them by video id.

    Args:
        choose_sets: the set of each of some videos, those that are in none left out; `sets_by_original` by default.

    Raises:
        FoldError: they cannot be split.
    """
    listed = [video for name, video in dataset.videos.items() if pictures.get(name)]
    if not listed:
        return []
    sets = (choose_sets or sets_by_original)(dataset, listed, val_share, seed)
    return [
        FaceListRow(v.video_id, v.label, pictures[v.video_id], sets[v.video_id]) for v in listed if v.video_id in sets
    ]


def sets_by_original(dataset: Dataset, listed: Sequence[VideoRecord], val_share: float, seed: int) -> dict[str, str]:
    """Video id -> its set: originals are drawn, each with all its fakes.

    Raises:
        FoldError: they cannot be split.
    """
    family_of = families(dataset.videos.values())
    validation = draw_validation(listed, family_of, val_share, seed)
    sets = {v.video_id: VALIDATION if family_of[v.video_id] in validation else TRAIN for v in listed}
    check_leaks(sets, ((a, b) for a, b in dataset.pairs if a.video_id in sets and b.video_id in sets))
    return sets


def official_sets(dataset: Dataset, listed: Sequence[VideoRecord], val_share: float, seed: int) -> dict[str, str]:
    """Video id -> its official split, kept as published. Without a val it is drawn from train, as `sets_by_original`.

    Raises:
        FoldError: train cannot be split.
    """
    sets = {video.video_id: video.split for video in listed if video.split is not None}
    if VAL not in dataset.splits:
        train = [video for video in listed if video.split == TRAIN]
        sets |= sets_by_original(dataset, train, val_share, seed)
    return sets


def check_sets(rows: Iterable[FaceListRow]) -> None:
    """Raises ValueError if one of the sets has no real or no fake."""
    there = {(row.set_name, row.is_fake) for row in rows}
    for name in (TRAIN, VALIDATION):
        for label, value in LABEL_VALUES.items():
            if (name, value) not in there:
                raise ValueError(
                    f"no {label} video with faces in the set {name!r}: nothing can be learnt from one kind alone; "
                    "choose another --seed or --val-share, or extract faces of more videos"
                )


def describe(rows: Sequence[FaceListRow]) -> str:
    fakes = sum(row.is_fake for row in rows)
    return f"{len(rows) - fakes} real and {fakes} fake videos, {sum(row.n_frame for row in rows)} faces"


if __name__ == "__main__":
    run_main(main)
