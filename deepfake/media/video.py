"""Reading exactly the frames of a video that are wanted, as a player shows them.

A picture file is a video of one frame, an animated one of several. Decoding is sequential: seeking returned wrong
pictures on some H.264 files (4:4:4, open GOP). Frames that nobody wants are not converted to RGB, and left out of
decoding where no other frame needs them.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

from av.video.frame import VideoFrame

from deepfake.media.containers import (
    LIMITS,
    NOT_A_VIDEO,
    ReadLimits,
    VideoError,
    check_deadline,
    check_frames,
    check_pixels,
    container_of,
    demuxer_of,
    open_container,
    read_head,
    shown_stream,
    stream_at,
)
from deepfake.media.decoding import Damage, DecodedFrame, Decoding, StreamSource
from deepfake.media.display import Display, DisplayError
from deepfake.media.frames import (
    MIN_READABLE_SHARE,
    EveryFrames,
    Frame,
    FrameChoice,
    SpreadFrames,
    VideoInfo,
    chunked,
    spread_indices,
)
from deepfake.media.image_files import TooManyPixels, iter_image, probe_image, sniff_image
from deepfake.media.image_headers import is_web_page
from deepfake.media.images import ImageError
from deepfake.media.picture_folder import PictureFolder
from deepfake.media.timeline import read_timeline

__all__ = [
    "LIMITS",
    "EveryFrames",
    "Frame",
    "FrameChoice",
    "ReadLimits",
    "SpreadFrames",
    "Video",
    "VideoError",
    "VideoInfo",
    "chunked",
    "spread_indices",
]

_RATE_TOLERANCE = 0.01

Neighbors = tuple[VideoFrame | None, VideoFrame | None]
"""The frames before and behind one."""


class Video(Protocol):
    """A video that is open for reading, in one pass at a time."""

    frames: int
    """How many it shows."""

    @property
    def doubts(self) -> list[str]:
        """What is missing or in doubt, in plain words, as far as it has been read; empty if nothing is."""

    def info(self) -> VideoInfo:
        """Return what it shows, from one decoded frame."""

    def length(self) -> float:
        """Return the seconds from its first frame to its end, without decoding; 0 for a picture."""

    def times(self) -> list[float]:
        """Return when each frame is shown, in seconds from the file's start."""

    def exactly(self, indices: Collection[int]) -> Iterator[Frame]:
        """Yield the frames of these indices in ascending order; those that are lost or not there are left out."""

    def nearest(self, indices: Collection[int], thorough: bool = False) -> Iterator[tuple[Frame, frozenset[int]]]:
        """Yield frames in ascending order with the wanted indices that each stands for, which count from 0.

        In place of a lost frame comes the next one that can be decoded, in place of lost ones at the end the last one.

        Args:
            thorough: decode what is not wanted, too, so that `doubts` counts all damage.

        Raises:
            VideoError: after the last, if less than MIN_READABLE_SHARE of the frames could be decoded.
        """


def open_video(path: Path, threads: int = 1, limits: ReadLimits = LIMITS) -> Video:
    """Open a video or picture by its content, whatever its name, or a folder of pictures, which are its frames.

    Args:
        threads: of the decoder, 0 for its own choice. More than one make other pictures of damaged data, and fewer.

    Raises:
        VideoError: missing, empty, no video or picture, no decoder for it, or over a limit.
    """
    path = Path(path)
    if path.is_dir():
        return PictureFolder(path, limits)
    head = read_head(path)
    if sniff_image(head) is not None:
        return _Picture(path, limits)
    demuxer = demuxer_of(head)
    if is_web_page(head):
        raise VideoError(f"{path}: a web page, not a video or picture; download the file again")
    if demuxer is None:
        raise VideoError(f"{path}: {NOT_A_VIDEO}")
    return _Film(path, demuxer, threads, limits)


def begins_as_video(path: Path) -> bool:
    """Return whether a file begins as a video that the decoder is given, whatever its name.

    Raises:
        VideoError: missing or empty.
    """
    return container_of(path) is not None


def probe(path: Path, limits: ReadLimits = LIMITS) -> VideoInfo:
    """Return what a video shows: its packets are counted and its first frame decoded.

    Raises:
        VideoError: see `open_video`.
    """
    return open_video(path, 1, limits).info()


def length_of(path: Path, limits: ReadLimits = LIMITS) -> float:
    """Return a video's length in seconds without decoding it; 0 for a picture.

    Raises:
        VideoError: see `open_video`.
    """
    return open_video(path, 1, limits).length()


def frame_times(path: Path, limits: ReadLimits = LIMITS) -> list[float]:
    """Return when each frame of a video is shown, in seconds from the file's start; of a picture [0].

    Raises:
        VideoError: see `open_video`.
    """
    return open_video(path, 1, limits).times()


def count_frames(path: Path, threads: int = 1) -> int:
    """Return the number of frames that decode, by decoding all of them."""
    video = open_video(path, threads)
    if isinstance(video, _Film):
        return sum(1 for _ in video.decoded())
    return video.frames


