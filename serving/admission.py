"""How many uploads there may be at a time, together and from one address.

A place is taken before an upload is read, so that uploads cannot fill the disk. Where places run out, an upload that
arrives slowly makes way for a new one: whoever sends a byte now and then locks nobody out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Coroutine
from ipaddress import IPv6Address, ip_address, ip_network
from threading import Lock
from typing import Any, TypeVar

from starlette.types import Scope

Result = TypeVar("Result")

SLOW_AFTER = 3.0
"""Seconds that an upload is given before its rate counts."""
SLOW_RATE = 1 << 16
"""Bytes a second; uploads that arrive more slowly make way where places run out."""


class Full(Exception):
    """No place is left; the message says whether for anybody or for this address."""


class Displaced(Exception):
    """An upload arrived too slowly while others waited for its place."""


class Stopped(Exception):
    """An upload was still arriving when the server was stopped."""


class Admission:
    """Places for uploads.

    Args:
        most: places.
        most_each: places that one address may have.
    """

    def __init__(self, most: int, most_each: int) -> None:
        self.most = most
        self._most_each = most_each
        self._places: set[Place] = set()
        self._lock = Lock()

    def __len__(self) -> int:
        """How many places are taken."""
        return len(self._places)

    def enter(self, address: str = "") -> Place:
        """Take a place for an upload from an address. Raises Full."""
        with self._lock:
            own = [place for place in self._places if place.address == address]
            if len(own) >= self._most_each:
                self._displace(own, f"{len(own)} uploads from your address are in progress; try again later")
            elif len(self._places) >= self.most:
                self._displace(list(self._places), f"{self.most} uploads are in progress or wait; try again later")
            place = Place(self, address)
            self._places.add(place)
            return place

    def leave(self, place: Place) -> None:
        """Give a place back; again is no error."""
        with self._lock:
            self._places.discard(place)

    def stop(self) -> None:
        """End the uploads that are still arriving; in the thread of their event loop."""
        for place in list(self._places):
            place.end(Stopped("the server is being stopped"))

    def _displace(self, places: list[Place], reason: str) -> None:
        slow = [place for place in places if place.is_slow()]
        if not slow:
            raise Full(reason)
        oldest = min(slow, key=lambda place: place.began)
        self._places.discard(oldest)
        oldest.end(Displaced("the upload arrives too slowly while others wait; try again later"))


class Place:
    """A place for one upload from an address, taken at the time `began` (monotonic seconds)."""

    def __init__(self, admission: Admission, address: str) -> None:
        self.address = address
        self.began = time.monotonic()
        self._admission = admission
        self._bytes = 0
        self._arriving: asyncio.Future[Any] | None = None
        self._ended_by: Exception | None = None

    async def counted(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The chunks of the upload, whose bytes tell how fast it arrives."""
        async for chunk in chunks:
            self._bytes += len(chunk)
            yield chunk

    async def receive(self, upload: Coroutine[Any, Any, Result], seconds: float) -> Result:
        """Wait until an upload has arrived.

        Raises:
            Displaced: it was slow, and its place was needed.
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
        """Give the place back."""
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
