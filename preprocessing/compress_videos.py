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
from deepfake.datasets.data_root import DataRoot
from deepfake.datasets.reading import read_dataset
from deepfake.datasets.records import VideoRecord
from deepfake.media.encode import Encoding, transcode
from deepfake.media.video import LIMITS, ReadLimits
from deepfake.parallel.workers import Task
from deepfake.storage import atomic
from deepfake.storage.locks import writing_folder
from deepfake.storage.own_folders import METADATA_NAME
from preprocessing.pipeline.arguments import make_parser, run_main, seen_by_all
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
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = DataRoot(seen_by_all(args.root_dir, args))
    out = seen_by_all(args.out_dir, args) if args.out_dir else layout.compressed
    if out.resolve() == layout.root.resolve():
        raise ValueError(f"{out}: holds the originals; name another folder for the copies")
    dataset = read_dataset(layout.root)
    videos = list(dataset.videos.values())
    compress = CompressVideo(layout.root, out, args.seed, chosen_limits(args))
    work = Work(
        step=STEP,
        root=layout.root,
        items=videos,
        task=Task(compress, compress.copy_of),
        key=attrgetter("video_id"),
        folder=out.name if out == layout.compressed else str(out.absolute()),
        settings={"seed": args.seed, "crfs": CRFS},
        failures=excluded(dataset),
    )
    out.mkdir(parents=True, exist_ok=True)
    # The copies are a data root of their own.
    with writing_folder(layout.root), writing_folder(out):
        code = run_work(work, args)
        for part in sorted({video.path.parent for video in videos}):
            copy = out / part.relative_to(layout.root) / METADATA_NAME
            atomic.write_bytes(copy, (part / METADATA_NAME).read_bytes())
    return code


@dataclass(frozen=True)
class CompressVideo:
    """Writes the compressed copy of one video."""

    root: Path
    out: Path
    seed: int
    limits: ReadLimits = LIMITS

    def copy_of(self, video: VideoRecord) -> Path:
        return self.out / video.path.relative_to(self.root)

    def __call__(self, video: VideoRecord) -> None:
        encoding = Encoding(draw_crf(video.video_id, self.seed))
        transcode(video.path, self.copy_of(video), encoding, self.limits)


def draw_crf(video_id: str, seed: int) -> int:
    """One of `CRFS`; it depends on the video's id and the seed alone."""
    return random.Random(f"{seed} {video_id}").choice(CRFS)


if __name__ == "__main__":
    run_main(main)
