"""The options that raise the limits of reading one video: the same for every program that decodes videos."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deepfake.cli.commandline import positive_float, positive_int
from deepfake.media.video import LIMITS, ReadLimits


def add_limits(add: Callable[..., object]) -> None:
    """Add `--max-pixels`, `--max-frames` and `--max-seconds`, for `chosen_limits`; `add` is `parser.add_argument`."""
    default = "(default: %(default)s)"
    add("--max-pixels", type=positive_int, default=LIMITS.pixels, metavar="N", help=f"of a frame {default}")
    add("--max-frames", type=positive_int, default=LIMITS.frames, metavar="N", help=f"of a video {default}")
    add("--max-seconds", type=positive_float, default=LIMITS.seconds, metavar="S", help=f"to read a video in {default}")


def chosen_limits(args: Any) -> ReadLimits:
    """Return what reading one video may take, by the options of `add_limits`."""
    return ReadLimits(args.max_pixels, args.max_frames, args.max_seconds, has_options=True)


def limit_arguments(args: Any) -> list[str]:
    """Return the options of `add_limits` that give the same limits; none where they are the usual ones."""
    usual = {"pixels": LIMITS.pixels, "frames": LIMITS.frames, "seconds": LIMITS.seconds}
    given = {name: getattr(args, f"max_{name}") for name in usual}
    return [word for name in usual if given[name] != usual[name] for word in (f"--max-{name}", str(given[name]))]
