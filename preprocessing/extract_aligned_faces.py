"""Second place's faces: the largest of each frame, moved onto the landmark template, OUT_DIR/ID/NNN.png."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path

import numpy as np

from deepfake.cli.commandline import positive_float, positive_int
from deepfake.cli.dataset_options import add_dataset, dataset_arguments, read_if_dataset
from deepfake.cli.reading_options import add_limits, chosen_limits
from deepfake.datasets.aligned_faces import (
    RESERVED,
    Extraction,
    FaceVideo,
    claim_folder,
    extraction_to_dict,
    face_name,
    name_folders,
)
from deepfake.datasets.data_root import CROP_SUFFIXES, is_there
from deepfake.datasets.manipulation_masks import iter_masks, manipulated, with_masks
from deepfake.datasets.records import CROPS, VIDEO
from deepfake.faces.align import TEMPLATE_SIZE, align_largest, largest_face
from deepfake.faces.boxes import Face
from deepfake.faces.detectors import ALIGNING, FaceDetector
from deepfake.faces.detectors.portable import PortableDetector
from deepfake.faces.detectors.stream import detect_videos
from deepfake.faces.recipes import AlignRecipe
from deepfake.media.files import find_videos
from deepfake.media.images import fit_square, write_image
from deepfake.media.video import LIMITS, Frame, ReadLimits, chunked, iter_every, iter_frames
from deepfake.parallel.workers import Outcome, Task, outcomes
from deepfake.storage import atomic
from deepfake.storage.locks import writing_folder
from preprocessing.pipeline.arguments import (
    add_cluster_options,
    add_device,
    add_run_options,
    chosen_device,
    make_bare_parser,
    print_layout,
    run_main,
    seen_by_all,
)
from preprocessing.pipeline.work import Work, file_size, longest_first, run_work

STEP = Path(__file__).stem
DETECTOR = "retinaface"

VIDEOS_AT_ONCE = 64
"""Videos whose detections are held in memory, on CUDA, until their faces are written."""

MASKED_FRACTION = 8
"""One in this many of them where masks choose: all faces of a frame are held, not the largest alone."""


def parse_args() -> argparse.Namespace:
    parser = make_bare_parser(
        f"Cuts the largest face out of each frame of all videos and aligns it by its five landmarks to a "
        f"{TEMPLATE_SIZE}x{TEMPLATE_SIZE} picture, OUT_DIR/ID/NNN.png: ID is the video's file name without suffix, or "
        "its id in a data set, NNN the frame. A video without a face gets an empty folder.",
        f"python preprocessing/{STEP}.py VIDEOS FACES --every 10 --detector mtcnn",
        "OUT_DIR",
    )
    parser.add_argument(
        "sources",
        type=Path,
        nargs="+",
        metavar="SOURCE",
        help="a data set, a folder to search for videos at any depth, or a video",
    )
    parser.add_argument("out_dir", type=Path, metavar="OUT_DIR", help="folder of the faces; made if need be")
    parser.add_argument(
        "--every", type=positive_int, default=1, metavar="N", help="look at every Nth frame (default: all)"
    )
    parser.add_argument(
        "--detector",
        choices=sorted(ALIGNING),
        default=DETECTOR,
        help="retinaface is the published one; mtcnn needs no weight file (default: %(default)s)",
    )
    parser.add_argument(
        "--weights-dir",
        type=Path,
        default=Path("weights"),
        metavar="DIR",
        help="folder of the detector's weight file (default: %(default)s)",
    )
    parser.add_argument(
        "--scale",
        type=positive_float,
        metavar="S",
        help="scale of every frame before detection, instead of the detector's own; below 1 is faster",
    )
    parser.add_argument(
        "--format",
        choices=[suffix[1:] for suffix in CROP_SUFFIXES],
        default="png",
        help="picture format; the full DFDC takes terabytes in png (default: %(default)s)",
    )
    add_device(parser)
    add_limits(parser.add_argument)
    add_run_options(parser)
    add_cluster_options(parser)
    add_dataset(parser.add_argument_group("data set, where SOURCE is one").add_argument)
    return parser.parse_intermixed_args()


def main() -> int:
    args = parse_args()
    settings = ALIGNING[args.detector]
    if args.scale is not None:
        settings = settings.with_scale(args.scale)
    extraction = Extraction(AlignRecipe(settings), args.every, f".{args.format}")
    out_dir = seen_by_all(args.out_dir, args)
    chosen, left_out = choose_videos(args, out_dir)
    check_places(chosen, out_dir)
    if left_out:
        print(left_out, file=sys.stderr)
    videos = longest_first(chosen, lambda video: file_size(video.path))
    device = chosen_device(args)
    detector = PortableDetector(settings, device, seen_by_all(args.weights_dir, args))
    if args.scheduler is None:
        detector.load()  # before the folder is made: its weights may be missing
    job = Job(out_dir, extraction, chosen_limits(args))
    work = Work(
        step=STEP,
        root=out_dir,
        items=videos,
        task=Task(partial(extract_video, job=job, detector=detector), job.folder_of, detector.load),
        key=attrgetter("name"),
        folder=".",
        settings=extraction_to_dict(extraction),
        on_gpu=device == "cuda",
        is_guarded=False,  # recipe.json is what tells
    )
    if device == "cuda":
        work = replace(work, all_at_once=partial(extract_on_cuda, job=job, detector=detector, workers=args.workers))
    out_dir.mkdir(parents=True, exist_ok=True)
    with writing_folder(out_dir):
        claim_folder(out_dir, extraction, {video.name for video in videos}, args.overwrite)
        code = run_work(work, args)
        tell_faceless([job.folder_of(video) for video in videos])
    return code


def choose_videos(args: argparse.Namespace, out_dir: Path) -> tuple[list[FaceVideo], str]:
    """Return the videos of the data set that the command line names, or those that are found, and what is left out.

    Raises:
        ValueError: none, or two of one name.
    """
    sources = [seen_by_all(source, args) for source in args.sources]
    if len(sources) == 1 and (dataset := read_if_dataset(sources[0], args)) is not None:
        print_layout(dataset)
        there = [video for video in dataset.videos.values() if is_there(video.path)]
        return [FaceVideo(video.video_id, video.path, video.content, video.mask) for video in there], ""
    if options := dataset_arguments(args):
        raise ValueError(f"{' '.join(options)}: options of one data set; name one SOURCE")
    # A folder of videos often holds pictures of them: they are no videos to learn from.
    found = find_videos(sources, skip=out_dir, pictures=False)
    left_out = found.left_out.summary()
    if not found.videos:
        raise ValueError(f"{found.searched}: no video in it{left_out and f' ({left_out})'}")
    return [FaceVideo(name, path) for name, path in name_folders(found.videos).items()], left_out


def check_places(videos: Sequence[FaceVideo], out_dir: Path) -> None:
    """Check that each video can have its own folder below `out_dir`.

    Raises:
        ValueError: none, a name that no folder of faces can have, or a video in a folder that another's faces would
            replace.
    """
    if not videos:
        raise ValueError("no video of the data set is there")
    folders = {out_dir.resolve() / video.name for video in videos}
    for video in videos:
        if video.name in RESERVED:
            raise ValueError(f"{str(video.path)!r}: no folder of faces can be named {video.name!r}; rename the video")
        if folder := folders.intersection(video.path.resolve().parents):
            raise ValueError(
                f"{folder.pop()}: the video {video.path} is in it, so faces cannot be; name another OUT_DIR"
            )


@dataclass(frozen=True)
class Job:
    """Where the faces go, how they are made, and what reading a video may take."""

    out_dir: Path
    extraction: Extraction
    limits: ReadLimits = LIMITS

    def folder_of(self, video: FaceVideo) -> Path:
        return self.out_dir / video.name

    def frames(self, video: FaceVideo) -> Iterator[Frame]:
        every = self.extraction.every if video.content == VIDEO else 1
        return iter_every(video.path, every, limits=self.limits)

    def write_crop(self, folder: Path, frame: Frame) -> None:
        """Writes a finished face crop: nothing is looked for in it."""
        picture = fit_square(frame.image, self.extraction.recipe.size)
        write_image(folder / face_name(frame.index, self.extraction.suffix), picture)

    def write(self, folder: Path, frame: Frame, faces: Sequence[Face]) -> None:
        """Writes a frame's largest face, if there is one."""
        found = align_largest(frame.image, faces, self.extraction.recipe.size)
        if found is not None:
            write_image(folder / face_name(frame.index, self.extraction.suffix), found[1])


