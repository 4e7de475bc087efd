"""Checks of values that come from files: a message names the key, what was expected and what was found."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any


def check_number(key: str, value: Any, low: float, high: float) -> None:
    """Raise ValueError unless a value is a finite number from `low` to `high`; a boolean is none."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{key}: expected a number from {low:g} to {high:g}; found {value!r:.100}")


def check_whole_number(key: str, value: Any, low: int, high: int) -> None:
    """Raise ValueError unless a value is a whole number from `low` to `high`; a boolean is none."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{key}: expected a whole number from {low} to {high}; found {value!r:.100}")


def check_numbers(key: str, values: Any, count: int, low: float, high: float) -> None:
    """Raise ValueError unless `values` are `count` numbers from `low` to `high`."""
    if not isinstance(values, (list, tuple)) or len(values) != count:
        raise ValueError(f"{key}: expected {count} numbers; found {values!r:.100}")
    for value in values:
        check_number(key, value, low, high)


@contextlib.contextmanager
def within(key: str) -> Iterator[None]:
    """Name the key that holds a value in the ValueErrors of its own checks."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{key}.{error}") from error
