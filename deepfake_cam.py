"""Draws where a network sees the fake: activation maps over the faces of videos, pictures and folders of crops."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from deepfake.cli.commandline import EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE, positive_int, run_guarded
from deepfake.cli.prediction_options import add_networks
from deepfake.cli.reading_options import add_limits, chosen_limits
from deepfake.faces.detectors.base import ALIGNING
from deepfake.media.files import is_picture, is_video
from deepfake.media.image_files import TooManyPixels, image_format, probe_image, read_still
from deepfake.media.images import ImageError
from deepfake.media.video import EveryFrames, ReadLimits, SpreadFrames, VideoError, begins_as_video
from deepfake.parallel.allocator import keep_freed_memory
from deepfake.prediction.ensemble import Member
from deepfake.prediction.face_collector import MAX_FACES
from deepfake.published import check_present
from deepfake.storage.names import fit, printable

if TYPE_CHECKING:
    from visualize.activation.face_maps import FaceMapper, MappedFace

FRAMES = 16
"""Of a video: enough to see whether the maps agree, few enough for one sheet."""
VIDEO, PICTURE, CROPS = "video", "picture", "crops"
# Written out, for the maps' module takes torch, which takes seconds: not for --help. A test compares.
METHODS = ("gradcam", "gradcam++", "hirescam", "eigencam", "attention")

EPILOG = f"""written to the output folder:
  NAME/FRAME_FACE.png   a face with its map, its score and a legend; maps.json lists them
  NAME_sheet.png        all of them on one sheet
  NAME_cam.png          of a picture: the maps over the whole of it
  NAME_cam.mp4          with --video, of a video: the maps over the whole frames

Pictures are searched for faces like frames; those of a folder are taken as crops of faces as they are. A map is scaled
to its own greatest value: its colors compare places of one face, not faces. Read it together with the score.

exit codes:
  0    everything is drawn
  {EXIT_USAGE}    the command, the checkpoint or the disk cannot be used
  {EXIT_SOME_FAILED}    some inputs could not be read, or have no face
  {EXIT_INTERRUPTED}  interrupted

example:
  python deepfake_cam.py --model weights/b5_last --input clip.mp4 --output maps
  python deepfake_cam.py --model xception-hg-2.pth --detector mtcnn --input *.mp4 --output maps --video
  python deepfake_cam.py --model ckpt_x.pth --input data/crops/aabqyygbaa --output maps
"""


@dataclass(frozen=True)
class Source:
    """One input: what it is, and the files that are in question."""

    path: Path
    kind: str
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        return self.path.resolve().name if self.kind == CROPS else self.path.stem


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--model",
        type=Path,
        required=True,
        metavar="CKPT",
        help="a checkpoint's path, or its name in the weights folder",
    )
    add("--input", type=Path, required=True, nargs="+", metavar="PATH", help="videos, pictures, folders of face crops")
    add("--output", type=Path, required=True, metavar="DIR", help="folder of the pictures")
    add("--method", choices=METHODS, help="default: gradcam; WS-DAN: attention, its own maps")
    add_networks(add)
    add(
        "--frames", type=positive_int, default=FRAMES, metavar="N", help="a video's frames, spread evenly (default: 16)"
    )
    add(
        "--max-faces",
        type=positive_int,
        default=MAX_FACES,
        metavar="N",
        help="an input's first N (default: %(default)s)",
    )
    add("--video", action="store_true", help="the maps over a video's whole frames, too, as an mp4; takes long")
    add("--video-step", type=positive_int, default=1, metavar="K", help="with --video: every K-th frame (default: all)")
    add_limits(add)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    keep_freed_memory()
    sources = find_sources(args.input, args.max_faces, args.max_pixels)
    check_outputs(sources, args.output)
    checkpoint = args.model if args.model.is_file() else args.weights_dir / args.model
    check_present([checkpoint])
    failures: dict[Path, str] = {}
    with tqdm(sources, unit="input", disable=len(sources) == 1) as progress:
        mapper = build_mapper(args, checkpoint, any(source.kind != CROPS for source in sources))
        for source in progress:
            try:
                failures |= draw(source, mapper, args)
            except ValueError as error:
                failures[source.path] = str(error)
    for path, reason in failures.items():
        print(printable(reason if str(path) in reason else f"{path}: {reason}"), file=sys.stderr)
    drawn = len(sources) - sum(source.path in failures for source in sources)
    print(f"{printable(str(args.output))}: {drawn} of {len(sources)} inputs are drawn")
    return EXIT_SOME_FAILED if failures else 0


def find_sources(paths: Sequence[Path], max_faces: int, max_pixels: int) -> list[Source]:
    """What the inputs are. Raises ValueError for one that is missing, or is nothing that can be drawn."""
    sources = []
    for path in paths:
        if path.is_dir():
            inside = list(path.iterdir())
            files = sorted((p for p in inside if _is_picture(p)), key=_by_numbers)
            if not files:
                raise ValueError(
                    f"{path}: no picture in it; expected a folder that holds face crops itself. Name videos one by one"
                )
            name = printable(str(path))
            if len(inside) > len(files):
                print(f"{name}: left out: {len(inside) - len(files)} that are no pictures", file=sys.stderr)
            if len(files) > max_faces:
                print(f"{name}: the first {max_faces} of {len(files)} pictures (--max-faces)", file=sys.stderr)
            sources.append(Source(path, CROPS, tuple(files[:max_faces])))
        elif not path.exists():
            raise ValueError(f"{path}: no such file or folder")
        else:
            sources.append(Source(path, kind_of(path, max_pixels), (path,)))
    return sources


def kind_of(path: Path, max_pixels: int) -> str:
    """Whether a file is a video (an animation is one, too) or a picture: by its content, and where that is broken by
    its name. Raises ValueError if it is neither.
    """
    found = None
    try:
        found = image_format(path)
        if begins_as_video(path) or (found is not None and probe_image(path, max_pixels).frames > 1):
            return VIDEO
    except (ImageError, VideoError):  # drawing it says what is wrong
        pass
    if found is not None or is_picture(path):
        return PICTURE
    if is_video(path):
        return VIDEO
    raise ValueError(f"{path}: neither a folder of crops, nor a video or picture")


def check_outputs(sources: Sequence[Source], output: Path) -> None:
    """Raises ValueError if inputs would share their pictures' names, or files that are no pictures of ours be lost."""
    from visualize.activation.map_pictures import check_folder

    read = {file.resolve() for source in sources for file in (source.path, *source.files)}
    written: dict[Path, Source] = {}
    for source in sources:
        check_folder(output / source.name)
        for path in outputs(source, output):
            if path.resolve() in read:
                raise ValueError(f"{path}: is an input and would be written over; choose another --output")
            other = written.setdefault(path, source)
            if other is not source:
                raise ValueError(f"{other.path} and {source.path}: both would be drawn to {path}; draw them apart")


