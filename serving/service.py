"""The service as a FastAPI application: POST /predict, GET /health, GET /metrics, and a page about them."""

from __future__ import annotations

import asyncio
import hmac
import logging
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepfake.parallel.pool import Cancelled, IsCancelled
from serving.analyzer import Analysis, Analyzer, TooLong, Unsuitable
from serving.docs_page import render_api
from serving.metrics import CONTENT_TYPE, ServiceMetrics
from serving.upload_queue import Ticket, WorkQueue
from serving.uploads import CLIENT_LEFT, FIELD, Refused, Upload, enter, receive

log = logging.getLogger(__name__)

TITLE = "Deepfake detection"
DISCONNECT_CHECK = 0.5
"""Seconds between checks whether the client is still connected."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The Content-Security-Policy of all answers: /docs has styles of its own and nothing else."""

PREDICT, HEALTH, METRICS, DOCS, OPENAPI = "/predict", "/health", "/metrics", "/docs", "/openapi.json"

_REFUSALS = {
    400: "The request is no form with one upload in it.",
    401: "The token is missing or wrong (services that have one).",
    408: "The upload did not arrive in time.",
    413: "The upload is too large.",
    415: "The upload is neither a video nor a picture that can be decoded.",
    422: "The video is too long.",
    403: "The request names another server, or comes from another site's page.",
    429: "Too many uploads wait already, together or from this address; Retry-After says when to try again.",
    504: "The result did not come in time.",
    507: "The disk for uploads is full.",
}

_PREDICT_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "properties": {
                    FIELD: {
                        "type": "string",
                        "format": "binary",
                        "description": "A video or a picture, of any name.",
                    }
                },
            }
        }
    },
}


@dataclass(frozen=True)
class Limits:
    """What the service takes.

    Attributes:
        max_bytes: of an upload.
        timeout: seconds that an upload may take to arrive, and again its result, waiting included.
        waiting: uploads that may wait beside the one that is worked on.
        most_each: uploads of one address at a time.
    """

    max_bytes: int
    timeout: float
    waiting: int
    most_each: int


class Service:
    """What the operations share: the ensemble, the queue, limits and metrics.

    Args:
        analyzer: the ensemble.
        folder: where uploads lie while they are needed.
    """

    def __init__(self, analyzer: Analyzer, limits: Limits, folder: Path) -> None:
        def analyze(upload: Upload, is_cancelled: IsCancelled) -> Analysis:
            return analyzer.analyze(upload.file, upload.name, is_cancelled)

        self.models = analyzer.models
        self.queue: WorkQueue[Upload, Analysis] = WorkQueue(analyze, limits.waiting, limits.most_each)
        self.metrics = ServiceMetrics(lambda: len(self.queue))
        self._limits = limits
        self._folder = folder

    async def predict(self, request: Request) -> Analysis:
        """Read a request's upload and wait for its analysis. Raises Refused."""
        ticket = self.queue.hold(enter(self.queue.admission, request))
        try:
            upload = await self._receive(request, ticket)
            analysis = await self._result(request, ticket.submit(upload))
        finally:
            ticket.leave()
        self.metrics.count_result(analysis.result)
        return analysis

    async def _receive(self, request: Request, ticket: Ticket[Upload, Analysis]) -> Upload:
        folder = Path(ticket.cleanup.enter_context(tempfile.TemporaryDirectory(dir=self._folder)))
        return await receive(request, ticket.slot, folder / "upload", self._limits.max_bytes, self._limits.timeout)

    async def _result(self, request: Request, future: Future[Analysis]) -> Analysis:
        result = asyncio.wrap_future(future)
        try:
            await self._wait(request, result)
            return result.result()
        except Unsuitable as error:
            raise Refused(415, str(error)) from error
        except TooLong as error:
            raise Refused(422, str(error)) from error
        except (Cancelled, asyncio.CancelledError) as error:  # the queue was closed
            raise Refused(503, "the service is being stopped") from error
        finally:
            result.cancel()  # a later result has no reader

    async def _wait(self, request: Request, result: asyncio.Future[Analysis]) -> None:
        """Wait for the result. Raises Refused if it takes too long, or the client has left."""
        deadline = time.monotonic() + self._limits.timeout
        while not result.done():
            left = deadline - time.monotonic()
            if left <= 0:
                raise Refused(504, f"no result within {self._limits.timeout:g} seconds")
            await asyncio.wait([result], timeout=min(left, DISCONNECT_CHECK))
            if not result.done() and await request.is_disconnected():
                raise Refused(CLIENT_LEFT, "the client has left")


def build_app(service: Service, version: str, token: str | None = None) -> FastAPI:
    """Return the application.

    Args:
        version: of the software.
        token: without it nobody gets a prediction or the figures; None lets everybody who can connect.
    """
    app = FastAPI(
        title=TITLE,
        version=version,
        description="Scores faces in videos and pictures. A score is evidence, not proof.",
        docs_url=None,  # FastAPI's own pages load their scripts from a network
        redoc_url=None,
        openapi_url=OPENAPI,
        lifespan=_closing(service),
    )
    app.add_middleware(Observed, metrics=service.metrics)
    app.add_exception_handler(Refused, _refuse)
    allowed = [Depends(_token_check(token))] if token is not None else []

    @app.post(
        PREDICT,
        dependencies=allowed,
        summary="Scores the faces of one upload.",
        response_description="The video's entry in the details, with models, crop recipes, settings and thresholds. "
        "Without a score (no face, a crash in the decoder), `status` and `reason` say why.",
        responses={status: {"description": message} for status, message in _REFUSALS.items()},
        openapi_extra={"requestBody": _PREDICT_BODY},
    )
    async def predict(request: Request) -> Response:
        return JSONResponse((await service.predict(request)).details)

    @app.get(HEALTH, summary="Whether the service works: models, version, length of the queue.")
    async def health() -> dict[str, Any]:
        queue = {"length": len(service.queue), "most": service.queue.admission.most}
        return {"status": "ok", "version": version, "models": service.models, "queue": queue}

    @app.get(METRICS, dependencies=allowed, summary="Figures as Prometheus text.", response_class=Response)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    @app.get(DOCS, include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(render_api(app.openapi(), OPENAPI))

    return app


class Observed:
    """Middleware: counts and logs requests by path, status and seconds, and nothing of what they hold."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.monotonic(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            seconds = time.monotonic() - start
            path = scope["path"] if scope["path"] in (PREDICT, HEALTH, METRICS, DOCS, OPENAPI) else "other"
            self._metrics.count_request(path, status)
            if path == PREDICT and scope["method"] == "POST":
                self._metrics.observe_predict(seconds)
            log.info("%s %s %d %.2f s", scope["method"], path, status, seconds)


def _closing(service: Service) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.queue.close)

    return lifespan


def _token_check(token: str) -> Any:
    wanted = token.encode()
    bearer = HTTPBearer(auto_error=False)

    async def check(given: HTTPAuthorizationCredentials | None = Depends(bearer)) -> None:  # noqa: B008  (FastAPI's way)
        # In constant time: how long it takes tells nothing of how much of a guess is right.
        if given is None or not hmac.compare_digest(given.credentials.encode(), wanted):
            raise Refused(401, "the token is missing or wrong", {"WWW-Authenticate": "Bearer"})

    return check


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return JSONResponse({"detail": error.reason}, error.status, error.headers)
