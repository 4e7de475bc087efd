"""Decoded frames as a player shows them: deinterlaced, in standard RGB, with square pixels, upright."""

from __future__ import annotations

from fractions import Fraction

import av.error
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc, Interpolation, VideoReformatter

from deepfake.media.containers import ReadLimits

DEINTERLACER = "bwdif"
"""FFmpeg's filter; it looks at the frame before and the one behind."""

HDR = {int(ColorTrc.SMPTE2084): "PQ", int(ColorTrc.ARIB_STD_B67): "HLG"}
"""Transfer functions of high dynamic range."""

_FIXED_POINT = 1 << 16
_SMALL = 16
_RIGHT_ANGLE_TOLERANCE = 0.02


class DisplayError(ValueError):
    """A decoded frame cannot be made a picture; the message says why."""


class Display:
    """Turns the decoded frames of one video into pictures.

    Args:
        aspect: of the container's pixels, width to height; None where it says nothing and the frames decide.
        limits: of pixels, for a picture.
    """

    def __init__(self, aspect: Fraction | None, limits: ReadLimits) -> None:
        self._aspect = aspect
        self._limits = limits
        self._reformatter = VideoReformatter()
        self.doubts: dict[str, None] = {}

    def picture(
        self, frame: VideoFrame, before: VideoFrame | None = None, behind: VideoFrame | None = None
    ) -> np.ndarray:
        """Return a frame as (H, W, 3) uint8 RGB in memory of its own.

        Args:
            before, behind: its neighbors in time, which an interlaced frame is completed from.

        Raises:
            DisplayError: the picture would be larger than the limit, or the pixel format is unknown.
        """
        matrix = display_matrix(frame)
        try:
            if frame.interlaced_frame:
                frame = deinterlace(frame, before, behind)
            image = self._rgb(frame)
        except (av.error.FFmpegError, ValueError) as error:
            raise DisplayError(f"pixel format {frame.format.name} cannot be converted: {error}") from error
        return image if matrix is None else self._upright(image, matrix)

    def _rgb(self, frame: VideoFrame) -> np.ndarray:
        width, height = self._size(frame)
        to_standard = {}
        if frame.color_trc in HDR:
            self.doubts[f"high dynamic range ({HDR[frame.color_trc]}), tone-mapped; networks saw standard range"] = None
            to_standard = {"dst_color_trc": ColorTrc.BT709, "dst_color_primaries": ColorPrimaries.BT709}
        rgb = self._reformatter.reformat(
            frame, width, height, "rgb24", interpolation=Interpolation.BICUBIC, threads=1, **to_standard
        )
        return rgb.to_ndarray()

    def _size(self, frame: VideoFrame) -> tuple[int, int]:
        """Width and height with square pixels: the longer way of a pixel is kept, so that nothing is lost."""
        width, height = frame.width, frame.height
        aspect = self._aspect
        if aspect is not None and aspect > 1:
            width = round(width * aspect)
        elif aspect is not None and aspect > 0:
            height = round(height / aspect)
        limit = self._limits.pixels
        if width * height > limit:
            cure = self._limits.cure("pixels")
            raise DisplayError(f"shown at {width}x{height} pixels; the limit is {limit} pixels a frame{cure}")
        return width, height

    def _upright(self, image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        if not is_right_angle(matrix):
            self.doubts["turned by an odd angle: judged at the nearest right angle"] = None
        return np.ascontiguousarray(turned(image, matrix))


def display_matrix(frame: VideoFrame) -> np.ndarray | None:
    """Return the (2, 2) matrix by which a frame's points are moved to where they are shown; None if they stay."""
    # PyAV's side data and its frame refer to each other: a small copy waits for Python's collector, not 100 MB.
    small = frame.reformat(_SMALL, _SMALL, "gray", interpolation=Interpolation.POINT, threads=1)
    data = small.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]
    if data is None or len(memoryview(data)) < 36:
        return None
    values = np.frombuffer(memoryview(data), np.int32, 9).astype(np.float64) / _FIXED_POINT
    # Points are rows times the matrix: x' = a x + c y, y' = b x + d y.
    (a, b, _), (c, d, _), _ = values.reshape(3, 3)
    matrix = np.array([[a, c], [b, d]])
    return None if np.array_equal(matrix, np.eye(2)) or not matrix.any() else matrix


def is_right_angle(matrix: np.ndarray) -> bool:
    """Return whether a matrix turns by a multiple of 90 degrees, mirrored or not."""
    scaled = np.abs(matrix) / np.abs(matrix).max()
    return bool(min(np.abs(scaled - np.eye(2)).max(), np.abs(scaled - np.eye(2)[::-1]).max()) < _RIGHT_ANGLE_TOLERANCE)


def turned(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return an image moved by a display matrix, at the nearest right angle: a view.

    Args:
        image: (H, W, ...).
        matrix: see `display_matrix`.
    """
    (a, c), (b, d) = matrix
    if max(abs(a), abs(d)) < max(abs(b), abs(c)):  # columns become rows
        image = image.swapaxes(0, 1)
        to_left, to_top = c < 0, b < 0
    else:
        to_left, to_top = a < 0, d < 0
    return image[:: -1 if to_top else 1, :: -1 if to_left else 1]


def deinterlace(frame: VideoFrame, before: VideoFrame | None, behind: VideoFrame | None) -> VideoFrame:
    """Return an interlaced frame as a progressive one, completed from its neighbors in time."""
    around = [f for f in (before, frame, behind) if f is not None and _alike(f, frame)]
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
    # One picture a frame; the frame's own flags tell which field comes first.
    graph.link_nodes(
        source, graph.add(DEINTERLACER, mode="send_frame", deint="all"), graph.add("buffersink")
    ).configure()
    outputs: list[VideoFrame] = []
    for number, given in enumerate(around):
        given.pts, given.time_base = number, Fraction(1, 25)
        graph.vpush(given)
        outputs.extend(_pulled(graph))
    graph.vpush(None)
    outputs.extend(_pulled(graph))
    whole = outputs[next(i for i, f in enumerate(around) if f is frame)]
    for name in ("colorspace", "color_range", "color_trc", "color_primaries"):
        setattr(whole, name, getattr(frame, name))
    return whole


def _alike(one: VideoFrame, other: VideoFrame) -> bool:
    return (one.width, one.height, one.format.name) == (other.width, other.height, other.format.name)


def _pulled(graph: Graph) -> list[VideoFrame]:
    frames = []
    while True:
        try:
            frames.append(graph.vpull())
        except (av.error.BlockingIOError, av.error.EOFError):  # wants more, or has ended
            return frames
