"""Detection on one accelerator for many videos: processes decode, one caller detects, batches span videos.

A forked process cannot use CUDA, and a thread does not outlive a decoder's crash: hence processes that only decode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from deepfake.faces.boxes import Face
from deepfake.faces.detectors.base import FaceDetector
from deepfake.media.video import Frame, chunked
from deepfake.parallel.pool import stream

Item = TypeVar("Item")

BATCH_FRAMES = 32
CHUNK_FRAMES = 8
"""Frames of one video handed over at a time; memory is bounded by this, the processes and the batch."""


@dataclass
class Detections(Generic[Item]):
    """What was found in one video: frame index -> faces, the frames' (height, width)s, the error that ended it."""

    item: Item
    frames: dict[int, list[Face]] = field(default_factory=dict)
    sizes: set[tuple[int, int]] = field(default_factory=set)
    error: Exception | None = None


def detect_videos(
    items: Sequence[Item],
    frames_of: Callable[[Item], Iterable[Frame]],
    detector: FaceDetector,
    workers: int,
    batch_frames: int = BATCH_FRAMES,
) -> Iterator[Detections[Item]]:
    """Yields each item's detections once complete, in the order of completion.

    Args:
        items: picklable and hashable, each once.
        frames_of: opens a video; see `pool.stream`.
        workers: processes that decode.
        batch_frames: frames a call of the detector, of however many videos; the last chunk may go over it.
    """

    def chunks(item: Item) -> Iterator[list[Frame]]:
        return chunked(frames_of(item), CHUNK_FRAMES)

    found = {item: Detections(item) for item in items}
    waiting: list[tuple[Detections[Item], Frame]] = []
    ended: list[Detections[Item]] = []
    for part in stream(items, chunks, workers):
        if part.last:
            found[part.item].error = part.error
            ended.append(found.pop(part.item))
        else:
            waiting += [(found[part.item], frame) for frame in part.value]
        # A video that has ended may have frames in the batch that is growing.
        if len(waiting) >= batch_frames or (ended and not found):
            _detect(waiting, detector)
            yield from ended
            waiting, ended = [], []


def _detect(waiting: Sequence[tuple[Detections, Frame]], detector: FaceDetector) -> None:
    for (found, frame), faces in zip(waiting, detector.detect([frame.image for _, frame in waiting])):
        found.frames[frame.index] = faces
        found.sizes.add((frame.image.shape[0], frame.image.shape[1]))
