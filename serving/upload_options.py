"""What the service and the page are asked for: who may ask them, and what one upload may be and take.

The fields of `UploadOptions` are options of both commands.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, fields
from typing import Annotated

from annotated_types import Ge, Gt
from typing_extensions import Doc

from deepfake.cli.options import Adds, add_options, values_of
from deepfake.media.video import ReadLimits

LOOPBACK = "127.0.0.1"

UPLOAD_MEMORY = 480 << 20
"""Bytes that reading one upload may take, more for more than the usual pixels; 4K with 10 bits takes some 440 MiB."""


@dataclass(frozen=True)
class UploadOptions:
    """What one upload may be and take."""

    max_size: Annotated[float, Gt(0), Doc("largest upload"), "MB"] = 200
    max_seconds: Annotated[float, Gt(0), Doc("maximum video length in seconds"), "S"] = 600
    # Twice 4K, or a picture of 16 megapixels (EXPERIMENTS.md on memory).
    max_pixels: Annotated[int, Ge(1), Doc("most pixels of an image or frame; memory grows with it")] = 2**24
    # Ten minutes at 240 frames a second.
    max_frames: Annotated[int, Ge(1), Doc("most frames of a video")] = 150_000
    timeout: Annotated[float, Gt(0), Doc("seconds to score an upload in"), "S"] = 300

    @property
    def most_bytes(self) -> int:
        """The size of the largest upload."""
        return int(self.max_size * (1 << 20))

    def limits(self) -> ReadLimits:
        """Return what reading an upload may take: no more time than scoring it may, too."""
        memory = int(UPLOAD_MEMORY * max(1.0, self.max_pixels / UploadOptions.max_pixels))
        return ReadLimits(self.max_pixels, self.max_frames, self.timeout, memory)


def add_upload_options(add: Adds) -> None:
    """Add the fields of `UploadOptions`, for `chosen_uploads`."""
    add_options(add, UploadOptions, [field.name for field in fields(UploadOptions)])


def chosen_uploads(args: Namespace) -> UploadOptions:
    """Return what one upload may be and take, by the options of `add_upload_options`."""
    return UploadOptions(**values_of(UploadOptions, args))


def add_host(add: Adds) -> None:
    """Add `--host` and `--allow-host` of a server: this machine only, unless said otherwise."""
    add("--host", default=LOOPBACK, help="address to listen on (default: %(default)s; 0.0.0.0 lets everybody in)")
    add(
        "--allow-host",
        nargs="+",
        default=[],
        metavar="NAME",
        help="names under which it may be asked, as browsers send them in Host and Origin (default: on this machine "
        "only localhost, 127.0.0.1 and [::1] with the port; elsewhere any)",
    )
