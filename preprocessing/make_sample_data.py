"""Before step 1, for whoever has no data: a tiny data set in DFDC layout, or a fake from two clips of one's own."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import csv
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from deepfake.cli.commandline import positive_int
from deepfake.cli.reading_options import add_limits, chosen_limits
from deepfake.datasets.label_words import FAKE, REAL
from deepfake.faces.detectors import FaceDetector, get_preset
from deepfake.media.encode import write_video
from deepfake.media.video import probe
from deepfake.parallel.workers import Summary, run_over
from deepfake.storage import atomic
from deepfake.storage.locks import writing_file, writing_folder
from deepfake.storage.own_folders import METADATA_NAME
from deepfake.synthesis.faceswap import NoFaceError, swap_video
from deepfake.synthesis.portrait_motion import Portrait, animate
from deepfake.synthesis.portraits import PERSONS, read_portrait
from preprocessing.pipeline.arguments import add_run_options, make_bare_parser, run_main
from preprocessing.pipeline.work import finish

STEP = Path(__file__).stem
FPS = 25.0
TEST_FOLDER = "test_videos"
LABELS_NAME = "labels.csv"
SETTINGS_NAME = "sample_settings.json"

VIEWS = {"collins": 8.0, "hopper": 5.2}
"""Side of the square that the camera sees, in head units: as each portrait allows."""

CRFS = (18, 23, 28, 32)
"""Compression in turn, the same for a real and its fake: it must not tell them apart."""

MIN_FACE = 40
"""Smallest face to replace, in pixels of the detector's frame: twice the detector's own, and half its time."""


@dataclass(frozen=True)
class Clip:
    """One video to make: a real one, or a fake that shows `source`'s face on `target`."""

    path: Path
    person: str
    crf: int
    target: Path | None = None
    source: Path | None = None


def parse_args() -> argparse.Namespace:
    parser = make_bare_parser(
        "Makes a tiny data set in DFDC layout from two public-domain portraits that scikit-image and "
        "matplotlib carry: clips with head and camera motion, and face-swapped fakes of them. With --swap, makes one "
        "fake from any two clips instead.",
        f"python preprocessing/{STEP}.py --out demo_data\n"
        f"  python preprocessing/{STEP}.py --swap TARGET.mp4 SOURCE.mp4 --out FAKE.mp4",
        "PATH",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="data set's folder, or the fake's file")
    parser.add_argument(
        "--swap", type=Path, nargs=2, metavar=("TARGET", "SOURCE"), help="put the face of SOURCE onto TARGET"
    )
    add = parser.add_argument
    add("--clips", type=positive_int, default=4, metavar="N", help="real clips a person (default: %(default)s)")
    add(
        "--frames", type=positive_int, default=64, metavar="N", help="frames a clip, 25 a second (default: %(default)s)"
    )
    add("--size", type=positive_int, default=480, metavar="PIXELS", help="side of a frame (default: %(default)s)")
    add("--seed", type=int, default=777, metavar="N", help="motion of head, camera and light (default: %(default)s)")
    add_run_options(parser)
    add_limits(add)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    if args.swap:
        with writing_file(args.out):
            return swap(args)
    args.out.mkdir(parents=True, exist_ok=True)
    with writing_folder(args.out):
        return make_data_set(args)


def swap(args: argparse.Namespace) -> int:
    target, source = args.swap
    if args.out.exists() and not args.overwrite:
        raise ValueError(f"{args.out}: is there already; --overwrite replaces it")
    if args.out.resolve() in (target.resolve(), source.resolve()):
        raise ValueError(f"{args.out}: is one of the clips the fake is made from; name another file")
    limits = chosen_limits(args)
    swapped = swap_video(target, source, args.out, _make_detector(), limits=limits)
    print(f"{args.out}: face replaced in {swapped} of {probe(args.out, limits).frames} frames")
    return 0


def make_data_set(args: argparse.Namespace) -> int:
    settings = {"clips": args.clips, "frames": args.frames, "size": args.size, "seed": args.seed}
    _check_settings(args.out / SETTINGS_NAME, settings, args.overwrite)
    parts, test = plan(args.out, args.clips)
    clips = [*parts[0], *parts[1], *test]
    reals, fakes = [c for c in clips if c.target is None], [c for c in clips if c.target is not None]
    code = 0
    for some in (reals, fakes):  # a fake needs its reals
        code = finish(STEP, _make_clips(some, args), args.out) or code
        if code:
            return code
    for part in parts:
        atomic.write_text(part[0].path.parent / METADATA_NAME, json.dumps(metadata(part), indent=1))
    atomic.write_text(test[0].path.parent / LABELS_NAME, labels(test))
    return 0


