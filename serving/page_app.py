"""The page as an application: gradio behind a list of the paths that its page needs, uploads read as the service does.

gradio offers much that this page does not use: other ways to call its functions, a proxy, files behind URLs. What is
not listed here is not found, and what is posted is checked before gradio sees it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.admission import Admission, client_address
from serving.guard import answer
from serving.uploads import Refused, enter, receive

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

UPLOAD_FIELD = "files"
"""The form's field in which gradio's page sends a file."""
MOST_ARRIVING, MOST_ARRIVING_EACH = 16, 3
"""Uploads at a time, together and from one address."""
MOST_KEPT, MOST_KEPT_EACH = 100, 8
"""Uploads that are kept, together and from one address. An address's oldest one makes way for its next."""
_ODD = re.compile(r"[^\w .()+,=@#-]")
_MOST_NAME_BYTES = 120


class PageApp:
    """The application in front of gradio's.

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


class PageUploads:
    """The page's uploads, in a folder of their own: kept until they are deleted, few of one address.

    Args:
        folder: where they lie; below the folder that gradio reads files from.
        max_bytes: of an upload.
        timeout: seconds that one may take to arrive.
    """

    def __init__(self, folder: Path, max_bytes: int, timeout: float) -> None:
        folder.mkdir(parents=True)
        self._folder, self.max_bytes, self._timeout = folder, max_bytes, timeout
        self._admission = Admission(MOST_ARRIVING, MOST_ARRIVING_EACH)
        self._kept: dict[Path, str] = {}

    async def take(self, request: Request) -> Path:
        """Read a request's upload and return where it lies. Raises Refused."""
        self._kept = {path: address for path, address in self._kept.items() if path.is_file()}
        if len(self._kept) >= MOST_KEPT:
            raise Refused(429, "too many uploads are kept; try again later")
        slot = enter(self._admission, request)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        file: Path | None = None
        try:
            upload = await receive(request, slot, folder / "upload", self.max_bytes, self._timeout, UPLOAD_FIELD)
            file = upload.file.rename(folder / safe_name(upload.name))
        finally:
            slot.leave()
            if file is None:
                shutil.rmtree(folder, ignore_errors=True)
        self._keep(file, client_address(request.scope))
        return file

    def stop(self) -> None:
        """End the uploads that are still arriving."""
        self._admission.stop()

    def _keep(self, file: Path, address: str) -> None:
        own = [path for path, owner in self._kept.items() if owner == address]
        for path in own[: max(0, len(own) + 1 - MOST_KEPT_EACH)]:
            del self._kept[path]
            shutil.rmtree(path.parent, ignore_errors=True)
        self._kept[file] = address


class JoinCheck:
    """Checks what a page asks: of the function `judge` an upload and an ensemble, of the gallery one of its examples.

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


def safe_name(name: str) -> str:
    """Return a file's name without folders, without signs that have a meaning elsewhere, and of a bounded length."""
    plain = _ODD.sub("_", name.replace("\\", "/").rsplit("/", 1)[-1]).strip(" .") or "upload"
    path = Path(plain)
    room = _MOST_NAME_BYTES - len(path.suffix.encode())
    if room < 1:
        return plain.encode()[:_MOST_NAME_BYTES].decode(errors="ignore")
    return path.stem.encode()[:room].decode(errors="ignore") + path.suffix


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
    """Return what receives a body that has been read once more, and then what comes after it."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
