"""One pass of decoding: the frames that a video shows, in order, with what was lost or damaged on the way.

What a decoder makes of damaged data depends on its version and its threads, so two players show two pictures. Frames
that were patched up, or that refer to such, are marked until the next frame that stands by itself.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.error
from av.codec.context import ThreadType
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from deepfake.media.containers import (
    ReadLimits,
    VideoError,
    check_deadline,
    check_pixels,
    decoder_options,
    open_container,
    reason,
    stream_at,
)
from deepfake.media.timeline import Timeline
from deepfake.media.vp8_check import Vp8Check

UNUSED_CAN_BE_SKIPPED = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4"})
"""Decoders that know from the stream itself that no other frame refers to one, whatever the container says. (HEVC's
"sub-layer non-reference" frames may be referred to by higher layers.)"""


@dataclass(frozen=True)
class StreamSource:
    """A video stream in a file.

    Attributes:
        path: the file.
        demuxer: FFmpeg's name for its container.
        index: of the stream in the file.
        timeline: when its frames are shown.
        threads: of the decoder, 0 for its own choice.
    """

    path: Path
    demuxer: str
    index: int
    timeline: Timeline
    threads: int
    limits: ReadLimits


@dataclass
class DecodedFrame:
    """A frame out of the decoder.

    Attributes:
        rank: its place among the frames shown.
        position: its packet's place in the file.
        frame: what was decoded.
        is_intact: whether neither it nor a frame that it may refer to is damaged.
    """

    rank: int
    position: int
    frame: VideoFrame
    is_intact: bool = True


@dataclass
class Damage:
    """What came of the frames that the decoder was given.

    Attributes:
        given: ranks that were to be decoded.
        decoded: ranks that came back.
        faulty: ranks that came back damaged, or with a reference to damage.
        errors: the decoder's, in order.
        last: the highest rank that came back; of later ones nothing is known before the end.
        at_end: whether all packets were given.
    """

    given: set[int] = field(default_factory=set)
    decoded: set[int] = field(default_factory=set)
    faulty: set[int] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    last: int = -1
    at_end: bool = False

    @property
    def lost(self) -> int:
        """Frames that never came back."""
        missing = self.given - self.decoded
        return len(missing) if self.at_end else sum(rank < self.last for rank in missing)

    @property
    def intact(self) -> int:
        """Frames that came back whole."""
        return len(self.decoded) - len(self.faulty)

    def describe(self, frames: int, faulty_are_judged: bool) -> str:
        """Return a sentence about a video of `frames` frames; empty if there is no damage."""
        if not self.lost and not self.faulty and not self.errors:
            return ""
        sentence = f"damaged: {frames - self.lost} of {frames} frames could be read"
        if not self.faulty:
            return sentence
        fate = "judged all the same, as hardly one is whole" if faulty_are_judged else "not judged"
        return f"{sentence}, {len(self.faulty)} of them with errors ({fate})"


class Decoding:
    """Decodes a stream once.

    Args:
        source: the stream.
        wanted: ranks of the frames that are wanted.
        thorough: whether all others are decoded, too, so that all damage is counted. Else those that no other one
            refers to are left out, until there is damage (its neighbors take a lost frame's place) or interlacing
            (they complete a frame).
    """

    def __init__(self, source: StreamSource, wanted: Collection[int], thorough: bool) -> None:
        self._source, self._wanted, self._thorough = source, wanted, thorough
        self._timeline = source.timeline
        self._positions = {rank: n for n, rank in enumerate(self._timeline.ranks) if rank is not None}
        self._waiting: deque[DecodedFrame] = deque()
        self._bad_from: int | None = None
        self._check: Vp8Check | None = None
        self._differing: set[int] = set()
        self._is_interlaced = False
        self._depth = 0
        self.damage = Damage()

    def frames(self) -> Iterator[DecodedFrame]:
        """Yield frames in the order in which they are shown.

        Raises:
            VideoError: a frame is over the limit of pixels, or decoding takes longer than that of seconds.
        """
        if not self._wanted:
            return
        with open_container(self._source.path, self._source.demuxer, self._source.limits) as container:
            stream = stream_at(container, self._source.index)
            decoder = self._prepared(stream.codec_context)
            # A frame may refer to later ones, whose damage shows when they come.
            self._depth = decoder.reorder_depth
            for position, packet in self._packets(container.demux(stream)):
                self._choose_skipping(decoder, packet)
                for frame in self._decode(decoder, packet, position):
                    self._take(frame)
                while len(self._waiting) > self._depth:
                    yield self._waiting.popleft()
            self.damage.at_end = True
            decoder.skip_frame = "DEFAULT"
            for frame in self._decode(decoder, None, len(self._timeline.ranks)):
                self._take(frame)
            yield from self._waiting

    def _prepared(self, decoder: VideoCodecContext) -> VideoCodecContext:
        decoder.options = decoder_options(self._source.limits)
        decoder.thread_count = self._source.threads
        decoder.thread_type = ThreadType.AUTO
        if Vp8Check.is_needed(decoder):
            self._check = Vp8Check(decoder_options(self._source.limits))
            decoder.thread_count = 1  # several hand frames on later than their packets
        return decoder

    def _packets(self, packets: Iterator[Packet]) -> Iterator[tuple[int, Packet]]:
        """The stream's packets with their positions, and with ranks for times."""
        deadline = time.monotonic() + self._source.limits.seconds
        position = 0
        try:
            for packet in packets:
                if not packet.size:  # a decoder would take it for the end
                    continue
                check_deadline(self._source.path, deadline, self._source.limits)
                packet.pts = self._known_by(position)
                yield position, packet
                position += 1
        except (av.error.FFmpegError, OSError) as error:  # what was read before is shown by players, too
            self.damage.errors.append(reason(error))

    def _known_by(self, position: int) -> int | None:
        """What a packet's frame is to come back with: its rank, or its position where that is all there is."""
        if not self._timeline.ordered:
            return position
        return self._timeline.ranks[position] if position < len(self._timeline.ranks) else None

    def _choose_skipping(self, decoder: VideoCodecContext, packet: Packet) -> None:
        rank = packet.pts
        skips = rank is not None and self._may_skip(decoder) and rank not in self._wanted
        decoder.skip_frame = "NONREF" if skips else "DEFAULT"
        if rank is not None and not skips:
            self.damage.given.add(rank)

    def _may_skip(self, decoder: VideoCodecContext) -> bool:
        return (
            not self._thorough
            and decoder.name in UNUSED_CAN_BE_SKIPPED
            and self._timeline.ordered
            # What begins between two key frames loses its first frames, and they are to be counted.
            and bool(self.damage.decoded)
            and not self.damage.errors
            and not self.damage.faulty
            and not self._is_interlaced
        )

    def _decode(self, decoder: VideoCodecContext, packet: Packet | None, position: int) -> list[VideoFrame]:
        try:
            frames = decoder.decode(packet)
        except av.error.MemoryError as error:
            raise VideoError(f"{self._source.path}: decoding takes more memory than there is") from error
        except (av.error.FFmpegError, ValueError) as error:
            self.damage.errors.append(reason(error))
            self._spoil(position)
            return []
        for frame in frames:
            check_pixels(self._source.path, frame.width, frame.height, self._source.limits)
            self._is_interlaced |= frame.interlaced_frame
        if self._check is not None and packet is not None and not self._check.agrees(packet, frames):
            self._differing.add(position)
            self._spoil(position)
        return frames

    def _take(self, frame: VideoFrame) -> None:
        """Lets a frame wait for those that it may refer to."""
        damage = self.damage
        if frame.pts is None:  # hidden, or not to be shown
            return
        rank, position = self._place(frame.pts)
        if rank >= self._timeline.frames:
            return
        damage.decoded.add(rank)
        if rank <= damage.last:  # too late to be shown: a sign of damage
            damage.faulty.add(rank)
            return
        if self._timeline.ordered and damage.last >= 0:
            for lost in range(damage.last + 1, rank):
                if lost in damage.given:
                    self._spoil(self._positions[lost])
        taken = DecodedFrame(rank, position, frame)
        damage.last = rank
        self._waiting.append(taken)
        if frame.is_corrupt or position in self._differing:
            self._spoil(position)
        elif self._bad_from is not None and frame.key_frame and position > self._bad_from:
            self._bad_from = None
        if self._bad_from is not None and position >= self._bad_from:
            self._mark(taken)

    def _place(self, known_by: int) -> tuple[int, int]:
        """A frame's rank and position; without times frames are counted as they come, and lost ones by packets."""
        if self._timeline.ordered:
            return known_by, self._positions[known_by]
        return max(self.damage.last + 1, known_by - self._depth), known_by

    def _spoil(self, position: int) -> None:
        """From a packet on, frames may refer to damage, until the next key frame."""
        self._bad_from = position if self._bad_from is None else min(self._bad_from, position)
        for taken in self._waiting:
            if taken.position >= position:
                self._mark(taken)

    def _mark(self, taken: DecodedFrame) -> None:
        taken.is_intact = False
        self.damage.faulty.add(taken.rank)
