"""What the first bytes of a picture file say: its format, its size, its frames. Nothing is decoded.

Sizes are read here, and not by a decoder, where the decoder reserves memory for the whole picture when it opens a file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MAX_IMAGE_PIXELS = 2**26
"""Width times height of the largest picture that is decoded: 8192 x 8192."""
HEAD_BYTES = 4096
"""Enough of a file's beginning for `sniff_image`."""

_SIGNATURES = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "WebP"),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), "BMP"),  # lengths of the header
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"II\*\0.{4}CR|\0MRM|FOVb|FUJIFILMCCD-RAW|IIRO|IIRS|MMOR|IIU\0", re.DOTALL), "raw camera"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF"),
    (re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"), "JPEG 2000"),
    (re.compile(rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a"), "JPEG XL"),
    (re.compile(rb"II\xbc\x01"), "JPEG XR"),
    (re.compile(rb"P[1-7]\s"), "PNM"),
    (re.compile(rb"8BPS"), "Photoshop"),
    (re.compile(rb"qoif"), "QOI"),
    (re.compile(rb"v/1\x01"), "OpenEXR"),
    (re.compile(rb"#\?(RADIANCE|RGBE)"), "Radiance HDR"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml.*|<!--.*|<!DOCTYPE svg.*)?<svg[\s>]", re.DOTALL), "SVG"),
)

# HEIF, AVIF and videos are all ISO base media files: the brands tell them apart. Those of HEVC sequences (hevc, hevx)
# are not here: such a file is a video track like any other.
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis"}
_STRUCTURAL_BRANDS = {b"mif1", b"mif2", b"mif3", b"miaf"}
"""Brands that say that there is a picture, but not in which format."""

_JPEG_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)
_JPEG_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset([0x01, *range(0xD0, 0xDA)])
"""Markers without a length."""


class FrameHeader(NamedTuple):
    """One frame of an animated file: how long it is shown (s), and the right and lower end of the part it changes."""

    seconds: float
    right: int
    bottom: int


class JpegScans(NamedTuple):
    """How many scans a JPEG file has, and whether its end is there."""

    number: int
    complete: bool


def sniff_image(head: bytes) -> str | None:
    """Return the picture format that a file's first bytes name, also of formats that are not read; else None.

    Args:
        head: the first `HEAD_BYTES` bytes; fewer will do for most formats.
    """
    if head[4:8] == b"ftyp":
        return _sniff_brands(head)
    return next((name for signature, name in _SIGNATURES if signature.match(head)), None)


def is_web_page(head: bytes) -> bool:
    """Return whether a file begins as HTML: what a download gives that failed."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:14].lower().startswith((b"<!doctype html", b"<html"))


def header_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a PNG, JPEG or WebP file as stored (not turned); None if it is none, or cut short."""
    try:
        return {"PNG": _png_size, "JPEG": _jpeg_size, "WebP": webp_size}[sniff_image(data[:HEAD_BYTES]) or ""](data)
    except (KeyError, IndexError, struct.error):
        return None


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a WebP file, of which 30 bytes are enough."""
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def jpeg_scans(data: bytes) -> JpegScans:
    """Walk over a JPEG file's segments to its end-of-image marker. Segments (such as thumbnails) are not entered."""
    scans = 0
    for marker, _, end in _jpeg_segments(data):
        if marker == 0xD9:
            return JpegScans(scans, True)
        scans += marker == 0xDA and end <= len(data)
    return JpegScans(scans, False)


def animation(file: BinaryIO, image_format: str) -> Iterator[FrameHeader]:
    """Yield the frames of an animated GIF, PNG or WebP file by its headers; no more than are there.

    Yields nothing for PNG and WebP files that are not animated, and one for a GIF of one frame.
    """
    file.seek(0)
    walkers = {"GIF": _gif_frames, "PNG": _apng_frames, "WebP": _webp_frames}
    try:
        yield from walkers[image_format](file)
    except (IndexError, struct.error):  # the file ends in the middle of a header
        return


def avif_seconds(file: BinaryIO) -> float:
    """Return how long an AVIF sequence is shown, as the header of its first track says; 0 without one."""
    begin, end = 0, file.seek(0, 2)
    try:
        for kind in (b"moov", b"trak", b"mdia", b"mdhd"):
            begin, end = _find_box(file, kind, begin, end)
        file.seek(begin)
        data = file.read(32)
        scale, duration = struct.unpack_from(">IQ", data, 20) if data[0] == 1 else struct.unpack_from(">II", data, 12)
        return duration / scale if scale else 0.0
    except (LookupError, struct.error):  # cut short, or a still
        return 0.0


def _find_box(file: BinaryIO, wanted: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the payload of a box between two positions of a file begins and ends. Raises LookupError."""
    while at < end:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        begin = at + 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            begin = at + 16
        length = length or end - at
        if kind == wanted:
            return begin, at + length
        at += max(length, 8)
    raise LookupError(wanted)


def _sniff_brands(head: bytes) -> str | None:
    length = int.from_bytes(head[:4], "big")
    major = head[8:12]
    if major == b"crx ":
        return "raw camera"
    brands = {major}
    if major in _STRUCTURAL_BRANDS:
        brands |= {head[at : at + 4] for at in range(16, min(length, len(head)), 4)}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS else "HEIF" if brands & _STRUCTURAL_BRANDS else None


def _png_size(data: bytes) -> tuple[int, int] | None:
    return struct.unpack_from(">II", data, 16) if data[12:16] == b"IHDR" else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    for marker, begin, _ in _jpeg_segments(data):
        if marker in _JPEG_FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", data, begin + 3)
            return width, height
    return None


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Each marker, and where what follows it begins and ends. A scan's coded data is skipped, not part of it."""
    end = 2
    while (found := _JPEG_MARKER.search(data, end)) is not None:
        marker, begin = data[found.end() - 1], found.end()
        alone = marker in _JPEG_ALONE
        end = begin + (0 if alone else int.from_bytes(data[begin : begin + 2], "big"))
        yield marker, begin, end


def _gif_frames(file: BinaryIO) -> Iterator[FrameHeader]:
    flags = file.read(13)[10]
    _skip_colors(file, flags)
    delay = 0.0
    while (kind := file.read(1)) not in (b"", b";"):
        if kind == b"!":
            label = file.read(1)
            if label == b"\xf9":
                block = file.read(file.read(1)[0])
                delay = struct.unpack_from("<H", block, 1)[0] / 100
            _skip_blocks(file)
        elif kind == b",":
            left, top, width, height, flags = struct.unpack("<HHHHB", file.read(9))
            yield FrameHeader(delay, left + width, top + height)
            _skip_colors(file, flags)
            file.read(1)
            _skip_blocks(file)
            delay = 0.0


def _skip_colors(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        file.seek(3 * 2 ** ((flags & 7) + 1), 1)


def _skip_blocks(file: BinaryIO) -> None:
    while length := file.read(1)[0]:
        file.seek(length, 1)


def _apng_frames(file: BinaryIO) -> Iterator[FrameHeader]:
    at, animated = 8, False
    while True:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"IEND" or (kind == b"IDAT" and not animated):
            return
        animated |= kind == b"acTL"
        if kind == b"fcTL":
            width, height, left, top, part, whole = struct.unpack(">4x4I2H", file.read(24))
            yield FrameHeader(part / (whole or 100), left + width, top + height)
        at += 12 + length


def _webp_frames(file: BinaryIO) -> Iterator[FrameHeader]:
    at = 12
    while True:
        file.seek(at)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind == b"ANMF":
            left, top, width, height, duration = (
                int.from_bytes(value, "little") for value in struct.unpack("3s3s3s3s3s", file.read(15))
            )
            yield FrameHeader(duration / 1000, 2 * left + width + 1, 2 * top + height + 1)
        at += 8 + length + length % 2
