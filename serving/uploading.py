"""An upload as it comes in: multipart/form-data, written to a file piece by piece, never more of it than allowed."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD = "file"
"""The form's field that holds the upload."""
UNNAMED = "upload"
MOST_NAME = 255
"""Characters of an upload's name that are kept."""
MOST_AROUND = 1 << 16
"""Bytes of a request beside the upload itself: boundaries, headers, other fields."""
_WRITTEN_AT_ONCE = 1 << 16
"""Bytes that are parsed before the limits are looked at."""


@dataclass(frozen=True)
class Upload:
    """A user's file: where it lies, and what the user calls it."""

    file: Path
    name: str


class BadForm(ValueError):
    """The request is no form with one upload in it."""


class TooLarge(ValueError):
    """The upload is larger than allowed."""


async def receive(
    chunks: AsyncIterable[bytes], headers: Mapping[str, str], file: Path, most: int, field: str = FIELD
) -> Upload:
    """Write a request's upload to a file.

    Args:
        chunks: the request's body.
        headers: the request's, names in small letters.
        file: where the upload goes; its own name never decides that.
        most: bytes that it may have.
        field: the form's field that holds it.

    Raises:
        TooLarge: more, by the request's head or as soon as it is so; or more than MOST_AROUND bytes around it.
        BadForm: not multipart/form-data, damaged, or not exactly one upload in it.
        OSError: it cannot be written.
    """
    length = headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 18 or int(length) > most + MOST_AROUND):
        raise _too_large(most)
    kind, options = parse_options_header(headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise BadForm(f"expected multipart/form-data with a boundary, and a file in the field {field!r}")
    with _Form(options[b"boundary"], file, most, field) as form:
        async for chunk in chunks:
            await run_in_threadpool(form.write, chunk)
        return form.upload()


class _Form:
    """Takes a form's bytes and writes its upload to a file."""

    def __init__(self, boundary: bytes, path: Path, most: int, field: str) -> None:
        self._path, self._most, self._field = path, most, field
        self._header, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._wanted = self._ended = False
        self._name: str | None = None
        self._size = self._total = 0
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_header,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_data,
            "on_end": self._end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise _damaged(error) from error
        self._out = path.open("wb")

    def __enter__(self) -> _Form:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._out.close()

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), _WRITTEN_AT_ONCE):
            part = data[start : start + _WRITTEN_AT_ONCE]
            self._total += len(part)
            try:
                self._parser.write(part)
            except FormParserError as error:
                raise _damaged(error) from error
            if self._total - self._size > MOST_AROUND:
                raise TooLarge(f"the form holds more than {MOST_AROUND >> 10} KB beside its upload")

    def upload(self) -> Upload:
        self._out.flush()
        if self._name is None:
            raise BadForm(f"no upload: expected a file in the field {self._field!r}")
        if not self._ended:
            raise BadForm("the form ends too early")
        return Upload(self._path, self._name)

    def _begin_part(self) -> None:
        self._headers = {}
        self._wanted = False

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._wanted = options.get(b"name") == self._field.encode()
        if not self._wanted:
            return
        if self._name is not None:
            raise BadForm(f"more than one upload in the field {self._field!r}; send one at a time")
        given = options.get(b"filename", b"").decode("utf-8", "replace")
        self._name = given[:MOST_NAME] or UNNAMED

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if not self._wanted:
            return
        self._size += end - start
        if self._size > self._most:
            raise _too_large(self._most)
        self._out.write(data[start:end])

    def _end(self) -> None:
        self._ended = True


def _damaged(error: FormParserError) -> BadForm:
    return BadForm(f"the form is damaged: {error}")


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the upload is too large; at most {most / (1 << 20):g} MB are taken")
