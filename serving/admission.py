"""How many uploads there may be at a time, together and from one address.

A slot is taken before an upload is read, so that uploads cannot fill the disk. Where slots run out, an upload that
arrives slowly makes way for a new one: whoever sends a byte now and then locks nobody out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from ipaddress import IPv6Address, ip_address, ip_network
from threading import Lock
from typing import Any, TypeVar

from starlette.types import Scope

Result = TypeVar("Result")

SLOW_AFTER = 3.0
"""Seconds that an upload is given before its rate counts."""
SLOW_RATE = 1 << 16
"""Bytes a second; uploads that arrive more slowly make way where slots run out."""


class Full(Exception):
    """No slot is left; the message says whether for anybody or for this address."""


class Displaced(Exception):
    """An upload arrived too slowly while others waited for its slot."""


class Stopped(Exception):
    """An upload was still arriving when the server was stopped."""


class Admission:
    """Slots for uploads.

    Args:
        most: slots.
        most_each: slots that one address may have.
    """

    def __init__(self, most: int, most_each: int) -> None:
        self.most = most
        self._most_each = most_each
        self._slots: set[Slot] = set()
        self._lock = Lock()

    def __len__(self) -> int:
        """How many slots are taken."""
        return len(self._slots)

    def enter(self, address: str = "") -> Slot:
        """Take a slot for an upload from an address. Raises Full."""
        with self._lock:
            own = [slot for slot in self._slots if slot.address == address]
            if len(own) >= self._most_each:
                self._displace(own, f"{len(own)} uploads from your address are in progress; try again later")
            elif len(self._slots) >= self.most:
                self._displace(list(self._slots), f"{self.most} uploads are in progress or wait; try again later")
            slot = Slot(self, address)
            self._slots.add(slot)
            return slot

    def leave(self, slot: Slot) -> None:
        """Give a slot back; again is no error."""
        with self._lock:
            self._slots.discard(slot)

    def stop(self) -> None:
        """End the uploads that are still arriving; in the thread of their event loop."""
        for slot in list(self._slots):
            slot.end(Stopped("the server is being stopped"))

    def _displace(self, slots: list[Slot], reason: str) -> None:
        slow = [slot for slot in slots if slot.is_slow()]
        if not slow:
            raise Full(reason)
        oldest = min(slow, key=lambda slot: slot.began)
        self._slots.discard(oldest)
        oldest.end(Displaced("the upload arrives too slowly while others wait; try again later"))


class Slot:
    """A slot for one upload from an address, taken at the time `began` (monotonic seconds)."""

    def __init__(self, admission: Admission, address: str) -> None:
        self.address = address
        self.began = time.monotonic()
        self._admission = admission
        self._bytes = 0
        self._arriving: asyncio.Future[Any] | None = None
        self._ended_by: Exception | None = None

    def count(self, size: int) -> None:
        """Count bytes that have arrived; they show how fast the upload is."""
        self._bytes += size

    async def wait(self, upload: Coroutine[Any, Any, Result], seconds: float) -> Result:
        """Wait until an upload has arrived.

        Raises:
            Displaced: it was slow, and its slot was needed.
            Stopped: the server is being stopped.
            asyncio.TimeoutError: it took more than `seconds`.
        """
        self._arriving = asyncio.ensure_future(upload)
        try:
            return await asyncio.wait_for(self._arriving, seconds)
        except asyncio.CancelledError as error:
            if self._ended_by is not None:
                raise self._ended_by from error
            raise
        finally:
            self._arriving = None

    def is_slow(self) -> bool:
        """Whether the upload is arriving, and slowly."""
        seconds = time.monotonic() - self.began
        return self._arriving is not None and seconds > SLOW_AFTER and self._bytes < SLOW_RATE * seconds

    def end(self, error: Exception) -> None:
        """End the arrival, if it is going on, with an error; in the thread of its event loop."""
        if self._arriving is not None:
            self._ended_by = error
            self._arriving.cancel()

    def leave(self) -> None:
        """Give the slot back."""
        self._admission.leave(self)


def client_address(scope: Scope) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 network of an IPv6 one."""
    client = scope.get("client")
    if client is None:
        return ""
    try:
        address = ip_address(client[0].split("%")[0])
    except ValueError:
        return str(client[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((address, 64), strict=False))
    return str(address)
