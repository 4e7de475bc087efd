"""Opening video files safely: the container by its first bytes, the stream that players show, limits before decoding.

A demuxer that may guess follows playlists (HLS, concat, DASH, SDP) to other files and to the network, whatever the
file's suffix. So the demuxer is named from a list of containers that hold their own frames, and only the file protocol
is allowed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import av
import av.error
from annotated_types import Ge, Gt
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from typing_extensions import Doc

from deepfake.media.image_files import READ_FORMATS
from deepfake.media.image_headers import sniff_image
from deepfake.media.images import ImageError, open_regular
from deepfake.storage.file_errors import FileError

HEAD_BYTES = 4096
"""What a container is known by lies in that many first bytes."""

SIGNATURES = (
    (re.compile(rb".{4}(ftyp|styp|moov|moof|mdat|free|skip|wide|pnot|uuid|sidx)", re.DOTALL), "mov"),
    (re.compile(rb"RIFF.{4}AVI ", re.DOTALL), "avi"),
    (re.compile(rb"\x1aE\xdf\xa3"), "matroska"),  # WebM too
    (re.compile(rb"\x00\x00\x01\xba"), "mpeg"),
    (re.compile(rb"\x00\x00\x01\xb3"), "mpegvideo"),
    (re.compile(rb"FLV\x01"), "flv"),
    (re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), "asf"),  # WMV
    (re.compile(rb"OggS"), "ogg"),
    (re.compile(rb"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01"), "mxf"),
    (re.compile(rb"\x1f\x07\x00[\x3f\xbf]"), "dv"),
)
"""First bytes -> FFmpeg's demuxer."""

_TS_SYNC = 0x47
_TS_PACKETS = (188, 192, 204)
"""Bytes a packet: broadcast, Blu-ray and camcorders (M2TS), with error correction."""
_TS_SYNCS = 5

CONVERT = "convert it where it plays: ffmpeg -i INPUT -c:v libx264 -crf 12 OUTPUT.mp4"

NOT_A_VIDEO = (
    "not a video file (MP4, MOV, AVI, MKV, WebM, MPEG, TS, FLV, WMV, Ogg or MXF) "
    f"and not a picture ({', '.join(READ_FORMATS)})"
)

_LONG_PROBE = {"probesize": str(2**26), "analyzeduration": str(600 * 10**6)}
"""Where the usual look at the first bytes finds no picture: the camera was switched on after the sound."""

_NEVER_SHOWN = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent
"""Streams that no player shows as the video: cover art, previews, enhancement layers."""

_OPEN_SECONDS = 120.0


class VideoError(FileError):
    """A video cannot be read; the message names the file and the reason."""


@dataclass(frozen=True)
class ReadLimits:
    """What reading one video may take; a video over a limit is refused, before it is decoded where that can be known.

    Attributes:
        pixels: of a frame, width times height, as stored and as shown.
        memory: bytes that the process which reads it may take for that; None for no limit (`bounded_memory`).
        has_options: whether the program has options that raise the first three (`deepfake.cli.reading_options`):
            messages name them.
    """

    pixels: Annotated[int, Ge(1), Doc("most pixels of a frame")] = 2**26
    frames: Annotated[int, Ge(1), Doc("most frames of a video")] = 500_000
    seconds: Annotated[float, Gt(0), Doc("most seconds to read a video in"), "S"] = 3600.0
    memory: int | None = None
    has_options: bool = False

    def cure(self, limit: str, otherwise: str = "") -> str:
        """Return how a message goes on for a video that is over a limit (`pixels`, `frames` or `seconds`)."""
        return f" (--max-{limit} raises the limit)" if self.has_options else otherwise


LIMITS = ReadLimits()


def read_head(path: Path) -> bytes:
    """Return a file's first HEAD_BYTES bytes.

    Raises:
        VideoError: missing, not a regular file (a folder, a pipe, a device), empty, or not readable.
    """
    try:
        with open_regular(path) as file:
            return file.read(HEAD_BYTES)
    except ImageError as error:
        raise VideoError(str(error)) from error
    except OSError as error:
        raise VideoError(f"{path}: cannot be read: {error.strerror}") from error


def demuxer_of(head: bytes) -> str | None:
    """Return the name of FFmpeg's demuxer for a file that begins with these bytes; None if it is no video."""
    for signature, name in SIGNATURES:
        if signature.match(head):
            return name
    return "mpegts" if _has_ts_syncs(head) else None


def _has_ts_syncs(head: bytes) -> bool:
    """A transport stream may be cut anywhere: its packets need not begin with the file."""
    for size in _TS_PACKETS:
        for start in range(size):
            syncs = head[start : start + size * _TS_SYNCS : size]
            if len(syncs) == _TS_SYNCS and set(syncs) == {_TS_SYNC}:
                return True
    return (
        len(head) < _TS_SYNCS * _TS_PACKETS[0] and head[:1] == b"G" and head[188:189] in (b"", b"G") and len(head) > 187
    )


