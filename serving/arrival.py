"""An upload on its way from a client to a file, and the answers to those that are not taken."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

from starlette.requests import ClientDisconnect, Request

from serving.admission import Admission, Displaced, Full, Place, Stopped, client_address
from serving.uploading import FIELD, BadForm, TooLarge, Upload, receive

RETRY_SECONDS = 5
"""Seconds after which a client that found no place may try again."""
CLIENT_LEFT = 499
"""The status in logs and metrics of a request whose client has left; no client gets it."""


class Refused(Exception):
    """A request that is answered with a status of its own and the reason."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers


def enter(admission: Admission, request: Request) -> Place:
    """Take a place for a request's upload. Raises Refused."""
    try:
        return admission.enter(client_address(request.scope))
    except Full as error:
        raise _come_back(error) from error


async def arrive(
    request: Request, place: Place, file: Path, max_bytes: int, seconds: float, field: str = FIELD
) -> Upload:
    """Write a request's upload to a file.

    Args:
        place: the upload's; given back by the caller.
        file: where it goes.
        max_bytes: that it may have.
        seconds: that it may take.
        field: the form's field that holds it.

    Raises:
        Refused: it is no form with one file, too large, too slow, its client has left, the disk is full, or the server
            is being stopped.
    """
    try:
        arriving = receive(place.counted(request.stream()), request.headers, file, max_bytes, field)
        return await place.receive(arriving, seconds)
    except asyncio.TimeoutError as error:
        raise Refused(408, f"the upload did not arrive within {seconds:g} seconds") from error
    except TooLarge as error:
        raise Refused(413, str(error)) from error
    except BadForm as error:
        raise Refused(400, str(error)) from error
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


def _come_back(error: Exception) -> Refused:
    return Refused(429, str(error), {"Retry-After": str(RETRY_SECONDS)})
