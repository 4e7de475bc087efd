"""When each frame of a video is shown, from its packets alone: headers count wrong, packets do not.

One pass over a file's packets without decoding costs about a thirtieth of decoding them. A packet's place among the
frames that are shown (its rank) is handed to the decoder in place of its time, and comes back with the frame: so each
frame is known for what it is, whatever was lost, hidden or reordered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.packet import Packet

from deepfake.media.containers import ReadLimits, check_deadline, check_frames, stream_at

_RESTARTING = frozenset({"mpegts", "mpeg"})
"""Containers whose clock may start again in the middle, where recordings were joined."""
_RESTART_SECONDS = 0.1
"""A decoding clock that goes back by more has started again."""

_CUT_SECONDS, _CUT_SHARE = 1.0, 0.02
"""A file whose packets end earlier than its header says, by more than both, was cut."""

_CHECKED_EVERY = 1024
_MICROSECOND = 1e-6
_GUESSED_RATE = 25

VP9_SUPERFRAME, VP9_MARKER = 0xC0, 0xE0


@dataclass
class Timeline:
    """The frames that a video shows.

    Attributes:
        ranks: of each packet of the stream, in the file's order, its place among the frames shown; None for one that
            is not shown (before an edit, a hidden reference).
        seconds: when each frame is shown, by rank, from the file's start, ascending.
        ordered: whether the ranks are known; otherwise (packets without times) frames are counted as they are decoded.
        duration: from the first frame shown to the end of the last, in seconds.
        doubts: what is missing in the file.
    """

    ranks: list[int | None] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    ordered: bool = True
    duration: float = 0.0
    doubts: list[str] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """How many frames are shown."""
        return len(self.seconds)


def read_timeline(path: Path, container: InputContainer, index: int, limits: ReadLimits) -> Timeline:
    """Read all packets of a freshly opened container, and return when the frames of one of its video streams are shown.

    Raises:
        VideoError: there are more frames than the limit, or reading takes longer.
    """
    scan = _Scan(path, container, index, limits)
    try:
        for packet in container.demux():
            scan.add(packet)
    except (av.error.FFmpegError, OSError) as error:
        scan.stopped = str(error)
    return scan.timeline()


class _Scan:
    """The packets of a stream, as they come."""

    def __init__(self, path: Path, container: InputContainer, index: int, limits: ReadLimits) -> None:
        stream = stream_at(container, index)
        assert stream.time_base is not None
        self._path, self._limits, self._index = path, limits, index
        self._deadline = time.monotonic() + limits.seconds
        self._container, self._stream = container, stream
        self._unit = float(stream.time_base)
        self._start = (container.start_time or 0) * _MICROSECOND
        self._promised = _promised_frames(container, index)
        self._is_hidden = _HIDDEN.get(stream.codec_context.name, _never_hidden)
        self._restarts = container.format.name in _RESTARTING
        self._offset = 0
        self._last: int | None = None
        self._shown: list[tuple[int | None, int | None]] = []
        self._numbers: list[int] = []
        self._packets = 0
        self._durations: dict[int, int] = {}
        self._end = 0.0
        self.stopped = ""

    def add(self, packet: Packet) -> None:
        if not packet.size:  # PyAV's closing packets; in AVI also "show the last one again"
            return
        at = packet.pts if packet.pts is not None else packet.dts
        if at is not None:
            self._end = max(self._end, float((at + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index != self._index:
            return
        number, self._packets = self._packets, self._packets + 1
        self._follow_clock(packet)
        if packet.is_discard or self._is_hidden(packet):
            return
        pts = None if packet.pts is None else packet.pts + self._offset
        dts = None if packet.dts is None else packet.dts + self._offset
        self._shown.append((pts, dts))
        self._numbers.append(number)
        self._durations[packet.duration or 0] = self._durations.get(packet.duration or 0, 0) + 1
        self._check_limits()

    def _follow_clock(self, packet: Packet) -> None:
        """Keeps time going forward where the clock starts again."""
        if packet.dts is None:
            return
        back = 0 if self._last is None else self._last - packet.dts - self._offset
        if self._restarts and back * self._unit > _RESTART_SECONDS:
            self._offset += back + (packet.duration or 0)
        self._last = packet.dts + self._offset

    def _check_limits(self) -> None:
        check_frames(self._path, len(self._shown), self._limits)
        if self._packets % _CHECKED_EVERY == 0:
            check_deadline(self._path, self._deadline, self._limits)

    def timeline(self) -> Timeline:
        pts, dts = [p for p, _ in self._shown], [d for _, d in self._shown]
        ordered = None not in pts and not self._is_decoding_order(pts)
        times = pts if ordered else dts
        known = [at for at in times if at is not None]
        result = Timeline(ranks=[None] * self._packets, ordered=ordered)
        if len(known) < len(times):  # nothing is known but the order
            step = 1 / float(self._stream.average_rate or _GUESSED_RATE)
            result.seconds = [rank * step for rank in range(len(times))]
        else:
            # FFmpeg's start is in whole microseconds, and may come from a later frame than the first.
            start = min([self._start, *(at * self._unit for at in known)])
            order = sorted(range(len(known)), key=lambda i: (known[i], i))
            result.seconds = [known[i] * self._unit - start for i in order]
            for rank, i in enumerate(order):
                result.ranks[self._numbers[i]] = rank
        if result.seconds:
            result.duration = result.seconds[-1] - result.seconds[0] + self._frame_duration(result.seconds)
        result.doubts = self._doubts()
        return result

    def _is_decoding_order(self, times: Sequence[int | None]) -> bool:
        """Whether times tell the order of decoding alone, though frames are shown in another (AVI has no other)."""
        reorders = self._stream.codec_context.reorder_depth > 0
        return reorders and all(a is not None and b is not None and a < b for a, b in pairwise(times))

    def _frame_duration(self, seconds: list[float]) -> float:
        """How long the last frame is shown: as most are, or as long as frames are apart."""
        usual = max(self._durations, key=lambda d: self._durations[d], default=0)
        if usual:
            return usual * self._unit
        return (seconds[-1] - seconds[0]) / (len(seconds) - 1) if len(seconds) > 1 else 0.0

    def _promised_seconds(self) -> float:
        """The length that the header tells; AVI's counts frames, those too that it shows again."""
        if self._container.format.name == "avi" and self._stream.average_rate:
            return self._stream.frames / float(self._stream.average_rate)
        return (self._container.duration or 0) * _MICROSECOND

    def _doubts(self) -> list[str]:
        doubts = []
        promised = self._promised_seconds()
        end = self._end - self._start
        if self._promised > self._packets:
            doubts.append(f"cut short: the header promises {self._promised} frames, {self._packets} are in the file")
        elif promised - end > max(_CUT_SECONDS, _CUT_SHARE * promised):
            doubts.append(f"cut short: the header promises {promised:.1f} seconds, {max(end, 0):.1f} are in the file")
        if self.stopped:
            doubts.append(f"cut short: reading ended with an error after {self._packets} frames: {self.stopped}")
        return doubts


def _promised_frames(container: InputContainer, index: int) -> int:
    """How many packets an MP4's tables list; 0 for other containers, whose headers count what they repeat, too."""
    return len(stream_at(container, index).index_entries) if container.format.name.startswith("mov") else 0


def _never_hidden(packet: Packet) -> bool:
    return False


def _is_hidden_vp8(packet: Packet) -> bool:
    """Bit 4 of a VP8 frame's first byte tells that it is shown (RFC 6386, 9.1)."""
    return not memoryview(packet)[0] & 0x10


def _is_hidden_vp9(packet: Packet) -> bool:
    """A lone VP9 frame that is for reference only; in a superframe one is always shown (VP9 bitstream, 6.2 and B)."""
    data = memoryview(packet)
    first, last = data[0], data[-1]
    profile3 = first & 0x30 == 0x30
    return last & VP9_MARKER != VP9_SUPERFRAME and not profile3 and not first & 0x08 and not first & 0x02


_HIDDEN: dict[str, Callable[[Packet], bool]] = {"vp8": _is_hidden_vp8, "vp9": _is_hidden_vp9}
"""By decoder: whether a packet holds a frame that is only referred to."""
