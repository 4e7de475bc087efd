"""Takes the upload out of a request's form into a file of its own, within limits, or says why it is refused.

Starlette reads the form: into an unnamed temporary file, which is gone with its process, however that ends.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from serving.admission import Admission, Displaced, Full, Slot, Stopped, client_address

FIELD = "file"
"""The form's field that holds the upload."""
UNNAMED = "upload"
MOST_NAME = 255
"""Characters of an upload's name that are kept."""
MOST_AROUND = 1 << 16
"""Bytes of a request beside the upload itself: boundaries, headers, other fields."""
MOST_FIELDS, MOST_FIELD_BYTES = 16, 1 << 12
"""Other fields of the form, and bytes of one; they are ignored."""
RETRY_SECONDS = 5
"""Seconds after which a client that found no slot may try again."""
CLIENT_LEFT = 499
"""The status in logs and metrics of a request whose client has left; no client gets it."""


@dataclass(frozen=True)
class Upload:
    """A user's file: where it lies, and what the user calls it."""

    file: Path
    name: str


class Refused(Exception):
    """A request that is answered with a status of its own and the reason."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers


def enter(admission: Admission, request: Request) -> Slot:
    """Take a slot for a request's upload. Raises Refused."""
    try:
        return admission.enter(client_address(request.scope))
    except Full as error:
        raise _come_back(error) from error


async def receive(
    request: Request, slot: Slot, file: Path, max_bytes: int, seconds: float, field: str = FIELD
) -> Upload:
    """Write a request's upload to a file.

    Args:
        slot: the upload's; given back by the caller.
        file: where it goes; its own name never decides that.
        max_bytes: that it may have.
        seconds: that it may take to arrive.
        field: the form's field that holds it.

    Raises:
        Refused: it is no form with one file, too large, too slow, its client has left, the disk is full, or the server
            is being stopped.
    """
    try:
        return await slot.wait(_store(request, slot, file, max_bytes, field), seconds)
    except asyncio.TimeoutError as error:
        raise Refused(408, f"the upload did not arrive within {seconds:g} seconds") from error
    except MultiPartException as error:
        raise Refused(400, f"the form cannot be read: {error.message}") from error
    except Displaced as error:
        raise _come_back(error) from error
    except Stopped as error:
        raise Refused(503, str(error)) from error
    except ClientDisconnect as error:
        raise Refused(CLIENT_LEFT, "the client has left") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Refused(507, "the disk for uploads is full; try again later") from error
        raise


async def _store(request: Request, slot: Slot, file: Path, max_bytes: int, field: str) -> Upload:
    length = request.headers.get("content-length", "0")
    if int(length) > max_bytes + MOST_AROUND:  # the server has checked that it is a number
        raise _too_large(max_bytes)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Refused(400, f"expected multipart/form-data with a boundary, and a file in the field {field!r}")
    body = _limited(request, slot, max_bytes)
    limits = {"max_files": 1, "max_fields": MOST_FIELDS, "max_part_size": MOST_FIELD_BYTES}
    form = await MultiPartParser(request.headers, body, **limits).parse()
    try:
        upload = _only_upload(form, field)
        if upload.size is None or upload.size > max_bytes:
            raise _too_large(max_bytes)
        await run_in_threadpool(_copy, upload.file, file)
        return Upload(file, (upload.filename or UNNAMED)[:MOST_NAME])
    finally:
        await form.close()


async def _limited(request: Request, slot: Slot, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yield the request's body and count its bytes; raises Refused as soon as there are too many."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes + MOST_AROUND:
            raise _too_large(max_bytes)
        slot.count(len(chunk))
        yield chunk


def _only_upload(form: FormData, field: str) -> UploadFile:
    files = [value for value in form.getlist(field) if isinstance(value, UploadFile)]
    if len(files) != 1:
        raise Refused(400, f"no upload: expected a file in the field {field!r}, and the form's end after it")
    return files[0]


def _copy(source: BinaryIO, file: Path) -> None:
    """Give the upload a name, which decoders in other processes open it by."""
    with file.open("wb") as out:
        shutil.copyfileobj(source, out)


def _too_large(max_bytes: int) -> Refused:
    return Refused(413, f"the upload is too large; at most {max_bytes / (1 << 20):g} MB are taken")


def _come_back(error: Exception) -> Refused:
    return Refused(429, str(error), {"Retry-After": str(RETRY_SECONDS)})
