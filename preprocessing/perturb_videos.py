"""Not one of the five steps: copies of videos, made worse as papers and platforms do, for other tools to read."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deepfake.cli.dataset_options import add_dataset, read_if_dataset
from deepfake.cli.reading_options import add_limits, chosen_limits
from deepfake.datasets.copies import copy_lists, copy_of
from deepfake.datasets.data_root import is_there
from deepfake.datasets.records import VIDEO
from deepfake.media.encode import CRF_RANGE, NEARLY_LOSSLESS
from deepfake.media.files import find_videos
from deepfake.media.video import LIMITS, ReadLimits
from deepfake.parallel.workers import Task
from deepfake.synthesis.perturbations.kinds import PERTURBATIONS
from deepfake.synthesis.perturbations.perturbation import SEED, SUITES, Perturbation, parse_perturbations
from deepfake.synthesis.perturbations.perturbed_video import write_perturbed
from preprocessing.pipeline.arguments import (
    add_cluster_options,
    add_mix_settings,
    add_run_options,
    make_bare_parser,
    run_main,
    seen_by_all,
)
from preprocessing.pipeline.work import Work, file_size, longest_first, run_work

STEP = Path(__file__).stem

CONTAINERS = (".mp4", ".m4v", ".mov", ".mkv")
"""Suffixes of containers that hold what the encoders write; other names get .mp4 behind."""


def parse_args() -> argparse.Namespace:
    parser = make_bare_parser(
        "Writes perturbed copies of videos; the originals stay as they are. A data set of a known layout becomes "
        "one of the same. evaluate.py needs no copies: it perturbs while it reads.",
        f"python preprocessing/{STEP}.py DATA_ROOT --perturb GNC:3 --out noisy\n"
        f"  python preprocessing/{STEP}.py clip.mp4 --perturb deeperforensics --out worse",
        "FOLDER",
    )
    add = parser.add_argument
    add("source", type=Path, metavar="VIDEOS", help="a folder, searched with all below it, or one video")
    add(
        "--perturb",
        required=True,
        metavar="NAME[:LEVEL]",
        help=f"a suite ({', '.join(SUITES)}), or one of {', '.join(PERTURBATIONS)}, at all its levels or at one. What "
        "each does: docs/perturbations.md",
    )
    add(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="where the copies go; of several perturbations into a folder NAME_LEVEL each",
    )
    add(
        "--seed",
        type=int,
        default=SEED,
        metavar="N",
        help="with a video's name it decides what is random (%(default)s)",
    )
    add(
        "--crf",
        type=int,
        choices=CRF_RANGE,
        default=NEARLY_LOSSLESS,
        metavar="N",
        help="constant rate factor of H.264, 0 to 51, where encoding is no part of the perturbation (%(default)s: no "
        "difference can be seen)",
    )
    add_run_options(parser)
    add_cluster_options(parser)
    add_mix_settings(parser)
    add_dataset(add)
    add_limits(add)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    perturbations = parse_perturbations(args.perturb, args.seed)
    source, out = seen_by_all(args.source, args), seen_by_all(args.out, args)
    root = source if source.is_dir() else source.parent
    if out.resolve() == root.resolve():
        raise ValueError(f"{out}: holds the originals; name another folder for the copies")
    dataset = read_if_dataset(source, args)
    if dataset is None:
        videos = find_videos([source], skip=out, pictures=False).videos
    else:  # without its masks
        there = (video.path for video in dataset.videos.values() if video.content == VIDEO and is_there(video.path))
        videos = [path for path in there if not path.is_relative_to(out)]
    if not videos:
        raise ValueError(f"{source}: no video in it; pictures are perturbed by evaluate.py, while it reads")
    code = 0
    for perturbation in perturbations:
        folder = out if len(perturbations) == 1 else out / f"{perturbation.name}_{perturbation.level}"
        code = max(code, write_copies(videos, root, folder, perturbation, args))
        if dataset is not None:
            copy_lists(root, folder)
    return code


def write_copies(
    videos: Sequence[Path], root: Path, out: Path, perturbation: Perturbation, args: argparse.Namespace
) -> int:
    """Write one perturbation's copies of videos below a root; return the exit code."""
    perturb = PerturbVideo(root, out, perturbation, args.crf, chosen_limits(args))
    work = Work(
        step=STEP,
        root=out,
        items=longest_first(videos, file_size),
        task=Task(perturb, perturb.copy_of),
        key=perturb.name_of,
        folder=".",
        settings={**asdict(perturbation), "crf": args.crf},
        note=str(perturbation),
    )
    out.mkdir(parents=True, exist_ok=True)
    return run_work(work, args)


@dataclass(frozen=True)
class PerturbVideo:
    """Writes the perturbed copy of one video."""

    root: Path
    out: Path
    perturbation: Perturbation
    crf: int
    limits: ReadLimits = LIMITS

    def name_of(self, video: Path) -> str:
        return copy_of(video, self.root, Path()).as_posix()

    def copy_of(self, video: Path) -> Path:
        copy = copy_of(video, self.root, self.out)
        return copy if video.suffix.lower() in CONTAINERS else copy.with_name(f"{copy.name}.mp4")

    def __call__(self, video: Path) -> None:
        plan = self.perturbation.plan(video.stem)
        write_perturbed(video, self.copy_of(video), plan, self.limits, self.crf)


if __name__ == "__main__":
    run_main(main)