def plan(root: Path, count: int) -> tuple[list[list[Clip]], list[Clip]]:
    """The clips of each part, one person's reals and the fakes made from them, and the test clips.

    A fake's face comes from the other person; test clips share no video with the parts.
    """
    parts = [
        [_real(root / f"dfdc_train_part_{n}" / f"{person}_{i}.mp4", person, i) for i in range(count)]
        for n, person in enumerate(PERSONS)
    ]
    test = [_real(root / TEST_FOLDER / f"{person}_test.mp4", person, 1) for person in PERSONS]
    mine, other = parts
    fakes = [
        [_fake(clip, theirs[(i + 1) % count]) for i, clip in enumerate(reals)]
        for reals, theirs in ((mine, other), (other, mine))
    ]
    test_fakes = [_fake(test[0], test[1]), _fake(test[1], test[0])]
    return [mine + fakes[0], other + fakes[1]], test + test_fakes


def metadata(part: Sequence[Clip]) -> dict[str, dict[str, str]]:
    """DFDC's description of one part folder."""
    return {
        clip.path.name: {"label": REAL, "split": "train"}
        if clip.target is None
        else {"label": FAKE, "split": "train", "original": clip.target.name}
        for clip in part
    }


def labels(clips: Sequence[Clip]) -> str:
    """CSV `filename,label` of the test clips, in the form of a submission: 1 is fake."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["filename", "label"])
    writer.writerows((clip.path.name, int(clip.target is not None)) for clip in clips)
    return text.getvalue()


def load_portrait(person: str, detector: FaceDetector) -> Portrait:
    """A person's portrait with the landmarks of its face."""
    image = read_portrait(person)
    faces = detector.detect([image])[0]
    if not faces or faces[0].landmarks is None:
        raise NoFaceError(f"the portrait {person!r} shows no face")
    return Portrait(image, np.array(faces[0].landmarks))


def make_clip(clip: Clip, detector: FaceDetector, frames: int, size: int, seed: int) -> None:
    """Makes one video. Its motion follows from its name and the seed alone, not from the order of work."""
    if clip.target is not None and clip.source is not None:
        swap_video(clip.target, clip.source, clip.path, detector, clip.crf)
        return
    own_seed = zlib.crc32(f"{seed} {clip.path.name}".encode())
    pictures = animate(load_portrait(clip.person, detector), frames, FPS, size, VIEWS[clip.person], own_seed)
    write_video(clip.path, pictures, FPS, clip.crf)


def _make_clips(clips: Sequence[Clip], args: argparse.Namespace) -> Summary:
    return run_over(
        clips,
        partial(make_clip, detector=_make_detector(), frames=args.frames, size=args.size, seed=args.seed),
        is_done=lambda clip: clip.path.exists(),
        workers=args.workers,
        key=lambda clip: clip.path.name,
        overwrite=args.overwrite,
        description="reals" if clips[0].target is None else "fakes",
    )


def _real(path: Path, person: str, number: int) -> Clip:
    return Clip(path, person, CRFS[number % len(CRFS)])


def _fake(target: Clip, source: Clip) -> Clip:
    path = target.path.with_name(f"{target.path.stem}_{source.path.stem}.mp4")
    return Clip(path, target.person, target.crf, target.path, source.path)


def _check_settings(file: Path, settings: dict[str, int], overwrite: bool) -> None:
    """Writes down how the data set is made; a folder of clips made in two ways would be nobody's data set."""
    if file.exists() and not overwrite:
        there = json.loads(file.read_text(encoding="utf-8"))
        if there != settings:
            raise ValueError(
                f"{file.parent}: was made with {there}, not with {settings}; name another folder or --overwrite"
            )
        return
    atomic.write_text(file, json.dumps(settings))


def _make_detector() -> FaceDetector:
    from deepfake.faces.detectors.mtcnn import MTCNN

    return MTCNN(replace(get_preset("training"), min_face=MIN_FACE))


if __name__ == "__main__":
    run_main(main)
