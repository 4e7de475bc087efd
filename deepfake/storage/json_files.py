"""JSON that others may have written: read within limits, and files that hold one mapping.

Python's own reader takes NaN, Infinity, numbers of any length and files of any size, and ends on deep nesting with an
error of its own. What is read here is finite and fits into 64 bits, and every fault is one ValueError.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST_FILE = 1 << 30
"""Bytes. The details of 100,000 videos with all their faces fit."""

_SIZE = 1 << 63
"""Of whole numbers: as NumPy and tables hold them."""


@dataclass(frozen=True)
class _Fault:
    """Stands in the place of a number that is refused."""

    message: str


def parse_json(text: str | bytes) -> Any:
    """Parse JSON, with or without a byte-order mark.

    Raises:
        ValueError: no JSON, nested too deep, or a number that is not finite or does not fit into 64 bits; of a number
            the message names the key.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    faults: list[_Fault] = []

    def checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
        def call(number: str) -> Any:
            value = parse(number)
            if isinstance(value, _Fault):
                faults.append(value)
            return value

        return call

    try:
        content = json.loads(
            text.removeprefix("\ufeff"),
            parse_constant=checked(_no_number),
            parse_float=checked(_finite),
            parse_int=checked(_whole_number),
        )
        if faults:
            raise ValueError(next(_faults(content), faults[0].message))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return content


def read_json(path: Path, what: str, error_type: type[ValueError] = ValueError) -> Any:
    """Read a JSON file.

    Args:
        what: the file's name for messages.

    Raises:
        error_type: missing, no file, larger than LARGEST_FILE, or see `parse_json`; the message names the file.
    """
    try:
        if path.exists() and not path.is_file():
            raise error_type(f"{path}: no readable {what}: not a regular file")
        if (size := path.stat().st_size) > LARGEST_FILE:
            raise error_type(f"{path}: no {what}: it has {size} bytes; expected at most {LARGEST_FILE}")
        text = path.read_bytes()
    except OSError as error:
        raise error_type(f"{path}: no readable {what}: {error.strerror}") from error
    try:
        return parse_json(text)
    except ValueError as error:
        raise error_type(f"{path}: not JSON: {error}") from error


def read_mapping(path: Path, what: str, error_type: type[ValueError] = ValueError) -> dict[str, Any]:
    """Read a JSON file that holds a mapping. Arguments and errors are those of `read_json`."""
    content = read_json(path, what, error_type)
    if not isinstance(content, dict):
        raise error_type(f"{path}: expected a mapping; found {type(content).__name__}")
    return content


def _faults(value: Any, place: str = "") -> Iterator[str]:
    """What is wrong with each refused number in a JSON value, after its keys."""
    if isinstance(value, _Fault):
        yield f"{place or 'content'}: {value.message}"
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _faults(entry, f"{place}.{key[:60]}" if place else key[:60])
    elif isinstance(value, list):
        for i, entry in enumerate(value):
            yield from _faults(entry, f"{place}[{i}]")


def _no_number(name: str) -> _Fault:
    return _Fault(f"expected a finite number; found {name}")


def _finite(text: str) -> float | _Fault:
    value = float(text)
    return value if math.isfinite(value) else _Fault(f"expected a finite number; found {_short(text)}")


def _whole_number(text: str) -> int | _Fault:
    # By length first: turning a million digits into a number takes minutes, or is refused in other words.
    if len(text) > len(str(-_SIZE)) or not -_SIZE <= int(text) < _SIZE:
        return _Fault(f"expected a whole number of at most 64 bits; found {_short(text)}")
    return int(text)


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:20]}..."