def extract_video(video: FaceVideo, job: Job, detector: FaceDetector) -> None:
    """Writes the faces of one video.

    Raises:
        VideoError: unreadable, or over a limit.
    """
    if video.mask is not None and video.content != CROPS:
        found = {frame.index: faces for frame, faces in detect_faces(video, job, detector) if faces}
        write_found(video, found, job)
        return
    with atomic.atomic_folder(job.folder_of(video)) as folder:
        if video.content == CROPS:
            for frame in job.frames(video):
                job.write_crop(folder, frame)
            return
        for frame, faces in detect_faces(video, job, detector):
            job.write(folder, frame, faces)


def detect_faces(video: FaceVideo, job: Job, detector: FaceDetector) -> Iterator[tuple[Frame, list[Face]]]:
    """Yields the frames that are looked at with their faces."""
    for batch in chunked(job.frames(video)):
        yield from zip(batch, detector.detect([frame.image for frame in batch]))


def extract_on_cuda(
    videos: Sequence[FaceVideo], job: Job, detector: FaceDetector, workers: int, at_once: int = VIDEOS_AT_ONCE
) -> Iterator[Outcome[FaceVideo]]:
    """Writes the faces of all videos, `at_once` at a time: processes decode, the one detector takes batches of frames
    of several videos; then processes decode again and write: to keep the frames would take gigabytes.

    Yields what came of each video.
    """
    finished = [video for video in videos if video.content == CROPS]
    yield from outcomes(finished, Task(partial(extract_video, job=job, detector=detector)), workers)
    masked = [video for video in videos if video.content != CROPS and video.mask is not None]
    others = [video for video in videos if video.content != CROPS and video.mask is None]
    for some, finder, most in (
        (masked, detector, -(-at_once // MASKED_FRACTION)),
        (others, LargestOnly(detector), at_once),
    ):
        for start in range(0, len(some), most):
            yield from _extract_some(some[start : start + most], job, finder, workers)


def _extract_some(
    videos: Sequence[FaceVideo], job: Job, detector: FaceDetector, workers: int
) -> Iterator[Outcome[FaceVideo]]:
    found: dict[FaceVideo, dict[int, list[Face]]] = {}
    for part in detect_videos(videos, job.frames, detector, workers):
        if part.error is None:
            found[part.item] = {index: faces for index, faces in part.frames.items() if faces}
        else:
            yield Outcome(part.item, str(part.error))
    yield from outcomes(list(found), Task(lambda video: write_found(video, found[video], job)), workers)


def write_found(video: FaceVideo, found: dict[int, list[Face]], job: Job) -> None:
    """Writes the faces of one video: frame -> its faces, of which its mask, if it has one, chooses.

    Raises:
        VideoError: unreadable, or over a limit.
    """
    with atomic.atomic_folder(job.folder_of(video)) as folder:
        several = [index for index, faces in found.items() if len(faces) > 1]
        frames = iter_frames(video.path, found, limits=job.limits)
        for frame, mask in with_masks(frames, iter_masks(video.mask, several, job.limits)):
            faces = found[frame.index]
            meant = faces if mask is None else [faces[place] for place in sorted(manipulated(faces, mask))]
            job.write(folder, frame, meant)


@dataclass(frozen=True)
class LargestOnly:
    """A detector that hands on the one face that is aligned: without suppression there are hundreds a frame."""

    detector: FaceDetector

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        largest = map(largest_face, self.detector.detect(frames))
        return [[] if face is None else [face] for face in largest]


def tell_faceless(folders: Sequence[Path]) -> None:
    """Prints how many of the videos whose faces are done have none, and names the first."""
    names = sorted(folder.name for folder in folders if folder.is_dir() and not any(folder.iterdir()))
    if names:
        print(f"{STEP}: {len(names)} videos without a face, such as {names[0]} (their folders are empty)")


if __name__ == "__main__":
    run_main(main)
