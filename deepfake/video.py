"""Which frames of a video, and reading exactly those frames.

A picture file is a video of its frames: one, unless it is animated. Decoding is sequential: seeking returned wrong
pictures on some H.264 files (4:4:4, open GOP). Frames that nobody wants are decoded but never converted to RGB.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from deepfake.image_files import image_format, iter_image, probe_image
from deepfake.images import ImageError

# A decoder that may guess the format follows playlists (HLS, concat, DASH) to other files and to the network,
# whatever the file's suffix: only containers that hold their own frames are handed to it.
_INDEXED_CONTAINER = re.compile(
    rb".{4}(ftyp|styp|moov|moof|mdat|free|skip|wide|pnot|uuid|sidx)"  # MP4, QuickTime
    rb"|RIFF.{4}AVI ",
    re.DOTALL,
)
_STREAM_CONTAINER = re.compile(
    rb"\x1aE\xdf\xa3"  # Matroska, WebM
    rb"|\x00\x00\x01[\xba\xb3]|G.{187}G|FLV\x01|\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # MPEG-PS, -TS, Flash, ASF
    re.DOTALL,
)
_CONTAINER_BYTES = 189

FRAMES_AT_ONCE = 4
"""Frames of one video held at a time: memory does not grow with a video's length (EXPERIMENTS.md on the number)."""


class VideoError(ValueError):
    """A video cannot be read; the message names the file and the reason."""


@dataclass(frozen=True)
class VideoInfo:
    """What a container says of its video stream.

    `frames` is the count in the header, which may be wrong; 0 if the container holds none (all but MP4, MOV and AVI).
    `fps` is 0 for a picture.
    """

    frames: int
    width: int
    height: int
    fps: float


@dataclass(frozen=True)
class SpreadFrames:
    """`count` frames spread evenly from the first to the last (first place's prediction)."""

    count: int

    def indices(self, frames: int) -> list[int]:
        """Which of a video's `frames` frames."""
        return spread_indices(frames, self.count)


@dataclass(frozen=True)
class EveryFrames:
    """Each `step`-th frame, after `step - 1` that are skipped (second place's prediction).

    Of a video with fewer frames the last one: the published code looks at none and gives no score.
    """

    step: int

    def indices(self, frames: int) -> list[int]:
        """Which of a video's `frames` frames."""
        return list(range(min(self.step, frames) - 1, frames, self.step)) if frames > 0 else []


FrameChoice = SpreadFrames | EveryFrames


@dataclass(frozen=True)
class Frame:
    """One decoded frame: its index in the video and its (H, W, 3) uint8 RGB picture, upright.

    `chosen_by` tells, where several choices read a video together, which of them want it.
    """

    index: int
    image: np.ndarray
    chosen_by: frozenset[FrameChoice] = frozenset()


def spread_indices(frames: int, count: int) -> list[int]:
    """Indices of at most `count` frames spread evenly over the first to the last (first place's prediction)."""
    if frames <= 0 or count <= 0:
        return []
    return sorted({int(i) for i in np.linspace(0, frames - 1, count)})


def begins_as_video(path: Path) -> bool:
    """Whether a file begins as a video that the decoder is given, whatever its name.

    Raises:
        VideoError: missing or empty.
    """
    return _container(path) is not None


def probe(path: Path) -> VideoInfo:
    """Reads a video's header.

    Raises:
        VideoError: missing, empty or not a video.
    """
    with _open(path) as capture:
        return capture.info()


def count_frames(path: Path, threads: int = 0) -> int:
    """The number of frames by decoding all of them."""
    with _open(path, threads) as capture:
        count = 0
        while capture.grab():
            count += 1
        return count


def iter_every(path: Path, every: int, threads: int = 0) -> Iterator[Frame]:
    """Frames 0, every, 2 * every, ... to the video's end, one at a time.

    Args:
        threads: decoder threads, 0 for the decoder's choice.

    Raises:
        VideoError: unreadable, or not one frame in it.
    """
    if every < 1:
        raise ValueError(f"every={every}: expected 1 or more")
    with _open(path, threads) as capture:
        index = 0
        while capture.grab():
            if index % every == 0:
                yield capture.frame(index)
            index += 1
        if index == 0:
            raise VideoError(f"{path}: the video has no frame that can be decoded")


