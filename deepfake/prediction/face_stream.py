"""The faces of many videos, found ahead of their scoring: processes decode and, without CUDA, detect."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

from deepfake.faces.detectors.stream import CHUNK_FRAMES
from deepfake.media.video import Frame, chosen_frames, chunked, open_video
from deepfake.parallel.pool import IsCancelled, stream
from deepfake.prediction.bounded_memory import bounded_memory
from deepfake.prediction.face_collector import FaceCollection, FaceCollector, VideoFaces

PREFETCHED_VIDEOS = 2
"""On CUDA: videos with their faces found that wait to be scored."""


@dataclass(frozen=True)
class _Doubts:
    """What is in doubt about a video's file; comes after its frames."""

    sentences: list[str]


def stream_faces(
    videos: Sequence[Path],
    collector: FaceCollector,
    device: str,
    workers: int,
    is_cancelled: IsCancelled | None = None,
) -> Generator[tuple[Path, VideoFaces | Exception], None, None]:
    """Each video with its faces, or with the error that kept them away."""
    if device == "cpu":

        def find(path: Path) -> Iterator[VideoFaces]:
            with bounded_memory(path, collector.limits):
                faces = collector.find(path)
            yield faces

        for part in stream(videos, find, workers, is_cancelled):
            if part.error is not None:
                yield part.item, part.error
            elif not part.last:
                yield part.item, part.value
    else:
        yield from _ahead(partial(_faces_on_cuda, videos, collector, workers, is_cancelled), PREFETCHED_VIDEOS)


def _faces_on_cuda(
    videos: Sequence[Path], collector: FaceCollector, workers: int, is_cancelled: IsCancelled | None = None
) -> Iterator[tuple[Path, VideoFaces | Exception]]:
    """Processes decode, this one detects: a forked process cannot use CUDA, a thread does not outlive a crash."""

    def read(path: Path) -> Iterator[list[Frame] | _Doubts]:
        with bounded_memory(path, collector.limits):
            video = open_video(path, 1, collector.limits)
            yield from chunked(chosen_frames(video, collector.choices), CHUNK_FRAMES)
            yield _Doubts(video.doubts)

    collections: dict[Path, FaceCollection] = {}
    doubts: dict[Path, list[str]] = {}
    for part in stream(videos, read, workers, is_cancelled):
        if isinstance(part.value, _Doubts):
            doubts[part.item] = part.value.sentences
            continue
        if not part.last:
            collections.setdefault(part.item, collector.begin()).add(part.value)
            continue
        collection = collections.pop(part.item, None)
        if part.error is not None:
            yield part.item, part.error
        else:  # a video too short for any frame that is wanted has none, and no face
            faces = (collection or collector.begin()).finish()
            faces.doubts = doubts.pop(part.item, [])
            yield part.item, faces


def _ahead(make: Callable[[], Iterator[Any]], depth: int) -> Iterator[Any]:
    """What `make()` yields, made in a thread that is at most `depth` ahead."""
    done = object()
    queue: Queue[Any] = Queue(depth)
    stopped = False
    failure: list[BaseException] = []

    def work() -> None:
        source: Iterator[Any] = iter(())
        try:
            source = make()
            for value in source:
                queue.put(value)
                if stopped:
                    break
        except BaseException as error:  # raised again where the values are used
            failure.append(error)
        finally:
            getattr(source, "close", lambda: None)()
            queue.put(done)

    thread = Thread(target=work, daemon=True)
    thread.start()
    value = None
    try:
        while (value := queue.get()) is not done:
            yield value
        if failure:
            raise failure[0]
    finally:
        stopped = True
        while value is not done:
            value = queue.get()
        thread.join()
