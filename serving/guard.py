"""Checks in front of an application: under which names and from which pages it may be asked; headers of its answers.

A page on another site may send forms to a server on this machine, and may read its answers if its own name is made to
point here (DNS rebinding). Both show in the headers `Origin` and `Host`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?")
_ORIGIN = re.compile(r"https?://(.+)")
_DEFAULT_PORT = 80

_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}
CSP = b"content-security-policy"


class AllowedHosts:
    """The names under which a server may be asked.

    Args:
        listener: the socket that it listens on. On loopback, `localhost`, `127.0.0.1` and `[::1]` with its port are
            allowed, elsewhere every name unless `names` are given.
        names: further names, with any port.
    """

    def __init__(self, listener: socket.socket, names: Sequence[str] = ()) -> None:
        address, self._port = listener.getsockname()[:2]
        self._own = LOOPBACK_NAMES | {f"[{address}]" if ":" in address else address}
        self._names = {name.lower() for name in names}
        self._is_open = not self._names and not is_loopback(listener)

    def allows(self, host: str) -> bool:
        """Whether a request's `Host` header is acceptable."""
        matched = _HOST.fullmatch(host.lower())
        if matched is None:
            return False
        name, port = matched[1], int(matched[2] or _DEFAULT_PORT)
        return self._is_open or name in self._names or (name in self._own and port == self._port)

    def allows_origin(self, origin: str, host: str) -> bool:
        """Whether a request to `host` may come from a page of `origin`: one of this server's own."""
        matched = _ORIGIN.fullmatch(origin.lower())
        if matched is None:
            return False
        return matched[1] == host.lower() or (not self._is_open and self.allows(matched[1]))


class Guard:
    """Middleware: refuses requests under other names or from other sites, and adds headers to all answers.

    A request that is cancelled because the server stops is answered with 503.

    Args:
        policy: the Content-Security-Policy of all answers.
    """

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, policy: str) -> None:
        self._app, self._hosts = app, hosts
        self._headers = {**_HEADERS, CSP: policy.encode("ascii")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        if scope["type"] != "http":
            return
        started = False

        async def guarded_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                others = [pair for pair in message.get("headers", ()) if pair[0].lower() not in self._headers]
                message = {**message, "headers": [*others, *self._headers.items()]}
            await send(message)

        refusal = self._refusal(Headers(scope=scope))
        if refusal is not None:
            log.warning("%s %r refused: %s", scope["method"], scope["path"][:100], refusal)
            await answer(guarded_send, 403, refusal)
            return
        try:
            await self._app(scope, receive, guarded_send)
        except asyncio.CancelledError:
            if not started:
                await answer(guarded_send, 503, "the server is being stopped")

    def _refusal(self, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._hosts.allows(host):
            return "the Host header names another server; --allow-host NAME allows a name"
        if origin is not None and not self._hosts.allows_origin(origin, host):
            return "the request comes from another site's page; --allow-host NAME allows a name"
        return None


async def answer(send: Send, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
    """Send a response in JSON with the reason as `detail`, as the service's other refusals have it."""
    body = json.dumps({"detail": reason}).encode()
    given = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in given.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def is_loopback(listener: socket.socket) -> bool:
    """Whether a socket is bound to an address that this machine alone reaches."""
    return ip_address(listener.getsockname()[0].split("%")[0]).is_loopback
