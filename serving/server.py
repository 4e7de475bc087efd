"""An HTTP server for applications that strangers may reach: request heads in time, and no more connections than files.

uvicorn with two things that it lacks. A connection without a request in progress (no head yet, or half of one, or a
body that goes on after the answer) is closed after HEAD_SECONDS; where connections run out, the one that has waited
longest makes way for a new one, so that half-sent requests lock nobody out.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

HEAD_SECONDS = 10
"""Seconds that a connection may stay without a complete request head."""
MOST_CONNECTIONS = 1000
_BACKLOG = 64
"""Connections that are accepted at once; each is a file before anything decides about it."""
_RESERVED_FILES = _BACKLOG + 96
"""Open files that are not counted as connections: those just accepted, uploads, pipes to decoders, libraries."""
GRACE_SECONDS = 10
"""Seconds that requests in progress are given once the server is stopped."""
HOUR = 3600


def bind(host: str, port: int) -> socket.socket:
    """Return a socket at the address, not listening yet.

    Raises:
        ValueError: the port is taken, or the address is not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        raise ValueError(f"cannot listen on {host}:{port}: {error}; choose another --port or --host") from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Return a bound socket's URL, without a path."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def most_connections() -> int:
    """How many connections the limit on open files leaves room for, at most MOST_CONNECTIONS."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_CONNECTIONS if files < 0 else max(8, min(MOST_CONNECTIONS, files - _RESERVED_FILES))


def listen(
    app: Any,
    listener: socket.socket,
    started: Callable[[], None],
    *,
    stopping: Callable[[], None] | None = None,
    tidy: Callable[[], None] | None = None,
    tidy_seconds: float = HOUR,
    grace_seconds: float = GRACE_SECONDS,
) -> None:
    """Serve the application until SIGTERM or Ctrl-C; then end what is in progress, within `grace_seconds`.

    Args:
        app: an ASGI application.
        listener: from `bind`.
        started: called when connections are accepted.
        stopping: called when the server has been stopped, before it waits for requests in progress.
        tidy: called at the start and every `tidy_seconds`, in a thread.
    """
    import uvicorn

    stopped: list[int] = []

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            self.should_exit = self.should_exit or bool(stopped)
            started()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            if stopping is not None:
                stopping()
            await super().shutdown(sockets)

    async def tidy_in_thread() -> None:
        if tidy is not None:
            try:
                await asyncio.to_thread(tidy)
            except OSError as error:
                log.warning("leftovers cannot be deleted: %s", error)

    config = uvicorn.Config(
        app,
        http=_timed_protocol(),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=grace_seconds,  # type: ignore[arg-type]
        callback_notify=tidy_in_thread,
        timeout_notify=tidy_seconds,  # type: ignore[arg-type]
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # The server raises the signal that has stopped it again: being stopped is how it ends well.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stopped.append(number))
    Server(config).run(sockets=[listener])


def _timed_protocol() -> type[asyncio.Protocol]:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class TimedProtocol(H11Protocol):
        """A connection that must send request heads in time."""

        _waiting_since = 0.0
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            if len(self.connections) >= most_connections() and not self._make_room():
                transport.abort()
                return
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self.stop_waiting()
            if self.transport is not None:
                super().connection_lost(exc)

        def _make_room(self) -> bool:
            """Close the connection that has waited longest for a request, if any does."""
            waiting = [one for one in self.connections if isinstance(one, TimedProtocol) and one._timer is not None]
            if not waiting:
                return False
            oldest = min(waiting, key=lambda one: one._waiting_since)
            oldest.stop_waiting()
            self.connections.discard(oldest)
            oldest.transport.abort()
            return True

        def _watch(self) -> None:
            """Start the time limit where no request is in progress, end it where one is."""
            if self.cycle is not None and not self.cycle.response_complete:
                self.stop_waiting()
            elif self._timer is None and not self.transport.is_closing():
                self._waiting_since = time.monotonic()
                self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

        def stop_waiting(self) -> None:
            """End the time limit."""
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return TimedProtocol