def open_container(path: Path, demuxer: str, limits: ReadLimits) -> InputContainer:
    """Open a file with the demuxer named, for the file protocol alone, with the pixel limit set for every decoder.

    Raises:
        VideoError: the demuxer cannot read it, or it has no video stream.
    """
    options = {"protocol_whitelist": "file", **decoder_options(limits)}
    container = _open(path, demuxer, options)
    if not any(_has_size(stream) for stream in container.streams.video):
        container.close()
        container = _open(path, demuxer, {**options, **_LONG_PROBE})
    return container


def decoder_options(limits: ReadLimits) -> dict[str, str]:
    """Return FFmpeg's options for the limit of pixels; `check_pixels` holds the exact one."""
    # FFmpeg counts rows that are padded to 64 pixels.
    return {"max_pixels": str(limits.pixels * 17 // 16)}


def _open(path: Path, demuxer: str, options: Mapping[str, str]) -> InputContainer:
    try:
        return av.open(
            # An absolute path is never taken for a URL or a device.
            str(path.resolve()),
            format=demuxer,
            options=dict(options),
            metadata_errors="replace",
            timeout=(_OPEN_SECONDS, _OPEN_SECONDS),
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            f"{path}: no video stream that can be decoded (damaged, or not a video): {reason(error)}"
        ) from error


def _has_size(stream: VideoStream) -> bool:
    return stream.codec_context is None or stream.width > 0


def reason(error: BaseException) -> str:
    """Return FFmpeg's reason without the file's name, which messages begin with."""
    return getattr(error, "strerror", None) or str(error)


@dataclass(frozen=True)
class ChosenStream:
    """The stream that players show, by its index in the file, and what is to be said about others."""

    index: int
    doubts: tuple[str, ...] = ()


def shown_stream(container: InputContainer, path: Path) -> ChosenStream:
    """Choose the video stream that players show: one that the file marks as default, among such the largest.

    Cover art, previews and enhancement layers are never chosen.

    Raises:
        VideoError: there is none, or FFmpeg has no decoder for it.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & _NEVER_SHOWN]
    if not streams:
        kind = "only cover art" if container.streams.video else "damaged, or sound alone"
        raise VideoError(f"{path}: no video stream that can be decoded ({kind})")
    best = max(streams, key=lambda s: (bool(s.disposition & Disposition.default), _pixels(s), -s.index))
    if best.codec_context is None:
        raise VideoError(f"{path}: no decoder for its codec here; {CONVERT}")
    if len(streams) == 1:
        return ChosenStream(best.index)
    others = ", ".join(_described(stream) for stream in streams if stream is not best)
    doubt = f"{len(streams)} video tracks: {_described(best)} is judged, as players show it; not judged: {others}"
    return ChosenStream(best.index, (doubt,))


def shown_track(path: Path, limits: ReadLimits = LIMITS) -> tuple[str, int]:
    """Return FFmpeg's demuxer for a video file, and the index of the stream that players show.

    Raises:
        VideoError: it is a picture or no video, has no video stream, or its frames are over the limit of pixels.
    """
    demuxer = container_of(path)
    if demuxer is None:
        raise VideoError(f"{path}: {NOT_A_VIDEO}")
    with open_container(path, demuxer, limits) as container:
        index = shown_stream(container, path).index
        stream = stream_at(container, index)
        check_pixels(path, stream.width, stream.height, limits)
    return demuxer, index


def container_of(path: Path) -> str | None:
    """Return FFmpeg's demuxer for a file by its first bytes, whatever its name; None for a picture or no video.

    Raises:
        VideoError: see `read_head`.
    """
    head = read_head(path)
    return None if sniff_image(head) is not None else demuxer_of(head)


def check_pixels(path: Path, width: int, height: int, limits: ReadLimits) -> None:
    """Raise VideoError if a frame of this size is over the limit."""
    if width * height > limits.pixels:
        size = f"{width}x{height} pixels"
        raise VideoError(
            f"{path}: frames of {size}; the limit is {limits.pixels} pixels a frame{limits.cure('pixels')}"
        )


def check_frames(path: Path, frames: int, limits: ReadLimits) -> None:
    """Raise VideoError if a video of so many frames is over the limit."""
    if frames > limits.frames:
        cure = limits.cure("frames", "; cut it first")
        raise VideoError(f"{path}: more than {limits.frames} frames, the limit for one video{cure}")


def check_deadline(path: Path, deadline: float, limits: ReadLimits) -> None:
    """Raise VideoError if reading goes on after a time of `time.monotonic`."""
    if time.monotonic() > deadline:
        raise took_too_long(path, limits)


def took_too_long(path: Path, limits: ReadLimits) -> VideoError:
    """Return the error for a video that takes more time than the limit."""
    return VideoError(f"{path}: reading took more than {limits.seconds:g} seconds, the limit{limits.cure('seconds')}")


def stream_at(container: InputContainer, index: int) -> VideoStream:
    """Return the video stream of that index in the file."""
    return next(stream for stream in container.streams.video if stream.index == index)


def _pixels(stream: VideoStream) -> int:
    return 0 if stream.codec_context is None else stream.width * stream.height


def _described(stream: VideoStream) -> str:
    kind: Any = "unknown codec" if stream.codec_context is None else f"{stream.width}x{stream.height}"
    default = ", default" if stream.disposition & Disposition.default else ""
    return f"track {stream.index + 1} ({kind}{default})"