def iter_every(path: Path, every: int, threads: int = 1, limits: ReadLimits = LIMITS) -> Iterator[Frame]:
    """Yield frames 0, every, 2 * every, ... to the video's end; in place of a lost one the next.

    Raises:
        VideoError: unreadable, not one frame in it, or (after the last) too damaged.
    """
    if every < 1:
        raise ValueError(f"every={every}: expected 1 or more")
    video = open_video(path, threads, limits)
    for frame, _ in video.nearest(range(0, video.frames, every)):
        yield frame


def iter_frames(path: Path, indices: Iterable[int], threads: int = 1, limits: ReadLimits = LIMITS) -> Iterator[Frame]:
    """Yield the frames of the given indices in ascending order, as many of them as the video has.

    Raises:
        VideoError: unreadable, or not one frame in it.
    """
    yield from open_video(path, threads, limits).exactly(set(indices))


def iter_spread(path: Path, count: int, threads: int = 1, limits: ReadLimits = LIMITS) -> Iterator[Frame]:
    """Yield at most `count` frames spread evenly over the video; see `iter_chosen`."""
    return iter_chosen(path, [SpreadFrames(count)], threads, limits)


def iter_chosen(
    path: Path, choices: Iterable[FrameChoice], threads: int = 1, limits: ReadLimits = LIMITS
) -> Iterator[Frame]:
    """Yield the frames that one choice or more wants, each once, in ascending order.

    Raises:
        VideoError: unreadable, not one frame in it, or (after the last) too damaged.
    """
    return chosen_frames(open_video(path, threads, limits), choices)


def chosen_frames(video: Video, choices: Iterable[FrameChoice]) -> Iterator[Frame]:
    """Yield the frames of an open video that one choice or more wants; see `iter_chosen`."""
    wanted: dict[int, set[FrameChoice]] = {}
    for choice in choices:
        for index in choice.indices(video.frames):
            wanted.setdefault(index, set()).add(choice)
    for frame, indices in video.nearest(wanted, thorough=True):
        chosen_by = frozenset(choice for index in indices for choice in wanted[index])
        yield Frame(frame.index, frame.image, chosen_by, frame.seconds)


class _Picture:
    """A picture file as a video: of one frame, or of an animation's."""

    def __init__(self, path: Path, limits: ReadLimits) -> None:
        self._path, self._limits = path, limits
        self._damage: list[str] = []
        try:
            self._info = probe_image(path, limits.pixels)
        except TooManyPixels as error:
            raise VideoError(f"{error}{limits.cure('pixels')}") from error
        except ImageError as error:
            raise VideoError(str(error)) from error
        self.frames = self._info.frames
        check_frames(path, self.frames, limits)

    @property
    def doubts(self) -> list[str]:
        return list(self._damage)

    def info(self) -> VideoInfo:
        seconds = self.length()
        fps = self.frames / seconds if seconds > 0 else 0.0
        return VideoInfo(self.frames, self._info.width, self._info.height, fps, seconds)

    def length(self) -> float:
        return self._info.seconds

    def times(self) -> list[float]:
        if self.frames == 1:
            return [0.0]
        return [frame.seconds for frame in self.exactly(range(self.frames))]

    def exactly(self, indices: Collection[int]) -> Iterator[Frame]:
        for frame, _ in self.nearest(indices):
            yield frame

    def nearest(self, indices: Collection[int], thorough: bool = False) -> Iterator[tuple[Frame, frozenset[int]]]:
        deadline = time.monotonic() + self._limits.seconds
        images = iter_image(self._path, self._limits.pixels, self._damage)
        try:
            for index, (seconds, image) in enumerate(islice(images, max(indices, default=-1) + 1)):
                check_deadline(self._path, deadline, self._limits)
                if index in indices:
                    yield Frame(index, image, seconds=seconds), frozenset({index})
        except ImageError as error:
            raise VideoError(str(error)) from error