def iter_frames(path: Path, indices: Iterable[int], threads: int = 0) -> Iterator[Frame]:
    """The frames of the given indices in ascending order, as many of them as the video has.

    Raises:
        VideoError: unreadable, or not one frame in it.
    """
    wanted = set(indices)
    last = max(wanted, default=-1)
    with _open(path, threads) as capture:
        for index in range(last + 1):
            if not capture.grab():
                if index == 0:
                    raise VideoError(f"{path}: the video has no frame that can be decoded")
                return
            if index in wanted:
                yield capture.frame(index)


def iter_spread(path: Path, count: int, threads: int = 0) -> Iterator[Frame]:
    """At most `count` frames spread evenly over the video; see `iter_chosen`."""
    return iter_chosen(path, [SpreadFrames(count)], threads)


def iter_chosen(path: Path, choices: Iterable[FrameChoice], threads: int = 0) -> Iterator[Frame]:
    """The frames that one choice or more wants, each once, in ascending order.

    A header that gives no frame count (mkv, webm) costs a pass of decoding; one that gives too many costs frames.

    Raises:
        VideoError: unreadable, or not one frame in it.
    """
    frames = probe(path).frames or count_frames(path, threads)
    if frames == 0:
        raise VideoError(f"{path}: the video has no frame that can be decoded")
    wanted: dict[int, set[FrameChoice]] = {}
    for choice in choices:
        for index in choice.indices(frames):
            wanted.setdefault(index, set()).add(choice)
    for frame in iter_frames(path, wanted, threads):
        yield replace(frame, chosen_by=frozenset(wanted[frame.index]))


def chunked(frames: Iterable[Frame], size: int = FRAMES_AT_ONCE) -> Iterator[list[Frame]]:
    """Frames `size` at a time."""
    frames = iter(frames)
    while chunk := list(islice(frames, size)):
        yield chunk


def _open(path: Path, threads: int = 0) -> _Capture | _Still:
    try:
        return _Still(Path(path)) if image_format(Path(path)) else _Capture(path, threads)
    except ImageError as error:
        raise VideoError(str(error)) from error


def _container(path: Path) -> re.Pattern[bytes] | None:
    """Which of the patterns above a file begins with."""
    if not path.is_file():
        raise VideoError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            head = file.read(_CONTAINER_BYTES)
    except OSError as error:
        raise VideoError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise VideoError(f"{path}: the file is empty")
    return next((kind for kind in (_INDEXED_CONTAINER, _STREAM_CONTAINER) if kind.match(head)), None)


class _Still:
    """A picture file as a video of its frames; a still has one."""

    def __init__(self, path: Path) -> None:
        self._info = probe_image(path)
        self._frames = iter_image(path, damage=[])
        self._image = np.empty(0, np.uint8)

    def __enter__(self) -> _Still:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def info(self) -> VideoInfo:
        info = self._info
        fps = info.frames / info.seconds if info.seconds else 0.0
        return VideoInfo(frames=info.frames, width=info.width, height=info.height, fps=fps)

    def grab(self) -> bool:
        try:
            shown = next(self._frames, None)
        except ImageError as error:
            raise VideoError(str(error)) from error
        if shown is not None:
            self._image = shown[1]
        return shown is not None

    def frame(self, index: int) -> Frame:
        return Frame(index, self._image)


class _Capture:
    """An open video file; closed on exit."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        path = Path(path)
        self._path = path
        container = _container(path)
        if container is None:
            raise VideoError(f"{path}: not a video file (MP4, MOV, AVI, MKV, WebM, MPEG, FLV or WMV)")
        self._has_count = container is _INDEXED_CONTAINER
        # An absolute path is never taken for a URL or a device by the decoder.
        name = str(path.resolve())
        options = [cv2.CAP_PROP_N_THREADS, threads] if threads else []
        self._capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, options)
        if not self._capture.isOpened():
            raise VideoError(f"{path}: no video stream that can be decoded (damaged, or not a video)")

    def __enter__(self) -> _Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    def info(self) -> VideoInfo:
        get = self._capture.get
        return VideoInfo(
            # Without a count the decoder multiplies duration by rate: far off where the rate varies.
            frames=max(int(get(cv2.CAP_PROP_FRAME_COUNT)), 0) if self._has_count else 0,
            width=int(get(cv2.CAP_PROP_FRAME_WIDTH)),
            height=int(get(cv2.CAP_PROP_FRAME_HEIGHT)),
            fps=float(get(cv2.CAP_PROP_FPS)),
        )

    def grab(self) -> bool:
        return self._capture.grab()

    def frame(self, index: int) -> Frame:
        """The grabbed frame."""
        done, image = self._capture.retrieve()
        if not done or image is None:
            raise VideoError(f"{self._path}: frame {index} cannot be converted to a picture")
        return Frame(index, cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image))
