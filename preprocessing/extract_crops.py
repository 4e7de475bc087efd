"""Step 2: face crops of reals and of their fakes, DATA_ROOT/crops/ID/{frame}_{face}.png."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from deepfake import atomic
from deepfake.boxes import MARGIN, BoxFile, crop_face, read_boxes
from deepfake.images import write_image
from deepfake.metadata import VideoRecord
from deepfake.paths import CROP_SUFFIXES, DataRoot, crop_name
from deepfake.stages import CROPS
from deepfake.video import VideoError, iter_frames
from preprocessing.step import add_crops_dir, make_parser, run_main, run_work, seen_by_all, stage_work

STEP = Path(__file__).stem


def parse_args() -> argparse.Namespace:
    parser = make_parser(
        "Cuts the faces out of all videos: the box of the original, for its fakes too, and a third of it on each side.",
        f"python preprocessing/{STEP}.py --root-dir DATA_ROOT --crops-dir crops --format jpg",
    )
    add_crops_dir(parser)
    parser.add_argument(
        "--format",
        choices=[suffix[1:] for suffix in CROP_SUFFIXES],
        default="png",
        help="picture format; the full DFDC takes over a terabyte in png (default: %(default)s)",
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    layout = DataRoot(seen_by_all(args.root_dir, args), args.crops_dir)
    crop = partial(crop_video, layout=layout, suffix=f".{args.format}")
    return run_work(stage_work(CROPS, layout, crop, {"format": args.format, "margin": MARGIN}), args)


def crop_video(video: VideoRecord, layout: DataRoot, suffix: str) -> None:
    """Writes all crops of one video.

    Raises:
        ValueError: no boxes, an unreadable video, or a fake whose frames are not of its original's size.
    """
    boxes_file = layout.boxes_file(video.identity)
    if not boxes_file.exists():
        raise ValueError(f"{boxes_file}: no boxes of {video.identity}; run detect_original_faces.py first")
    boxes = read_boxes(boxes_file)
    with atomic.atomic_folder(layout.crops / video.video_id) as folder:
        for frame in iter_frames(video.path, [i for i, faces in boxes.frames.items() if faces], threads=1):
            _check_size(video, frame.image.shape[:2], boxes)
            for i, face in enumerate(boxes.frames[frame.index]):
                crop = crop_face(frame.image, face.box)
                if crop.size:
                    write_image(folder / crop_name(frame.index, i, suffix), crop)


def _check_size(video: VideoRecord, size: tuple[int, ...], boxes: BoxFile) -> None:
    if boxes.size is not None and size != boxes.size:
        raise VideoError(
            f"{video.path}: frames of {size[1]}x{size[0]} pixels, but the boxes of {video.identity} are for "
            f"{boxes.size[1]}x{boxes.size[0]}"
        )


if __name__ == "__main__":
    run_main(main)
