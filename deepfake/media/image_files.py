"""Reading the picture files that people have: one rule for all programs.

JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF and HEIC, by content and not by name. A picture comes as a viewer shows it:
upright, in sRGB, transparent parts on white, 16 bits scaled to 8, the frames of an animation composited. Crops and
masks that the project writes itself are read by `deepfake.media.images`.

Of a TIFF with several pages the first one is read, and of HEIC, AVIF and multi-picture JPEG files the primary picture.
"""

from __future__ import annotations

import io
import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pi_heif import HeifImageFile
from PIL import Image, ImageCms
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from deepfake.media.image_headers import (
    HEAD_BYTES,
    MAX_IMAGE_PIXELS,
    FrameHeader,
    animation,
    avif_seconds,
    is_web_page,
    jpeg_scans,
    sniff_image,
    webp_size,
)
from deepfake.media.images import ImageError, open_regular

__all__ = [
    "MAX_IMAGE_PIXELS",
    "ImageInfo",
    "TooManyPixels",
    "image_format",
    "iter_image",
    "probe_image",
    "read_still",
    "sniff_image",
]

_PILLOW: dict[str, Callable[[BinaryIO], Image.Image]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
    "GIF": GifImageFile,
    "AVIF": AvifImageFile,
    "HEIC": HeifImageFile,
}
READ_FORMATS = tuple(_PILLOW)
MAX_IMAGE_BYTES = 2**29
MAX_IMAGE_FRAMES = 100_000
MAX_JPEG_SCANS = 200
"""A progressive JPEG has about ten; each one costs a pass over the whole picture, however few bytes it has."""
MIN_SHARE = 0.5
"""Of a JPEG's rows, or an animation's frames: with fewer the file counts as unreadable."""

_LONGEST_INSTANT = 0.0101
_INSTANT_SECONDS = 0.1
"""Browsers show frames of at most 10 ms for 100 ms."""
_ROWS_AT_ONCE = 256
_MISSING = 128
"""What libjpeg fills the part of a picture with that its file does not hold."""
_SRGB_TOLERANCE = 3
"""Levels; colors of a profile that differ by no more are taken for sRGB as they are."""

_LOG = logging.getLogger(__name__)
_STDERR_FILENO = 2
_STDERR = threading.Lock()
"""Held while standard error is redirected, which all threads share."""

_EXIF_ORIENTATION = 274
_TIFF_SUBFILE, _TIFF_BITS, _TIFF_PHOTOMETRIC = 254, 258, 262

ToRgb = Callable[[Image.Image], Image.Image]


PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"),
    *(".avif", ".avifs", ".heic", ".heif", ".hif"),
)
"""Of pictures that may stand where a video does."""


class TooManyPixels(ImageError):
    """A picture has more pixels than the limit."""


@dataclass(frozen=True)
class ImageInfo:
    """What a picture file's header says.

    Attributes:
        format: one of `READ_FORMATS`.
        width, height: in pixels, upright.
        frames: 1 for a still.
        seconds: how long the frames are shown, once each; 0 for a still.
    """

    format: str
    width: int
    height: int
    frames: int
    seconds: float = 0.0


def image_format(path: Path) -> str | None:
    """Return the picture format that a file's first bytes name, as `sniff_image`.

    Raises:
        ImageError: the file is missing, empty, not a regular file, or cannot be read.
    """
    with open_regular(path) as file:
        return sniff_image(file.read(HEAD_BYTES))


def probe_image(path: Path, max_pixels: int = MAX_IMAGE_PIXELS) -> ImageInfo:
    """Read a picture file's header; nothing is decoded.

    Args:
        max_pixels: the largest width times height.

    Raises:
        ImageError: not a regular file, empty, no picture that can be read, or too large. The message names the file,
            the reason and a cure.
    """
    with open_regular(path, MAX_IMAGE_BYTES) as file:
        return _open(path, file, max_pixels).info


