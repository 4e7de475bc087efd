"""Which pair of an original and its fake, and which frame of it, a sheet shows."""

from __future__ import annotations

import random
from dataclasses import dataclass
from difflib import get_close_matches

from deepfake.datasets.data_root import DataRoot, list_crops, parse_crop_name
from deepfake.datasets.records import Dataset, VideoRecord
from deepfake.faces.boxes import BoxFile, read_boxes

MOST_FAKES = 3
"""Of an original that many fakes are shown, the first by id."""

_SHOWN_FRAMES = 5


class NoFaceError(ValueError):
    """The frame that is asked for, or the whole video, has no face; the message names frames that have."""


@dataclass(frozen=True)
class Pair:
    """An original and a fake of it. One is None: an original without fakes, a fake whose original is missing."""

    original: VideoRecord | None
    fake: VideoRecord | None

    @property
    def name(self) -> str:
        """The fake's id, or that of the lone original."""
        record = self.fake or self.original
        assert record is not None
        return record.video_id

    @property
    def identity(self) -> str:
        """The original's id, whose boxes are the fake's too."""
        record = self.fake or self.original
        assert record is not None
        return record.identity

    @property
    def records(self) -> list[VideoRecord]:
        return [record for record in (self.original, self.fake) if record is not None]


def pairs_of(dataset: Dataset, video_id: str) -> list[Pair]:
    """The pair of a fake, or the first fakes' pairs of an original, by id.

    Raises:
        ValueError: the data set has no such video.
    """
    record = dataset.videos.get(video_id)
    if record is None:
        raise ValueError(unknown_id(dataset, video_id))
    if record.label == 1:
        original = dataset.videos.get(record.identity)
        return [Pair(original if original is not None and original.label == 0 else None, record)]
    fakes = sorted(fake.video_id for original, fake in dataset.pairs if original is record)
    return [Pair(record, dataset.videos[fake]) for fake in fakes[:MOST_FAKES]] or [Pair(record, None)]


def unknown_id(dataset: Dataset, video_id: str) -> str:
    """What to tell about an id that the data set does not have."""
    close = get_close_matches(video_id, dataset.videos, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else f"it has {len(dataset.videos)} others"
    return f"video {video_id!r} is not in the data set's metadata; {hint}"


def draw_pairs(dataset: Dataset, count: int, seed: int) -> list[Pair]:
    """`count` pairs at random, all of them if there are fewer; they follow from the data set and the seed alone.

    In a data set without pairs the videos that faces are looked for in stand alone.
    """
    pairs = [Pair(*pair) for pair in dataset.pairs]
    lone = [Pair(video, None) if video.label == 0 else Pair(None, video) for video in dataset.sources]
    ordered = sorted(pairs or lone, key=lambda pair: pair.name)
    return random.Random(seed).sample(ordered, min(count, len(ordered)))


def read_pair_boxes(layout: DataRoot, pair: Pair) -> BoxFile | str:
    """The pair's boxes, or why there are none."""
    file = layout.boxes_file(pair.identity)
    if not file.exists() and pair.original is None and pair.identity != pair.name:
        return f"no boxes: its original {pair.identity} is not a real video of the data set"
    if not file.exists():
        return f"no boxes of {pair.identity}: run detect_original_faces.py"
    try:
        return read_boxes(file)
    except ValueError as error:
        return str(error)


def choose_frame(layout: DataRoot, pair: Pair, boxes: BoxFile | str, frame: int | None, seed: int | None = None) -> int:
    """The frame to show: the one that is asked for, else the first with a face, with a seed a random one of those.

    Without boxes, frames with crops stand for those with a face; without either, any frame may be asked for.

    Raises:
        NoFaceError: there is no face in it.
    """
    frames = frames_with_faces(layout, pair, boxes)
    if frame is not None:
        if frame not in frames and isinstance(boxes, BoxFile):
            raise NoFaceError(_no_face(pair, boxes, frame, frames))
        return frame
    if not frames and isinstance(boxes, BoxFile):
        raise NoFaceError(f"{pair.identity}: no face was found in any of its {len(boxes.frames)} frames with boxes")
    if seed is not None and frames:
        return random.Random(f"{seed} {pair.name}").choice(frames)
    return frames[0] if frames else 0


def frames_with_faces(layout: DataRoot, pair: Pair, boxes: BoxFile | str) -> list[int]:
    """In ascending order, from the boxes, or from the names of the crops if there are no boxes."""
    if isinstance(boxes, BoxFile):
        return sorted(index for index, faces in boxes.frames.items() if faces)
    folders = [layout.crops / record.video_id for record in pair.records]
    names = [parse_crop_name(path.name) for folder in folders if folder.is_dir() for path in list_crops(folder)]
    return sorted({name[0] for name in names if name is not None})


def _no_face(pair: Pair, boxes: BoxFile, frame: int, frames: list[int]) -> str:
    why = "no face was found in it" if frame in boxes.frames else "the detector did not look at it"
    nearest = sorted(sorted(frames, key=lambda other: abs(other - frame))[:_SHOWN_FRAMES])
    have = f"nearest frames with a face: {', '.join(map(str, nearest))}" if nearest else "no frame has a face"
    return f"{pair.identity}: frame {frame}: {why}; {have}"
