"""Files with a schema: JSON values as dataclasses, checked by pydantic, refused in plain words.

A field's annotation says what its value may be: `Annotated[float, Interval(gt=0, le=1)]`, `Literal["a", "b"]`,
`tuple[float, float]`, `dict[str, int]`, another dataclass, or one of these and None. Numbers are finite, neither a
boolean nor a text is a number, and keys without a field are refused. What several fields must fulfill together stands
in `__post_init__`, as a ValueError that begins with a field: "low: expected at most high". A value in a layout of its
own is read by a function, `Annotated[Kind, ReadBy(function)]`.
"""

from __future__ import annotations

import functools
import json
import reprlib
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval, Le, Len, Lt

from deepfake.storage import atomic
from deepfake.storage.json_files import read_json
from deepfake.storage.names import one_line

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails, SchemaValidator

Count = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]
Probability = Annotated[float, Interval(ge=0, le=1)]

OTHERS_IGNORED = {"extra": "ignore", "strict": True, "allow_inf_nan": False}
"""The `__pydantic_config__` of a dataclass that holds some of a mapping's keys, as those within it do: others may be
any."""

_FORMAT = "format"
_LONGEST_KEY, _LONGEST_VALUE = 60, 100
_SHORT = reprlib.Repr()
"""Shows the beginning of a value, however large or deep it is."""
_SHORT.maxstring = _SHORT.maxother = _LONGEST_VALUE
_NAMES: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
_BOUNDS = {Ge: "{.ge:g} or more", Gt: "more than {.gt:g}", Le: "at most {.le:g}", Lt: "less than {.lt:g}"}

_T = TypeVar("_T")


@dataclass(frozen=True)
class ReadBy:
    """Has a function read a field's JSON value.

    It raises ValueError with a message that begins with the key within the value, or with "expected".
    """

    read: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.read)


def read_json_as(
    path: Path, kind: type[_T], what: str, error_type: type[ValueError] = ValueError, file_format: int | None = None
) -> _T:
    """Read a JSON file as a dataclass.

    Args:
        what: the file's name for messages.
        file_format: what its key "format" must say; None for a file without one.

    Raises:
        error_type: see `read_json` and `from_plain`; the message names the file.
    """
    return from_plain(kind, read_json(path, what, error_type), str(path), error_type, file_format)


def write_json_as(path: Path, value: Any, file_format: int, indent: int) -> None:
    """Write a dataclass as a JSON file that `read_json_as` reads, atomically."""
    content = {_FORMAT: file_format, **to_plain(value)}
    atomic.write_text(path, json.dumps(content, indent=indent, allow_nan=False) + "\n")


def from_plain(
    kind: type[_T],
    content: Any,
    source: str = "",
    error_type: type[ValueError] = ValueError,
    file_format: int | None = None,
) -> _T:
    """Return the dataclass that a JSON value describes.

    Args:
        kind: a dataclass, or a list or mapping of what its fields may be.
        source: names the value's file in messages.
        file_format: see `read_json_as`.

    Raises:
        error_type: an unknown or missing key, or a value that its field does not allow; one line that names source,
            key and what was expected.
    """
    from pydantic_core import ValidationError

    before = f"{source}: " if source else ""
    try:
        if file_format is not None and isinstance(content, dict):
            if (found := content.get(_FORMAT)) != file_format or found is True:
                raise ValueError(f"{_FORMAT}: expected {file_format}; found {found!r:.100}")
            content = {key: value for key, value in content.items() if key != _FORMAT}
        return _validator(kind).validate_python((content,))[0]  # type: ignore[arg-type]  # types are hashable
    except ValidationError as error:
        faults = error.errors(include_url=False)
        # A misspelt key first: the key that is missing for it tells less.
        fault = next((one for one in faults if one["type"] == "unexpected_keyword_argument"), faults[0])
        raise error_type(before + _message(kind, fault)) from error
    except ValueError as error:
        raise error_type(f"{before}{error}") from error


def require(holds: bool, key: str, expected: str) -> None:
    """Raise the ValueError of a `__post_init__` unless a condition on its fields holds."""
    if not holds:
        raise ValueError(f"{key}: expected {expected}")


def under(key: str, message: str) -> str:
    """Put a key before a message about its value, which may begin with keys itself."""
    return f"{key}{': ' if message.startswith('expected ') else '.'}{message}" if key else message


