"""VP8 decoded a second time, to find frames that the first decoder did not fill and says nothing of.

Where a partition's data runs out, FFmpeg's own VP8 decoder ends the picture, drops the error, and hands on a buffer
with what that held before: other pictures from run to run. libvpx decodes the same bytes independently; in intact
videos the two agree to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import av
import av.error
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane

VP8 = "vp8"
_WITNESS = "libvpx"
_PLANES = 3
"""Y, U and V: libvpx gives transparency, too."""


class Vp8Check:
    """Compares what a decoder makes of VP8 packets with what libvpx does.

    Args:
        options: FFmpeg's for the decoder, with the limit of pixels.
    """

    def __init__(self, options: dict[str, str]) -> None:
        self._witness = cast(VideoCodecContext, VideoCodecContext.create(_WITNESS, "r"))
        self._witness.options = options
        self._witness.thread_count = 1

    @staticmethod
    def is_needed(decoder: VideoCodecContext) -> bool:
        """Whether a decoder is FFmpeg's own for VP8, and libvpx is there to check it, as in PyAV's wheels."""
        return decoder.name == VP8 and _WITNESS in av.codecs_available

    def agrees(self, packet: Packet, frames: Sequence[VideoFrame]) -> bool:
        """Return whether libvpx makes the same of a packet. Packets come in order, those that failed left out.

        Args:
            frames: what the decoder, of one thread, made of the packet.
        """
        try:
            others = self._witness.decode(packet)
        except (av.error.FFmpegError, ValueError):
            return False
        return len(others) == len(frames) and all(_is_same(*pair) for pair in zip(frames, others, strict=True))


def _is_same(one: VideoFrame, other: VideoFrame) -> bool:
    return (one.width, one.height) == (other.width, other.height) and all(
        np.array_equal(_pixels(one.planes[n]), _pixels(other.planes[n])) for n in range(_PLANES)
    )


def _pixels(plane: VideoPlane) -> np.ndarray:
    """Return a plane's pixels, (height, width) uint8, without its lines' padding. Not a copy."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
