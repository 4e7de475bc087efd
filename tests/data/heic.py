"""A minimal HEIC writer: the libraries that are installed only read the format."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np


def write_heic(path: Path, image: np.ndarray, ffmpeg: Callable[..., None], quarter_turns: int = 0) -> Path:
    """Writes an RGB picture as HEIC.

    Args:
        quarter_turns: how often a viewer turns it by 90 degrees to the left.
    """
    video = path.with_suffix(".h265.mp4")
    height, width = image.shape[:2]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-i", "-"]
    ffmpeg(*raw, "-c:v", "libx265", "-crf", 8, "-pix_fmt", "yuv420p", "-tag:v", "hvc1", video, stdin=image.tobytes())
    data = video.read_bytes()
    video.unlink()
    at = data.index(b"hvcC") - 4
    decoder = data[at : at + int.from_bytes(data[at : at + 4], "big")]
    at = data.index(b"mdat") - 4
    coded = data[at + 8 : at + int.from_bytes(data[at : at + 4], "big")]
    properties = [decoder, _full_box(b"ispe", struct.pack(">II", width, height))]
    if quarter_turns:
        properties.append(_box(b"irot", bytes([quarter_turns])))
    kind = _box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    offset = len(kind) + len(_meta(properties, 0, 0))
    path.write_bytes(kind + _meta(properties, offset + 8, len(coded)) + _box(b"mdat", coded))
    return path


def _meta(properties: list[bytes], offset: int, length: int) -> bytes:
    handler = _full_box(b"hdlr", bytes(4) + b"pict" + bytes(13))
    primary = _full_box(b"pitm", struct.pack(">H", 1))
    entry = _full_box(b"infe", struct.pack(">HH4s", 1, 0, b"hvc1") + b"\0", version=2)
    location = struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, offset, length)
    used = bytes(range(1, len(properties) + 1))
    association = _full_box(b"ipma", struct.pack(">IHB", 1, 1, len(used)) + used)
    return _full_box(
        b"meta",
        handler
        + primary
        + _full_box(b"iloc", location)
        + _full_box(b"iinf", struct.pack(">H", 1) + entry)
        + _box(b"iprp", _box(b"ipco", b"".join(properties)) + association),
    )


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def _full_box(kind: bytes, payload: bytes, version: int = 0) -> bytes:
    return _box(kind, bytes([version, 0, 0, 0]) + payload)