def to_plain(value: Any) -> Any:
    """Return the JSON value that `from_plain` reads back: dataclasses as mappings, tuples as lists."""
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: to_plain(part) for key, part in value.items()}
    return [to_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


@functools.cache
def _validator(kind: type) -> SchemaValidator:
    """Return what reads a tuple of one value: pydantic takes settings for a tuple, and hands them to dataclasses."""
    from pydantic import ConfigDict, TypeAdapter
    from pydantic_core import CoreConfig, SchemaValidator

    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    schema = TypeAdapter(tuple[kind], config=config).core_schema  # type: ignore[valid-type]
    return SchemaValidator(_as_json_has_it(schema), CoreConfig(strict=True, allow_inf_nan=False))


def _as_json_has_it(node: Any) -> Any:
    """Let lists be tuples, mappings dataclasses, and texts keys that are numbers: JSON has no other way to write them.

    A list is left at its first fault.

    Args:
        node: of pydantic's core schema, which is nested mappings and lists.
    """
    if isinstance(node, list):
        return [_as_json_has_it(part) for part in node]
    if not isinstance(node, dict):
        return node
    parts = {key: _as_json_has_it(part) for key, part in node.items()}
    if "keys_schema" in parts:
        parts["keys_schema"] = {**parts["keys_schema"], "strict": False}
    if node.get("type") in ("tuple", "dataclass"):
        parts["strict"] = False
    return {**parts, "fail_fast": True} if node.get("type") == "list" else parts


def _message(kind: Any, fault: ErrorDetails) -> str:
    """Say where a value is wrong and what was expected."""
    where = fault["loc"][1:]  # the first is the place in the tuple
    place = _place(where)
    if fault["type"] == "value_error":  # of a __post_init__ or a ReadBy
        return under(place, str(fault["ctx"]["error"]))
    if fault["type"] == "unexpected_keyword_argument":
        known = ", ".join(field.name for field in fields(_bare(_type_at(kind, where[:-1]))))
        return f"{place}: expected one of the keys {known}; this one is unknown"
    if fault["type"] == "missing":
        if isinstance(where[-1], str):
            return f"{place}: expected a value; the key is missing"
        where = where[:-1]  # a list that is too short
    found = _SHORT.repr(fault["input"])[:_LONGEST_VALUE]
    return under(_place(where), f"expected {describe(_type_at(kind, where))}; found {one_line(found)}")


def _place(where: tuple[int | str, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{one_line(step)[:_LONGEST_KEY]}" for step in where)
    return "".join(steps).removesuffix(f".{_KEY}").removeprefix(".")


_KEY = "[key]"
"""How pydantic names the key of a mapping, as the step behind it."""


def _type_at(kind: Any, where: tuple[int | str, ...]) -> Any:
    """Return the annotation of a part of a dataclass."""
    for i, step in enumerate(where):
        kind = _bare(kind)
        if is_dataclass(kind):
            kind = get_type_hints(kind, include_extras=True)[str(step)]
        elif get_origin(kind) is dict:
            kind = get_args(kind)[where[i + 1 : i + 2] != (_KEY,)]
        elif step != _KEY:
            parts = get_args(kind)
            kind = parts[step] if isinstance(step, int) and step < len(parts) and ... not in parts else parts[0]
    return kind


def _bare(kind: Any) -> Any:
    """Return an annotation without its bounds and without None."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return _bare(next(part for part in get_args(kind) if part is not NoneType))
    return kind


def describe(kind: Any) -> str:
    """Say in words which values an annotation allows: "a number of more than 0, or null"."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return ", or ".join("null" if part is NoneType else describe(part) for part in parts)
    if origin is Annotated:
        return describe(parts[0]) + _within(parts[1:])
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin is tuple and ... not in parts:
        return f"a list of {len(parts)} {'numbers' if _bare(parts[0]) in (int, float) else 'values'}"
    if origin in (list, tuple):
        return "a list"
    return _NAMES.get(kind, "a mapping")


def _within(bounds: tuple[Any, ...]) -> str:
    flat: list[Any] = [part for bound in bounds for part in (bound if isinstance(bound, Interval) else [bound])]
    if isinstance(flat[0], Len):
        return " with one entry" if flat[0].max_length == 1 else " with at least one entry"
    if [type(bound) for bound in flat] == [Ge, Le]:
        return f" from {flat[0].ge:g} to {flat[1].le:g}"
    of = "" if isinstance(flat[0], (Gt, Lt)) else "of "
    return f" {of}{' and '.join(_BOUNDS[type(bound)].format(bound) for bound in flat)}"
