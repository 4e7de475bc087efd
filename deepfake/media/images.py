"""Pictures as networks want them: isotropic resize, center pad, normalize; and reading and writing picture files.

Arrays are (H, W, 3) uint8 in RGB order everywhere but in the file functions, which convert.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import cv2
import numpy as np
from annotated_types import Interval

from deepfake.media.image_headers import MAX_IMAGE_PIXELS, header_size

JPEG_QUALITY = 95
WEBP_QUALITY = 95
PNG_OPTIONS = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_FILTERED),
]
"""One row filter and the fastest level: faster than OpenCV's default, and smaller on face crops (EXPERIMENTS.md)."""


_Mean = Annotated[float, Interval(ge=-10, le=10)]
_Std = Annotated[float, Interval(ge=1e-3, le=100)]
"""A smaller divisor would make numbers that no network was trained on; 1/255 is in use."""


@dataclass(frozen=True)
class Normalization:
    """Per-channel mean and standard deviation, RGB, of pictures in 0..1."""

    mean: tuple[_Mean, _Mean, _Mean]
    std: tuple[_Std, _Std, _Std]


IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SYMMETRIC = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""To -1..1 (second place's Xception)."""
SECOND_PLACE = Normalization((0.4479, 0.3744, 0.3473), (0.2537, 0.2502, 0.2424))
"""Of second place's aligned faces (its WS-DAN)."""


class ImageError(ValueError):
    """A picture file cannot be read or written."""


def isotropic_resize(image: np.ndarray, size: int, down: int = cv2.INTER_AREA, up: int = cv2.INTER_CUBIC) -> np.ndarray:
    """Resizes so that the longer side is `size`, the shorter one truncated (first place's prediction)."""
    height, width = image.shape[:2]
    if max(height, width) == size:
        return image
    resized = isotropic_size(height, width, size)
    return cv2.resize(image, resized[::-1], interpolation=up if max(height, width) < size else down)


def center_pad(image: np.ndarray, size: int) -> np.ndarray:
    """Puts a picture of at most `size` a side on the center of a black (size, size) square."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    square = np.zeros((size, size, *image.shape[2:]), image.dtype)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = image
    return square


def fit_square(image: np.ndarray, size: int) -> np.ndarray:
    """`isotropic_resize`, then `center_pad`: what a network of input `size` is given for a crop."""
    return center_pad(isotropic_resize(image, size), size)


def fitted_part(square: np.ndarray, height: int, width: int) -> np.ndarray:
    """The part of a (size, size, ...) square that `fit_square` fills with a picture of this size: a view."""
    size = square.shape[0]
    inner_height, inner_width = isotropic_size(height, width, size)
    top, left = (size - inner_height) // 2, (size - inner_width) // 2
    return square[top : top + inner_height, left : left + inner_width]


def isotropic_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width of a picture whose longer side has become `size`."""
    longer = max(height, width)
    if longer == size:
        return height, width
    scale = size / longer
    new = (int(height * scale), size) if width > height else (size, int(width * scale))
    return max(new[0], 1), max(new[1], 1)


def open_regular(path: Path, max_bytes: int | None = None) -> BinaryIO:
    """Open a file for reading, if it is a regular one: opening a pipe or a device could wait for ever.

    Raises:
        ImageError: missing, empty, no regular file, larger than `max_bytes`, or not to be read.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ImageError(f"{path}: cannot be read: not a regular file (a folder, pipe or device)")
        if facts.st_size == 0:
            raise ImageError(f"{path}: the file is empty")
        if max_bytes is not None and facts.st_size > max_bytes:
            raise ImageError(f"{path}: {facts.st_size:,} bytes; pictures of at most {max_bytes:,} are read")
        return path.open("rb")
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error


def read_image(path: Path) -> np.ndarray:
    """Read a crop (PNG, JPEG or WebP) as RGB. `deepfake.media.image_files` reads the pictures that people have.

    Raises:
        ImageError: missing, no such picture, or more than `MAX_IMAGE_PIXELS`.
    """
    return decode_image(_read(path), str(path))


def read_gray(path: Path) -> np.ndarray:
    """Read a mask or crop (PNG, JPEG or WebP) as (H, W) gray.

    Raises:
        ImageError: missing, no such picture, or more than `MAX_IMAGE_PIXELS`.
    """
    return decode_gray(_read(path), str(path))


def decode_image(data: bytes | np.ndarray, source: str) -> np.ndarray:
    """Decode the bytes of a PNG, JPEG or WebP file to RGB; `source` names it in errors.

    Raises:
        ImageError: no such picture, or more than `MAX_IMAGE_PIXELS`.
    """
    return cv2.cvtColor(_decode(data, cv2.IMREAD_COLOR, source), cv2.COLOR_BGR2RGB)


def decode_gray(data: bytes | np.ndarray, source: str) -> np.ndarray:
    """Decode the bytes of a PNG, JPEG or WebP file to (H, W) gray; `source` and errors as for `decode_image`."""
    return _decode(data, cv2.IMREAD_GRAYSCALE, source)


def _read(path: Path) -> bytes:
    # imdecode on bytes rather than imread: names in any alphabet work on every system.
    with open_regular(path) as file:
        try:
            return file.read()
        except OSError as error:
            raise ImageError(f"{path}: cannot be read: {error.strerror}") from error


def _decode(data: bytes | np.ndarray, flag: int, source: str) -> np.ndarray:
    data = bytes(data)
    size = header_size(data)
    if size is None:
        raise ImageError(f"{source}: not a picture, or truncated")
    if size[0] * size[1] > MAX_IMAGE_PIXELS:
        raise ImageError(f"{source}: {size[0]} x {size[1]} pixels; at most {MAX_IMAGE_PIXELS:,} are read")
    logging = cv2.utils.logging
    level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # it would print lines of its sources for a damaged file
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise ImageError(f"{source}: not a picture, or truncated ({error.err})") from error
    finally:
        logging.setLogLevel(level)
    if image is None:
        raise ImageError(f"{source}: not a picture, or truncated")
    return image


def encode_image(image: np.ndarray, suffix: str) -> bytes:
    """The bytes of a .png, .jpg or .webp file of an RGB or gray picture.

    Raises:
        ImageError: an unknown format, an empty picture, or one too large for the format.
    """
    options = {
        ".png": PNG_OPTIONS,
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY],
        ".webp": [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY],
    }
    if suffix not in options:
        raise ImageError(f"picture format {suffix!r} unknown; expected one of {', '.join(options)}")
    try:
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
        done, data = cv2.imencode(suffix, bgr, options[suffix])
    except cv2.error as error:
        raise ImageError(f"a picture of shape {image.shape} cannot be written as {suffix}: {error.err}") from error
    if not done:
        raise ImageError(f"a picture of shape {image.shape} cannot be written as {suffix}")
    return data.tobytes()


def as_written(image: np.ndarray, data: bytes, suffix: str) -> np.ndarray:
    """An RGB picture as reading the file gives it back that `encode_image` made."""
    if suffix == ".png":  # nothing is lost
        return image
    return decode_image(data, f"a picture just encoded as {suffix}")


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes an RGB or gray picture in the format its suffix names. Callers make it atomic."""
    path.write_bytes(encode_image(image, path.suffix))
