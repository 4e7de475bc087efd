"""A folder of pictures, read as a video."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator
from itertools import pairwise
from pathlib import Path

from deepfake.media.containers import ReadLimits, VideoError, check_deadline, check_frames
from deepfake.media.frames import MIN_READABLE_SHARE, Frame, VideoInfo
from deepfake.media.image_files import PICTURE_SUFFIXES, TooManyPixels, read_still
from deepfake.media.images import ImageError

_LARGEST_INDEX = 10**9
"""Larger numbers in names are times or identifiers."""


class PictureFolder:
    """Pictures as the frames of a video, in the order of the numbers in their names. See `Video`.

    A frame's index is the last number in its name: picture 30 of a fake belongs to picture 30 of its original and of
    its mask, whatever is missing. Where a name has none, or the numbers do not ascend, it is the picture's place.
    """

    def __init__(self, path: Path, limits: ReadLimits) -> None:
        self._path, self._limits = path, limits
        self._files = picture_files(path)
        self._indices = _indices(self._files)
        self.frames = len(self._files)
        check_frames(path, self.frames, limits)
        self._notes: list[str] = []
        self._read: set[int] = set()
        self._lost: dict[int, ImageError] = {}

    @property
    def doubts(self) -> list[str]:
        whole = self.frames - len(self._lost)
        return [*self._notes, *([f"damaged: {whole} of {self.frames} frames could be read"] if self._lost else [])]

    def info(self) -> VideoInfo:
        first, _ = next(self.nearest([0]))
        height, width = first.image.shape[:2]
        return VideoInfo(self.frames, width, height, fps=0)

    def length(self) -> float:
        return 0.0

    def times(self) -> list[float]:
        return [0.0] * self.frames

    def exactly(self, indices: Collection[int]) -> Iterator[Frame]:
        deadline = time.monotonic() + self._limits.seconds
        wanted = [place for place, index in enumerate(self._indices) if index in indices]
        for place in wanted:
            if (frame := self._frame(place, deadline)) is not None:
                yield frame
        if wanted:
            self._check_readable(least=0)

    def nearest(self, indices: Collection[int], thorough: bool = False) -> Iterator[tuple[Frame, frozenset[int]]]:
        """See `Video`. No picture is made from another one, so `thorough` reads no more than what is wanted."""
        deadline = time.monotonic() + self._limits.seconds
        due: set[int] = set()
        taken = -1
        wanted = frozenset(indices)
        for place in range(self.frames):
            if place in wanted:
                due.add(place)
            if due and (frame := self._frame(place, deadline)) is not None:
                yield frame, frozenset(due)
                taken = place
                due.clear()
        for place in range(min(due, default=0) - 1, taken, -1):
            if (frame := self._frame(place, deadline)) is not None:
                yield frame, frozenset(due)
                break
        if wanted:
            self._check_readable(MIN_READABLE_SHARE)

    def _frame(self, place: int, deadline: float) -> Frame | None:
        """None if the picture cannot be read."""
        file = self._files[place]
        check_deadline(file, deadline, self._limits)
        try:
            image = read_still(file, self._limits.pixels, self._notes)
        except TooManyPixels as error:
            raise VideoError(f"{error}{self._limits.cure('pixels')}") from error
        except ImageError as error:
            self._lost[place] = error
            return None
        self._read.add(place)
        return Frame(self._indices[place], image)

    def _check_readable(self, least: float) -> None:
        """Raise VideoError if no picture could be read, or less than a share of those that were tried."""
        tried = len(self._read) + len(self._lost)
        if tried and not self._read:
            raise VideoError(str(next(iter(self._lost.values()))))
        if len(self._read) < least * tried:
            raise VideoError(f"{self._path}: damaged: only {len(self._read)} of {tried} frames could be read")


def picture_files(folder: Path) -> list[Path]:
    """Return a folder's pictures in the order of the numbers in their names. Raises VideoError: none."""
    named = [file for file in folder.iterdir() if file.name.lower().endswith(PICTURE_SUFFIXES)]
    if files := sorted((file for file in named if not file.name.startswith(".")), key=_by_numbers):
        return files
    raise VideoError(f"{folder}: not a regular file, nor a folder with pictures")


def _numbers(file: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"[0-9]+", file.stem)]


def _by_numbers(file: Path) -> tuple[list[int], str]:
    return _numbers(file), file.name


def _indices(files: list[Path]) -> list[int]:
    """The index of each picture."""
    found = [_numbers(file) for file in files]
    last = [numbers[-1] for numbers in found if numbers]
    ascends = all(one < other for one, other in pairwise(last))
    if len(last) < len(files) or not ascends or last[-1] > _LARGEST_INDEX:
        return list(range(len(files)))
    return last