def outputs(source: Source, output: Path) -> tuple[Path, Path, Path]:
    """What is written of an input: the folder of faces, the sheet, the whole frames."""
    suffix = ".mp4" if source.kind == VIDEO else ".png"
    sheet, frames = fit(source.name, suffix="_sheet.png"), fit(source.name, suffix=f"_cam{suffix}")
    return output / source.name, output / sheet, output / frames


def build_mapper(args: argparse.Namespace, checkpoint: Path, detects: bool) -> FaceMapper:
    """The network with everything it needs. Raises ValueError for what cannot be used."""
    from deepfake.models.precision import choose_device
    from deepfake.prediction.loading import load_models
    from visualize.activation.face_maps import FaceMapper

    device = choose_device(args.device)
    member = Member(checkpoint, frames=SpreadFrames(args.frames), max_faces=args.max_faces)
    (model,) = load_models([member], device, ALIGNING.get(args.detector))
    mapper = FaceMapper(model, args.method, device, args.weights_dir, args.video_step, chosen_limits(args))
    if detects:
        _ = mapper.collector  # a missing weight file is an error before any work
    return mapper


def draw(source: Source, mapper: FaceMapper, args: argparse.Namespace) -> dict[Path, str]:
    """Writes the pictures of one input; returns the files of it that cannot be read, and why.

    Raises ValueError if it has none to draw.
    """
    from visualize.activation import map_pictures

    image = _read_picture(source.path, args) if source.kind == PICTURE else None
    faces, failures = find_faces(source, image, mapper)
    folder, sheet, whole = outputs(source, args.output)
    method, model = mapper.mapper.method, args.model.name
    map_pictures.write_faces(folder, faces, method, model)
    map_pictures.write_picture(sheet, map_pictures.face_sheet(faces, [source.name, model], method))
    if image is not None:
        painted = map_pictures.paint_frame(image, faces, mapper.recipe, method)
        map_pictures.write_picture(whole, painted)
    elif source.kind == VIDEO and args.video:
        write_frames(source.path, whole, mapper, args.video_step, chosen_limits(args))
    return failures


def find_faces(
    source: Source, image: np.ndarray | None, mapper: FaceMapper
) -> tuple[list[MappedFace], dict[Path, str]]:
    """An input's faces with their maps, and the files that cannot be read. Raises ValueError if there is no face.

    Args:
        image: of a picture.
    """
    if source.kind == CROPS:
        faces, failures = mapper.crops(source.files)
        if not faces:
            raise ValueError(f"{source.path}: not one picture can be read: {'; '.join(failures.values())}")
        return faces, failures
    faces = mapper.video(source.path) if image is None else mapper.picture(image)
    if not faces:
        cure = "; if it is a crop of a face itself, put it into a folder and give that" * (source.kind == PICTURE)
        raise ValueError(f"{source.path}: no face was found{cure}")
    return faces, {}


def write_frames(path: Path, out: Path, mapper: FaceMapper, step: int, limits: ReadLimits) -> None:
    """Writes a video with the maps over its frames."""
    from deepfake.media.encode import write_video
    from deepfake.media.video import probe
    from visualize.activation.face_maps import frame_rate
    from visualize.activation.map_pictures import paint_frame

    def painted() -> Iterator[np.ndarray]:
        total = len(EveryFrames(step).indices(probe(path, limits).frames)) or None
        for image, faces in tqdm(mapper.frames(path), printable(path.name), total, leave=False, unit="frame"):
            yield paint_frame(image, faces, mapper.recipe, mapper.mapper.method)

    write_video(out, painted(), frame_rate(path, limits) / step)


def _is_picture(path: Path) -> bool:
    return path.is_file() and is_picture(path) and not path.name.startswith(".")


def _read_picture(path: Path, args: argparse.Namespace) -> np.ndarray:
    damage: list[str] = []
    try:
        image = read_still(path, args.max_pixels, damage)
    except TooManyPixels as error:
        raise ImageError(f"{error}{chosen_limits(args).cure('pixels')}") from error
    for note in damage:
        print(printable(f"{path}: {note}"), file=sys.stderr)
    return image


def _by_numbers(path: Path) -> list[str | int]:
    """So that 9_0.png comes before 10_0.png."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", path.name)]


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))
