"""The faces of many videos, found ahead of their scoring: processes decode and, without CUDA, detect."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

from tqdm import tqdm

from deepfake.faces.detectors.base import WEIGHTS
from deepfake.faces.detectors.stream import CHUNK_FRAMES
from deepfake.media.video import LIMITS, Frame, ReadLimits, chosen_frames, chunked
from deepfake.parallel.pool import IsCancelled, stream
from deepfake.prediction.bounded_memory import bounded_memory
from deepfake.prediction.face_collector import FaceCollection, FaceCollector, FaceView, VideoFaces
from deepfake.synthesis.perturbations.perturbation import Perturbation

PREFETCHED_VIDEOS = 2
"""On CUDA: videos with their faces found that wait to be scored."""


@dataclass(frozen=True)
class _Doubts:
    """What is in doubt about a video's file; comes after its frames."""

    sentences: list[str]


class FaceFinder:
    """Finds the faces of many videos; those found before their videos are scored wait for that.

    Attributes:
        device: where faces are detected if it is CUDA; otherwise that is done on the CPU.
        collector: finds the faces of one video.
    """

    def __init__(
        self,
        views: Sequence[FaceView],
        device: str = "cpu",
        weights_dir: Path = WEIGHTS,
        workers: int = 1,
        limits: ReadLimits = LIMITS,
    ) -> None:
        """
        Args:
            views: the faces that the networks are given.
            weights_dir: the folder of the detectors' weights, if they need any.
            workers: processes that decode and, without CUDA, detect.
            limits: what reading one video may take; one over a limit is unreadable.

        Raises:
            ValueError: see `DetectorSettings.build`.
        """
        self.device = device
        self.collector = FaceCollector(views, device, weights_dir, limits)
        self._workers = workers
        self._kept: dict[Path, VideoFaces | Exception] = {}

    def perturbed(self, perturbation: Perturbation) -> FaceFinder:
        """Return a finder that sees videos as a perturbation leaves them; both share their detectors."""
        other = copy.copy(self)
        other.collector = self.collector.perturbed(perturbation)
        other._kept = {}
        return other

    def keep(self, videos: Sequence[Path]) -> list[VideoFaces]:
        """Find faces, keep them until `stream` yields them, and return those of videos that can be read, in order."""
        stream = stream_faces(videos, self.collector, self.device, self._workers)
        with contextlib.closing(stream), tqdm(desc="finding faces", total=len(videos), leave=False) as bar:
            for path, outcome in stream:
                self._kept[path] = outcome
                bar.update()
        return [found for path in videos if isinstance(found := self._kept.get(path), VideoFaces)]

    def stream(
        self, videos: Sequence[Path], is_cancelled: IsCancelled | None = None
    ) -> Generator[tuple[Path, VideoFaces | Exception], None, None]:
        """Yield each video once, with its faces or with the error that kept them away; those that are kept first.

        Raises:
            Cancelled: see `deepfake.parallel.pool.stream`.
        """
        once = list(dict.fromkeys(videos))
        kept = [path for path in once if path in self._kept]
        further = [path for path in once if path not in self._kept]
        for path in kept:
            yield path, self._kept.pop(path)
        yield from stream_faces(further, self.collector, self.device, self._workers, is_cancelled)


def stream_faces(
    videos: Sequence[Path],
    collector: FaceCollector,
    device: str,
    workers: int,
    is_cancelled: IsCancelled | None = None,
) -> Generator[tuple[Path, VideoFaces | Exception], None, None]:
    """Yield each video with its faces, or with the error that kept them away, in the order of completion."""
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
        with bounded_memory(path, collector.limits), collector.open(path) as video:
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
