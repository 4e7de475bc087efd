"""Which frames of a video are looked at, and what a frame is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

FRAMES_AT_ONCE = 4
"""Frames of one video held at a time: memory does not grow with a video's length (EXPERIMENTS.md on the number)."""

_FULL_HD_BYTES = 3 * 2**21

MIN_READABLE_SHARE = 0.1
"""A video of which a smaller share of the frames can be decoded is unreadable: too little to judge it by."""


@dataclass(frozen=True)
class SpreadFrames:
    """`count` frames spread evenly from the first to the last (first place's prediction)."""

    count: int

    def indices(self, frames: int) -> list[int]:
        """Return the indices to look at in a video of `frames` frames."""
        return spread_indices(frames, self.count)


@dataclass(frozen=True)
class EveryFrames:
    """Each `step`-th frame, after `step - 1` that are skipped (second place's prediction).

    Of a video with fewer frames the last one: the published code looks at none and gives no score.
    """

    step: int

    def indices(self, frames: int) -> list[int]:
        """Return the indices to look at in a video of `frames` frames."""
        return list(range(min(self.step, frames) - 1, frames, self.step)) if frames > 0 else []


@dataclass(frozen=True)
class FirstFrames:
    """The first `first` frames (DeepfakeBench's evaluation, of frames that were chosen before)."""

    first: int

    def indices(self, frames: int) -> list[int]:
        """Return the indices to look at in a video of `frames` frames."""
        return list(range(min(self.first, frames)))


FrameChoice = SpreadFrames | EveryFrames | FirstFrames


@dataclass(frozen=True)
class Frame:
    """One frame as a player shows it.

    Attributes:
        index: its place among the frames that the video shows, from 0; of a picture in a folder the number in its
            name (see `PictureFolder`).
        image: (H, W, 3) uint8 RGB, upright, with square pixels.
        chosen_by: where several choices read a video together, which of them want it.
        seconds: when it is shown, counted from the file's start.
    """

    index: int
    image: np.ndarray
    chosen_by: frozenset[FrameChoice] = frozenset()
    seconds: float = 0.0


@dataclass(frozen=True)
class VideoInfo:
    """What a video shows.

    Attributes:
        frames: how many.
        width, height: of the first one, upright and with square pixels.
        fps: frames a second, on average where the rate varies; 0 for a picture.
        duration: from the first frame's time to the end of the last one's, in seconds; 0 for a picture.
    """

    frames: int
    width: int
    height: int
    fps: float
    duration: float = 0.0


def spread_indices(frames: int, count: int) -> list[int]:
    """Return at most `count` indices spread evenly over the first to the last (first place's prediction)."""
    if frames <= 0 or count <= 0:
        return []
    return sorted({int(i) for i in np.linspace(0, frames - 1, count)})


def chunked(frames: Iterable[Frame], size: int = FRAMES_AT_ONCE) -> Iterator[list[Frame]]:
    """Yield frames `size` at a time; of frames larger than full HD fewer, which take no more memory, or one."""
    most_bytes = size * _FULL_HD_BYTES
    chunk: list[Frame] = []
    for frame in frames:
        chunk.append(frame)
        if len(chunk) == size or sum(held.image.nbytes for held in chunk) + frame.image.nbytes > most_bytes:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