def iter_image(
    path: Path, max_pixels: int = MAX_IMAGE_PIXELS, damage: list[str] | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the picture, or the frames of an animation one after the other.

    Args:
        max_pixels: as for `probe_image`.
        damage: a sentence is appended for a file of which a part is missing: a JPEG without its end is gray below the
            rows that are there, an animation has the frames before the first broken one. Without the list such files
            are errors. A sentence is appended, too, for a file that holds several pictures that are no animation.

    Yields:
        When it is shown (s), and the (H, W, 3) uint8 RGB picture. A still is shown at 0.

    Raises:
        ImageError: as `probe_image`, and if the picture cannot be decoded.
    """
    with open_regular(path, MAX_IMAGE_BYTES) as file:
        opened = _open(path, file, max_pixels)
        if opened.info.frames > 1:
            yield from _iter_frames(path, opened, damage)
            return
        if opened.info.format == "JPEG":
            yield 0.0, _read_jpeg(path, file, damage)
            return
        with _decoding(path, opened.info.format):
            if opened.first:
                opened.image.seek(opened.first)
            picture = _pixels(opened.image)
        if damage is not None and opened.info.format in ("TIFF", "HEIC") and _has_more(opened.image):
            _note(damage, "several pictures in one file; the one that viewers show first is read")
        yield 0.0, picture


def read_still(path: Path, max_pixels: int = MAX_IMAGE_PIXELS, damage: list[str] | None = None) -> np.ndarray:
    """Read a picture that is not animated, (H, W, 3) uint8 RGB. Arguments and errors as for `iter_image`.

    Raises:
        ImageError: also for an animation.
    """
    if (frames := probe_image(path, max_pixels).frames) > 1:
        raise ImageError(f"{path}: an animation of {frames} frames, not one picture")
    return next(iter_image(path, max_pixels, damage))[1]


@dataclass(frozen=True)
class _Opened:
    """An open file: Pillow's picture before it is decoded, and when its frames are shown.

    `first` is the number of the first shown frame: a PNG may hold a picture for viewers that show no animations.
    """

    info: ImageInfo
    image: Image.Image
    times: list[float]
    first: int = 0


def _open(path: Path, file: BinaryIO, max_pixels: int) -> _Opened:
    head = file.read(HEAD_BYTES)
    found = sniff_image(head)
    if found not in READ_FORMATS:
        raise ImageError(f"{path}: {_unread(found, head)}")
    if found == "WebP":  # its decoder reserves memory for the whole picture when it opens a file
        with _decoding(path, found):
            _check_pixels(path, webp_size(head) or (0, 0), max_pixels)
    frames = _frame_headers(path, file, found, max_pixels)
    with _decoding(path, found):
        image = _open_lazily(file, found)
    _check_pixels(path, image.size, max_pixels)
    with _decoding(path, found):
        if found == "TIFF":
            _check_tiff(path, image)
        width, height = _upright_size(image)
    count = image.n_frames if isinstance(image, AvifImageFile) else max(len(frames), 1)
    shown = [_shown_seconds(frame.seconds) for frame in frames]
    seconds = avif_seconds(file) if found == "AVIF" else sum(shown)
    info = ImageInfo(found, width, height, count, seconds if count > 1 else 0.0)
    first = int(bool(frames) and isinstance(image, PngImageFile) and image.default_image)
    return _Opened(info, image, [0.0, *accumulate(shown[:-1])], first)


def _open_lazily(file: BinaryIO, found: str) -> Image.Image:
    """Opens a file with Pillow as the format it was found to be; its own, lower limit of pixels is not asked."""
    file.seek(0)
    return _PILLOW[found](file)


def _unread(found: str | None, head: bytes) -> str:
    """Why a file is not read, and what to do about it."""
    cure = "convert it to JPEG or PNG"
    if found is not None:
        return f"{found} pictures are not read; {cure}"
    if is_web_page(head):
        return "a web page, not a picture; download the file again"
    return f"not a picture that can be read ({', '.join(READ_FORMATS)}); {cure}"


def _check_pixels(path: Path, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        limit = f"at most {max_pixels:,} are read: make it smaller first"
        raise TooManyPixels(f"{path}: {width} x {height} pixels; {limit}")
    if width * height == 0:
        raise ImageError(f"{path}: a picture of {width} x {height} pixels; get the file again")


def _check_tiff(path: Path, image: Image.Image) -> None:
    """Raw camera files are TIFF files whose first picture is a small preview of another one."""
    if int(image.getexif().get(_TIFF_SUBFILE, 0)) & 1:
        raise ImageError(
            f"{path}: the first picture of the TIFF is a preview (a raw camera file?); convert it to JPEG or PNG"
        )


def _frame_headers(path: Path, file: BinaryIO, found: str, max_pixels: int) -> list[FrameHeader]:
    """The frames of an animated file, counted one by one: no number in a header is trusted."""
    if found not in ("GIF", "PNG", "WebP"):
        return []
    headers = []
    for header in animation(file, found):
        _check_pixels(path, (header.right or 1, header.bottom or 1), max_pixels)
        headers.append(header)
        if len(headers) > MAX_IMAGE_FRAMES:
            raise ImageError(f"{path}: more than {MAX_IMAGE_FRAMES:,} frames; convert it to a video")
    return headers


def _shown_seconds(seconds: float) -> float:
    return seconds if seconds > _LONGEST_INSTANT else _INSTANT_SECONDS


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as shown, of a picture that is not decoded yet."""
    if image.format == "TIFF":  # Pillow turns these itself, and has their size upright
        return image.size
    if isinstance(image, PngImageFile):  # Pillow would decode it, to look for EXIF data behind the pixels
        exif = Image.Exif()
        with suppress(Exception):  # as in _orientation
            exif.load(image.info.get("exif", b""))
    else:
        exif = None
    return (image.height, image.width) if _orientation(image, exif) >= 5 else image.size


def _orientation(image: Image.Image, exif: Image.Exif | None = None) -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none or it cannot be read."""
    try:
        value = (image.getexif() if exif is None else exif).get(_EXIF_ORIENTATION, 1)
    except Exception:  # whatever Pillow makes of broken metadata: the picture itself is not concerned
        return 1
    return value if value in range(1, 9) else 1


def _iter_frames(path: Path, opened: _Opened, damage: list[str] | None) -> Iterator[tuple[float, np.ndarray]]:
    info, image = opened.info, opened.image
    for index in range(info.frames):
        try:
            with _decoding(path, info.format):
                image.seek(opened.first + index)
                picture = _pixels(image)
        except ImageError as error:
            note = f"damaged: {index} of {info.frames} frames could be read"
            if damage is None or index < MIN_SHARE * info.frames:
                raise ImageError(f"{path}: {note}; get the whole file") from error
            _note(damage, note)
            return
        yield opened.times[index] if opened.times[1:] else image.info["timestamp"] / 1000, picture


def _read_jpeg(path: Path, file: BinaryIO, damage: list[str] | None) -> np.ndarray:
    """A JPEG, also one whose end is missing: the rest is gray then, as viewers show it.

    Of a progressive file that ends after its first scans all rows are there, but not all of their detail.
    """
    file.seek(0)
    data = file.read()
    scans = jpeg_scans(data)
    if scans.number > MAX_JPEG_SCANS:
        raise ImageError(f"{path}: a JPEG of {scans.number} scans; convert it to PNG")
    with _decoding(path, "JPEG"):
        image = _open_lazily(io.BytesIO(data if scans.complete else data + b"\xff\xd9"), "JPEG")
        image.load()
    if not scans.complete:
        rows = _whole_rows(image)
        note = f"damaged: the file's end is missing; {rows} of {image.height} rows could be read"
        if damage is None or rows < MIN_SHARE * image.height:
            raise ImageError(f"{path}: {note}; get the whole file")
        _note(damage, note)
    with _decoding(path, "JPEG"):
        return _pixels(image)


def _whole_rows(image: Image.Image) -> int:
    """The number of rows above the part that the decoder made up for want of data.

    Blocks are stored row by row, from left to right: where one is missing, the last one of its row is missing too.
    """
    if image.mode not in ("RGB", "L"):
        return 0
    right = np.asarray(image.crop((image.width - 1, 0, image.width, image.height))).reshape(image.height, -1)
    known = np.flatnonzero((right != _MISSING).any(axis=1))
    rows = int(known[-1]) + 1 if known.size else 0
    if rows == image.height:
        return rows
    block = 8 * max(layer[2] for layer in image.layer)  # type: ignore[attr-defined]
    return rows // block * block


def _pixels(image: Image.Image) -> np.ndarray:
    """The picture as it is shown, (H, W, 3) uint8 RGB."""
    image.load()
    to_rgb = _rgb_converter(image)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _ROWS_AT_ONCE):  # converting all at once would hold the picture several times
        end = min(top + _ROWS_AT_ONCE, image.height)
        pixels[top:end] = np.asarray(to_rgb(image.crop((0, top, image.width, end))))
    return _upright(pixels, 1 if image.format == "TIFF" else _orientation(image))


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors a stored picture as its EXIF orientation says."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])


def _has_more(image: Image.Image) -> bool:
    """Whether there are pictures behind the one that was read."""
    try:
        image.seek(1)  # counting them would read a hostile file to its end
    except Exception:  # the picture is read; broken ones behind it do not concern it
        return False
    return True


def _note(notes: list[str], text: str) -> None:
    """Adds a sentence once, however often the file is read."""
    if text not in notes:
        notes.append(text)


def _rgb_converter(image: Image.Image) -> ToRgb:
    """How rows of the picture become RGB."""
    if image.mode in ("I", "F"):
        raise ValueError("32 bit samples have no known white; convert it to 8 or 16 bits")
    if image.mode.startswith("I;16"):
        return _sixteen_bit_converter(image)
    to_srgb = _srgb_converter(image)
    if image.has_transparency_data:
        return lambda rows: to_srgb(_on_white(rows.convert("RGBA")))
    return to_srgb


def _sixteen_bit_converter(image: Image.Image) -> ToRgb:
    tags = image.getexif() if image.format == "TIFF" else {}
    bits, white_is_zero = int(tags.get(_TIFF_BITS, 16)), tags.get(_TIFF_PHOTOMETRIC) == 0

    def convert(rows: Image.Image) -> Image.Image:
        gray = (np.asarray(rows).astype(np.uint16) >> (bits - 8)).astype(np.uint8)
        return Image.fromarray(255 - gray if white_is_zero else gray).convert("RGB")

    return convert


def _on_white(rows: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", rows.size, "white"), rows).convert("RGB")


def _srgb_converter(image: Image.Image) -> ToRgb:
    """Applies the embedded color profile, if there is one for these channels and it is not sRGB."""
    mode = "CMYK" if image.mode == "CMYK" else "RGB"
    profile = image.info.get("icc_profile")
    if profile and image.mode not in ("L", "LA", "1", "LAB"):
        try:
            transform = ImageCms.buildTransform(
                ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), mode, "RGB"
            )
        except (OSError, ImageCms.PyCMSError):  # broken, or for other channels: viewers leave it out, too
            transform = None
        if transform is not None and not (mode == "RGB" and _is_srgb(transform)):
            return lambda rows: transform.apply(rows.convert(mode))
    return lambda rows: rows.convert("RGB")


def _is_srgb(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a transform leaves colors as they are, but for rounding."""
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    after = np.asarray(transform.apply(Image.fromarray(colors)))
    return int(np.abs(after.astype(int) - colors).max()) <= _SRGB_TOLERANCE


@contextmanager
def _native_errors_logged() -> Iterator[None]:
    """Logs what libtiff writes straight to the process's standard error: Pillow leaves its error handler in place."""
    with _STDERR, tempfile.TemporaryFile() as caught:
        try:
            terminal = os.dup(_STDERR_FILENO)
        except OSError:  # closed: nothing is shown anyway
            yield
            return
        os.dup2(caught.fileno(), _STDERR_FILENO)
        try:
            yield
        finally:
            os.dup2(terminal, _STDERR_FILENO)
            os.close(terminal)
            caught.seek(0)
            if text := caught.read().decode("utf-8", "replace").strip():
                _LOG.info("libtiff: %s", text)


@contextmanager
def _decoding(path: Path, found: str) -> Iterator[None]:
    """Makes whatever a decoder raises for a broken file one ImageError, and keeps its warnings off the terminal."""
    quiet = _native_errors_logged if found == "TIFF" else nullcontext
    try:
        with warnings.catch_warnings(), quiet():
            warnings.simplefilter("ignore")
            yield
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too many pixels ({error}); make it smaller first") from error
    except Exception as error:  # each decoder has its own: OSError, SyntaxError, struct.error, RuntimeError, ...
        note = " ".join(str(error).split())
        raise ImageError(f"{path}: damaged or truncated {found} picture ({note}); get the file again") from error
