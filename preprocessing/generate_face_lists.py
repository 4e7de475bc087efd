"""The list of second place's training data: videos with label, pictures and set, FACES/faces.csv."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from deepfake.datasets.aligned_faces import (
    FACES_CSV,
    TRAIN,
    VALIDATION,
    FaceListRow,
    list_faces,
    list_folders,
    write_face_list,
)
from deepfake.datasets.folds import SEED, check_leaks, describe_unattributed, draw_share, families
from deepfake.datasets.label_words import LABEL_VALUES
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import Dataset
from deepfake.storage.locks import writing_table
from preprocessing.pipeline.arguments import make_bare_parser, run_main

STEP = Path(__file__).stem

VAL_SHARE = 0.2
"""Second place's own split: 24,235 of 115,476 videos."""


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
        help="data set in DFDC layout: metadata.json in it or in the folders directly below it",
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
    dataset = read_dataset(args.metadata)
    if args.check:
        check_sets(make_rows(dataset, dict.fromkeys(dataset.videos, 1), args.val_share, args.seed))
        return 0
    if not args.faces.is_dir():
        raise ValueError(f"{args.faces}: no such folder; run extract_aligned_faces.py first")
    out = args.out or args.faces / FACES_CSV
    with writing_table(out, args.faces):
        return write_list(args, dataset, out)


def write_list(args: argparse.Namespace, dataset: Dataset, out: Path) -> int:
    """Writes the list to `out`, prints what is in it, and returns the exit code."""
    folders = list_folders(args.faces)
    pictures = {name: len(list_faces(args.faces / name)) for name in folders if name in dataset.videos}
    rows = make_rows(dataset, pictures, args.val_share, args.seed)
    if not rows:
        raise ValueError(f"{args.faces}: no faces of the data set's videos; run extract_aligned_faces.py first")
    check_sets(rows)
    if dataset.unattributed:
        print(f"{STEP}: warning: {describe_unattributed(dataset)}", file=sys.stderr)
    write_face_list(out, rows)
    for name in (TRAIN, VALIDATION):
        print(f"{STEP}: {name}: {describe([row for row in rows if row.set_name == name])}")
    print(
        f"{STEP}: {out} ({len(dataset.videos) - len(rows)} videos of the data set without faces left out, "
        f"{len(folders) - len(pictures)} folders of videos that {args.metadata} does not know)"
    )
    return 0


def make_rows(dataset: Dataset, pictures: Mapping[str, int], val_share: float, seed: int) -> list[FaceListRow]:
    """The list of the videos that have pictures; `pictures` counts them by video id.

    Raises:
        FoldError: they cannot be split.
    """
    family_of = families(dataset.videos.values())
    listed = [video for name, video in dataset.videos.items() if pictures.get(name)]
    if not listed:
        return []
    validation = draw_share((family_of[video.video_id] for video in listed), val_share, seed)
    sets = {v.video_id: VALIDATION if family_of[v.video_id] in validation else TRAIN for v in listed}
    check_leaks(sets, ((a, b) for a, b in dataset.pairs if a.video_id in sets and b.video_id in sets))
    return [FaceListRow(v.video_id, v.label, pictures[v.video_id], sets[v.video_id]) for v in listed]


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
