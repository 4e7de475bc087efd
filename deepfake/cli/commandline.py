"""What all commands share: exit codes, how a user's error ends (one line, no stack trace), a type of argument."""

from __future__ import annotations

from deepfake.parallel.interrupts import EXIT_INTERRUPTED, MESSAGE

import math
from collections.abc import Callable

from deepfake.storage.disk_full import OutOfSpace
from deepfake.storage.names import printable

EXIT_DIVERGED = 1
"""Training gave no numbers any more."""

EXIT_USAGE = 2
"""The command, its input or the disk cannot be used."""

EXIT_SOME_FAILED = 3
"""Complete, but some videos failed."""


def run_guarded(main: Callable[[], int], tell: Callable[[str], object]) -> int:
    """Runs a command's main and returns its exit code; ends a user's error in one line, written by `tell`.

    Errors that are no user's (anything but ValueError, OSError and Ctrl-C) pass through.
    """
    try:
        return main()
    except KeyboardInterrupt:
        tell(MESSAGE)
        return EXIT_INTERRUPTED
    except OutOfSpace as error:
        tell(f"error: {printable(str(error))}; free some space and run the same command again to continue\n")
        return EXIT_USAGE
    except (ValueError, OSError) as error:
        tell(f"error: {printable(str(error))}\n")
        return EXIT_USAGE


def index_int(text: str) -> int:
    """An argument's type: a whole number from 0. Raises ValueError."""
    value = int(text)
    if value < 0:
        raise ValueError(f"{value}: expected 0 or more")
    return value


def positive_int(text: str) -> int:
    """An argument's type: a whole number from 1. Raises ValueError."""
    value = int(text)
    if value < 1:
        raise ValueError(f"{value}: expected 1 or more")
    return value


def positive_float(text: str) -> float:
    """An argument's type: a finite number above 0. Raises ValueError."""
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(f"{value}: expected more than 0")
    return value
