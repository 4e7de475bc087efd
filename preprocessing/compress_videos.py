"""Not one of the five steps: copies of the videos, compressed harder, as a data set of their own."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import random
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from deepfake.cli.reading_options import add_limits, chosen_limits
from deepfake.datasets.copies import copy_lists, copy_of
from deepfake.datasets.records import VIDEO, VideoRecord
from deepfake.media.encode import Encoding, transcode
from deepfake.media.video import LIMITS, ReadLimits
from deepfake.parallel.workers import Task
from deepfake.storage.locks import writing_folder
from preprocessing.pipeline.arguments import (
    add_dataset_options,
    chosen_dataset,
    chosen_root,
    make_parser,
    run_main,
    seen_by_all,
)
from preprocessing.pipeline.work import Work, excluded, run_work

STEP = Path(__file__).stem
SEED = 777

CRFS = (23, 28, 32)
"""x264's constant rate factors that a video's is drawn from (first place)."""


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Encodes all videos again with H.264 at CRF 23, 28 or 32, frame for frame, into a data set of the same layout. "
        "The originals stay as they are.",
        f"python preprocessing/{STEP}.py --root-dir DATA_ROOT\n  bash preprocess_data.sh DATA_ROOT/compressed",
    )
    parser.add_argument(
        "--out-dir", type=Path, metavar="DIR", help="where the copies go (default: DATA_ROOT/compressed)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=SEED,
        metavar="N",
        help="with a video's id it decides the video's CRF, whatever the order of work (default: %(default)s)",
    )
    add_limits(parser.add_argument)
    add_dataset_options(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout, root = chosen_root(args), seen_by_all(args.root_dir, args)
    root = root if root.is_dir() else root.parent
    out = seen_by_all(args.out_dir, args) if args.out_dir else layout.compressed
    if out.resolve() == root.resolve():
        raise ValueError(f"{out}: holds the originals; name another folder for the copies")
    dataset = chosen_dataset(args)
    videos = [video for video in dataset.videos.values() if video.content == VIDEO]
    pictures = len(dataset.videos) - len(videos)
    compress = CompressVideo(root, out, args.seed, chosen_limits(args))
    work = Work(
        step=STEP,
        root=layout.root,
        items=videos,
        task=Task(compress, compress.copy_of),
        key=attrgetter("video_id"),
        folder=out.name if out == layout.compressed else str(out.absolute()),
        settings={"seed": args.seed, "crfs": CRFS},
        failures=excluded(dataset),
        note=f"{pictures} pictures and folders of pictures are left out" if pictures else "",
    )
    out.mkdir(parents=True, exist_ok=True)
    # The copies are a data root of their own.
    with writing_folder(layout.root), writing_folder(out):
        code = run_work(work, args)
        copy_lists(root, out)
    return code


@dataclass(frozen=True)
class CompressVideo:
    """Writes the compressed copy of one video."""

    root: Path
    out: Path
    seed: int
    limits: ReadLimits = LIMITS

    def copy_of(self, video: VideoRecord) -> Path:
        return copy_of(video.path, self.root, self.out)

    def __call__(self, video: VideoRecord) -> None:
        encoding = Encoding(draw_crf(video.video_id, self.seed))
        transcode(video.path, self.copy_of(video), encoding, self.limits)


def draw_crf(video_id: str, seed: int) -> int:
    """One of `CRFS`; it depends on the video's id and the seed alone."""
    return random.Random(f"{seed} {video_id}").choice(CRFS)


if __name__ == "__main__":
    run_main(main)
