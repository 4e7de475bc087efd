"""The options that raise the limits of reading one video: the same for every program that decodes videos."""

from __future__ import annotations

from argparse import Namespace

from deepfake.cli.options import Adds, add_options, values_of
from deepfake.media.video import LIMITS, ReadLimits

_PREFIX = "max_"
_RAISED = ("pixels", "frames", "seconds")


def add_limits(add: Adds) -> None:
    """Add `--max-pixels`, `--max-frames` and `--max-seconds`, for `chosen_limits`."""
    add_options(add, ReadLimits, _RAISED, prefix=_PREFIX)


def chosen_limits(args: Namespace) -> ReadLimits:
    """Return what reading one video may take, by the options of `add_limits`."""
    return ReadLimits(**values_of(ReadLimits, args, _PREFIX), has_options=True)


def limit_arguments(args: Namespace) -> list[str]:
    """Return the options of `add_limits` that give the same limits; none where they are the usual ones."""
    given = values_of(ReadLimits, args, _PREFIX)
    changed = {name: value for name, value in given.items() if value != getattr(LIMITS, name)}
    return [word for name, value in changed.items() for word in (f"--max-{name}", str(value))]
