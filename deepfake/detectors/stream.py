"""Detection on one accelerator for many videos: threads decode, one caller detects, batches span videos."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Generic, TypeVar

from deepfake.boxes import Face
from deepfake.detectors.base import FaceDetector
from deepfake.video import Frame

Item = TypeVar("Item")

BATCH_FRAMES = 32
CHUNK_FRAMES = 8
"""Frames of one video handed over at a time; memory is bounded by this, the threads and the batch."""


@dataclass
class Detections(Generic[Item]):
    """What was found in one video: frame index -> faces, the frames' (height, width), the error that ended it."""

    item: Item
    frames: dict[int, list[Face]] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    error: Exception | None = None


@dataclass
class _Chunk(Generic[Item]):
    found: Detections[Item]
    frames: list[Frame]
    last: bool


def detect_videos(
    items: Sequence[Item],
    frames_of: Callable[[Item], Iterator[Frame]],
    detector: FaceDetector,
    threads: int,
    batch_frames: int = BATCH_FRAMES,
) -> Iterator[Detections[Item]]:
    """Yields each item's detections once complete, in the order of completion.

    Args:
        frames_of: opens a video; called and iterated in the decoding threads.
        threads: videos decoded at a time.
        batch_frames: frames a call of the detector, of however many videos.
    """
    todo: Queue[Item] = Queue()
    for item in items:
        todo.put(item)
    chunks: Queue[_Chunk[Item]] = Queue(maxsize=2 * threads)
    stopped = threading.Event()
    for _ in range(min(threads, len(items))):
        threading.Thread(target=_decode, args=(todo, frames_of, chunks, stopped), daemon=True).start()
    try:
        remaining = len(items)
        while remaining:
            for found in _detect(_gather(chunks, batch_frames), detector):
                remaining -= 1
                yield found
    finally:
        stopped.set()
        while not chunks.empty():
            chunks.get_nowait()


def _decode(todo: Queue, frames_of: Callable, chunks: Queue, stopped: threading.Event) -> None:
    while not stopped.is_set():
        try:
            found = Detections(todo.get_nowait())
        except Empty:
            return
        frames: list[Frame] = []
        try:
            for frame in frames_of(found.item):
                if stopped.is_set():
                    return
                frames.append(frame)
                if len(frames) == CHUNK_FRAMES:
                    chunks.put(_Chunk(found, frames, last=False))
                    frames = []
        except Exception as error:  # handed on to the caller, who knows what a failed video means
            found.error = error
        chunks.put(_Chunk(found, frames, last=True))


def _gather(chunks: Queue[_Chunk], batch_frames: int) -> list[_Chunk]:
    """Waits for one chunk, then takes what is there, up to a batch."""
    batch = [chunks.get()]
    while sum(len(chunk.frames) for chunk in batch) < batch_frames:
        try:
            batch.append(chunks.get_nowait())
        except Empty:
            break
    return batch


def _detect(batch: list[_Chunk[Item]], detector: FaceDetector) -> Iterator[Detections[Item]]:
    """Detects in a batch; yields the videos that it completes."""
    frames = [(chunk.found, frame) for chunk in batch for frame in chunk.frames]
    for (found, frame), faces in zip(frames, detector.detect([frame.image for _, frame in frames])):
        found.frames[frame.index] = faces
        found.size = frame.image.shape[0], frame.image.shape[1]
    yield from (chunk.found for chunk in batch if chunk.last)
