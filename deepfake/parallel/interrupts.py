"""Ctrl-C ends a program in one line, from its first import on. Every program imports this module before heavy ones.

Python's own handler raises KeyboardInterrupt wherever the program is. In the middle of an import that is a stack trace
of other people's code, or the end of the process by abort() where C++ does not expect it; and a second Ctrl-C while the
program cleans up after the first is another trace.

Like `deepfake.parallel.idle_threads` this module acts when it is imported, and only where a program of ours runs:
notebooks and tests keep Python's handler.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

MESSAGE = "interrupted; run the same command again to continue\n"
EXIT_INTERRUPTED = 130
"""As shells count it."""

SAME_PRESS_SECONDS = 0.5
"""A terminal gives Ctrl-C to all its processes; what has started one may hand it on as well."""

_STDERR = 2
_IMPORTERS = ("importlib._bootstrap", "_frozen_importlib")
_PROJECT = Path(__file__).resolve().parents[2]


class Interrupt:
    """Handle SIGINT: the first one raises KeyboardInterrupt, a later one ends the process at once."""

    def __init__(self) -> None:
        self._first: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None and not is_importing(frame):
            self._first = now
            raise KeyboardInterrupt
        if self._first is None or now - self._first >= SAME_PRESS_SECONDS:
            os.write(_STDERR, MESSAGE.encode())
            os._exit(EXIT_INTERRUPTED)


def install() -> None:
    """Handle SIGINT in this process, also where it was started to ignore it."""
    signal.signal(signal.SIGINT, Interrupt())


def is_importing(frame: FrameType | None) -> bool:
    """Return whether code that is being imported runs: nothing has begun that would have to be cleaned up."""
    while frame is not None:
        if frame.f_globals.get("__name__") in _IMPORTERS:
            return True
        frame = frame.f_back
    return False


def _is_program() -> bool:
    """Return whether this process runs a program of this project."""
    file = Path(getattr(sys.modules.get("__main__"), "__file__", None) or os.devnull).resolve()
    ours = file.suffix == ".py" and _PROJECT in file.parents and "site-packages" not in file.parts
    return ours and multiprocessing.parent_process() is None


if (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    and _is_program()
):
    install()
