"""The page as an application: gradio behind a list of the paths that its page needs, uploads read by our own parser.

gradio offers much that this page does not use: other ways to call its functions, a proxy, files behind URLs. What is
not listed here is not found, and what is posted is checked before gradio sees it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.arrival import Refused
from serving.guard import answer
from serving.page_uploads import PageUploads

log = logging.getLogger(__name__)

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of all answers: gradio has scripts and styles in its HTML and evaluates templates."""

_API = "/gradio_api"
_UPLOAD, _JOIN = f"{_API}/upload", f"{_API}/queue/join"
_PROGRESS = f"{_API}/upload_progress"
_POSTS = {_JOIN, f"{_API}/cancel", f"{_API}/reset"}
_GETS = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json)|/(static|assets)/.*"
    rf"|{_API}/(info|app_id|startup-events|theme\.css|heartbeat/[^/]+|queue/data)"
)
_FILE = f"{_API}/file="
MOST_BODY = 1 << 16
"""Bytes of what a page posts, uploads aside."""
BODY_SECONDS = 20.0


class PageApp:
    """The application.

    Args:
        gradio: the application that gradio made of the page.
        uploads: where files go.
        folder: the one whose files the page shows, uploads among them.
        check: of what is asked of the page's functions.
    """

    def __init__(self, gradio: ASGIApp, uploads: PageUploads, folder: Path, check: JoinCheck) -> None:
        self._gradio, self._uploads, self._folder, self._check = gradio, uploads, folder, check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._gradio(scope, receive, send)
        if scope["type"] != "http":
            return
        try:
            if scope["method"] == "POST":
                await self._post(scope, receive, send)
            elif scope["path"] == _PROGRESS:
                await Response('data: {"msg": "done"}\n\n', media_type="text/event-stream")(scope, receive, send)
            elif scope["method"] in ("GET", "HEAD") and self._may_get(scope["path"]):
                await self._gradio(scope, receive, send)
            else:
                raise Refused(404, "there is nothing here")
        except Refused as error:
            log.info("%s %r: %d %s", scope["method"], scope["path"][:100], error.status, error.reason)
            await answer(send, error.status, error.reason, error.headers)
        except ClientDisconnect:
            log.info("%s %r: the client has left", scope["method"], scope["path"][:100])

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == _UPLOAD:
            file = await self._uploads.take(Request(scope, receive))
            await JSONResponse([str(file)])(scope, receive, send)
            return
        if path not in _POSTS:
            raise Refused(404, "there is nothing here")
        body = await _read(Request(scope, receive))
        if path == _JOIN:
            self._check(_object(body), self._is_file)
        await self._gradio(scope, _replay(body, receive), send)

    def _may_get(self, path: str) -> bool:
        if path.startswith(_FILE):
            return self._is_file(path.removeprefix(_FILE))
        return _GETS.fullmatch(path.removesuffix("/") or "/") is not None

    def _is_file(self, path: str) -> bool:
        """Whether a path is that of an upload, an example, or a picture of one."""
        file = Path(path)
        return ".." not in file.parts and file.is_relative_to(self._folder) and file.is_file()


class JoinCheck:
    """What a page may ask: of the function `judge` an upload and an ensemble, of the gallery one of its examples.

    Args:
        functions: number -> (name, number of inputs) of the page's functions.
        ensembles: their names.
        examples: how many.
    """

    def __init__(self, functions: Mapping[int, tuple[str, int]], ensembles: Sequence[str], examples: int) -> None:
        self._functions, self._ensembles, self._examples = functions, ensembles, examples

    def __call__(self, asked: Mapping[str, Any], is_file: Callable[[str], bool]) -> None:
        """Raise Refused unless the request is one that the page makes, of a file for which `is_file(path)` holds."""
        number = asked.get("fn_index")
        if isinstance(number, bool) or not isinstance(number, int) or number not in self._functions:
            raise Refused(400, "fn_index: no such function")
        name, inputs = self._functions[number]
        data = asked.get("data")
        if not isinstance(data, list) or len(data) != inputs:
            raise Refused(400, f"data: expected a list of {inputs}")
        if name == JUDGE:
            file, ensemble = data
            if file is not None and not (_path_of(file) and is_file(_path_of(file))):
                raise Refused(400, "data: no such upload; it may have been deleted")
            if not isinstance(ensemble, str) or ensemble not in self._ensembles:
                raise Refused(400, "data: no such ensemble")
        elif not self._is_choice(asked.get("event_data")):
            raise Refused(400, "event_data: no such example")

    def _is_choice(self, event: Any) -> bool:
        index = event.get("index") if isinstance(event, dict) else None
        return isinstance(index, int) and not isinstance(index, bool) and 0 <= index < self._examples


JUDGE = "judge"
"""The name of the function that scores an upload."""


def _path_of(file: Any) -> str:
    path = file.get("path") if isinstance(file, dict) else None
    return path if isinstance(path, str) and "\0" not in path else ""


async def _read(request: Request) -> bytes:
    async def read() -> bytes:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY:
                raise Refused(413, f"more than {MOST_BODY >> 10} KB")
        return body

    try:
        return await asyncio.wait_for(read(), BODY_SECONDS)
    except asyncio.TimeoutError as error:
        raise Refused(408, f"the request did not arrive within {BODY_SECONDS:g} seconds") from error


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "expected JSON") from error
    if not isinstance(value, dict):
        raise Refused(400, "expected a JSON object")
    return value


def _replay(body: bytes, receive: Receive) -> Receive:
    """What gives a body that has been read once more, and then what comes after it."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