class _Film:
    """A video file in a container."""

    def __init__(self, path: Path, demuxer: str, threads: int, limits: ReadLimits) -> None:
        self._path = path
        with open_container(path, demuxer, limits) as container:
            chosen = shown_stream(container, path)
            stream = stream_at(container, chosen.index)
            self._rate = float(stream.average_rate or 0)
            self._display = Display(stream.sample_aspect_ratio, limits)
            check_pixels(path, stream.width, stream.height, limits)
            timeline = read_timeline(path, container, chosen.index, limits)
        self._source = StreamSource(path, demuxer, chosen.index, timeline, threads, limits)
        self._doubts = [*chosen.doubts, *timeline.doubts]
        self._damage = Damage()
        self._judges_faulty = False
        self.frames = timeline.frames
        if self.frames == 0:
            raise VideoError(f"{path}: the video has no frame that can be decoded")

    @property
    def doubts(self) -> list[str]:
        damage = self._damage.describe(self.frames, self._judges_faulty)
        return [*self._doubts, *([damage] if damage else []), *self._display.doubts]

    def length(self) -> float:
        return self._source.timeline.duration

    def times(self) -> list[float]:
        return self._source.timeline.seconds

    def info(self) -> VideoInfo:
        first, _ = next(self.nearest([0]))
        height, width = first.image.shape[:2]
        return VideoInfo(self.frames, width, height, self._fps(), self.length())

    def exactly(self, indices: Collection[int]) -> Iterator[Frame]:
        wanted = frozenset(indices)
        last = max(wanted, default=-1)
        for decoded, neighbors in self._shown(wanted, thorough=False):
            if decoded.rank in wanted:
                yield self._frame(decoded, neighbors)
            if decoded.rank >= last:
                break
        if wanted:
            self._check_any()

    def nearest(self, indices: Collection[int], thorough: bool = False) -> Iterator[tuple[Frame, frozenset[int]]]:
        due = deque(sorted(set(indices)))
        spare = yield from self._take_due(due, thorough, with_faulty=False)
        if due and self._share(self._damage.intact) < MIN_READABLE_SHARE:
            # Hardly a frame is whole: those are taken that the decoder has patched up, as players show them.
            self._judges_faulty = True
            spare = yield from self._take_due(due, thorough, with_faulty=True)
        if due and spare is not None:
            yield self._frame(*spare), frozenset(due)
        if indices:
            self._check_readable()

    def _take_due(
        self, due: deque[int], thorough: bool, with_faulty: bool
    ) -> Generator[tuple[Frame, frozenset[int]], None, tuple[DecodedFrame, Neighbors] | None]:
        """Yields frames for indices as they come due, and takes those from `due`; returns the last frame if unused."""
        spare: tuple[DecodedFrame, Neighbors] | None = None
        for decoded, neighbors in self._shown(frozenset(due), thorough):
            if not decoded.is_intact and not with_faulty:
                continue
            taken = frozenset(due.popleft() for _ in range(bisect_right(due, decoded.rank)))
            spare = None if taken else (decoded, neighbors)
            if taken:
                yield self._frame(decoded, neighbors), taken
            if not due:
                break
        return spare

    def decoded(self) -> Iterator[DecodedFrame]:
        """Yield all frames that can be decoded, without making pictures of them."""
        return self._decode(range(self.frames), thorough=True)

    def _decode(self, wanted: Collection[int], thorough: bool) -> Iterator[DecodedFrame]:
        decoding = Decoding(self._source, wanted, thorough)
        self._damage = decoding.damage
        return decoding.frames()

    def _shown(self, wanted: Collection[int], thorough: bool) -> Iterator[tuple[DecodedFrame, Neighbors]]:
        """Decoded frames, each with those before and behind it if it is interlaced."""
        decoded = self._decode(wanted, thorough)
        before: DecodedFrame | None = None
        ahead = next(decoded, None)
        while ahead is not None:
            current = ahead
            if current.frame.interlaced_frame:
                ahead = next(decoded, None)
                yield current, (_intact(before), _intact(ahead))
            else:
                yield current, (None, None)
                ahead = next(decoded, None)
            before = current

    def _frame(self, decoded: DecodedFrame, neighbors: Neighbors) -> Frame:
        try:
            image = self._display.picture(decoded.frame, *neighbors)
        except DisplayError as error:
            raise VideoError(f"{self._path}: frame {decoded.rank}: {error}") from error
        return Frame(decoded.rank, image, seconds=self._source.timeline.seconds[decoded.rank])

    def _fps(self) -> float:
        """The stream's own rate where that fits what was counted, else the average."""
        seconds = self._source.timeline.seconds
        counted = (len(seconds) - 1) / (seconds[-1] - seconds[0]) if seconds[-1] > seconds[0] else 0.0
        if not counted or abs(self._rate - counted) < _RATE_TOLERANCE * counted:
            return self._rate or counted
        return counted

    def _check_any(self) -> None:
        if not self._damage.decoded:
            why, limits = "", self._source.limits
            if self._damage.errors:  # FFmpeg refuses both with the same words
                over = f"over the limit of {limits.pixels} pixels a frame{limits.cure('pixels')}"
                why = f": {self._damage.errors[0]} (damaged, or {over})"
            raise VideoError(f"{self._path}: the video has no frame that can be decoded{why}")

    def _share(self, frames: int) -> float:
        tried = len(self._damage.decoded) + self._damage.lost
        return frames / tried if tried else 0.0

    def _check_readable(self) -> None:
        self._check_any()
        decoded = len(self._damage.decoded)
        if self._share(decoded) < MIN_READABLE_SHARE:
            tried = decoded + self._damage.lost
            raise VideoError(f"{self._path}: damaged: only {decoded} of {tried} frames could be read")


def _intact(decoded: DecodedFrame | None) -> VideoFrame | None:
    return decoded.frame if decoded is not None and decoded.is_intact else None
