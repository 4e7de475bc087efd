"""Stopping on request (SIGTERM: pre-emption, the end of a time limit) without losing what was learned."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Stopped(BaseException):
    """SIGTERM has ended training; what continuing needs is saved. No `Exception`: nothing on the way may swallow it."""


class StopRequest:
    """Whether SIGTERM has come. Between `with` and its end the signal only sets `asked`, except while waiting.

    In a thread other than the main one, which cannot receive signals, nobody asks.
    """

    def __init__(self) -> None:
        self.asked = False
        self._waiting = False
        self._before: Any = None

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """What is done inside may be dropped at any place: the first SIGTERM raises Stopped there."""
        self._waiting = True
        try:
            if self.asked:
                raise Stopped
            yield
        finally:
            self._waiting = False

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        first, self.asked = not self.asked, True
        if first and self._waiting:
            raise Stopped
