"""Command-line options from the fields of dataclasses: a default and its meaning stand once, beside the field.

A field is `name: Annotated[TYPE, Doc("..."), ...] = DEFAULT`. Its option is `--name` with dashes; `Doc` is the help,
to which a default that says something is added. `Ge`, `Gt`, `Lt` of annotated_types bound numbers, a `Literal` lists
the choices, a plain string in the annotation is the metavar, a tuple takes several words. A bool is a flag: `--name`,
or `--no-name` where the default is True. A field without a default is required; None as a default means that the
option was left out, and `Doc` says what happens then.
"""

from __future__ import annotations

import argparse
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, TypeVar

from annotated_types import Ge, Gt, Lt
from typing_extensions import Doc

Options = TypeVar("Options")
Adds = Callable[..., object]
"""`add_argument` of a parser or of a group."""

_METAVARS = {int: "N", float: "X", Path: "PATH", str: "NAME"}


def add_options(
    add: Adds,
    options: type,
    names: Iterable[str],
    spelled: Mapping[str, str] | None = None,
    parse: Mapping[str, Callable[[str], Any]] | None = None,
    defaults: Mapping[str, Any] | None = None,
    prefix: str = "",
) -> None:
    """Add the options of some fields of a dataclass.

    Args:
        add: `add_argument` of a parser or of a group.
        options: the dataclass.
        names: which fields, in the order of the help.
        spelled: field -> option, where the published spelling is another: `{"test_every": "--test_every"}`.
        parse: field -> what makes its value of the word on the command line, where the field's type does not say.
        defaults: field -> default, where this command's is another one than the class'.
        prefix: begins the options' names: `max_` gives `--max-pixels` for the field `pixels`.
    """
    known = {field.name: field for field in fields(options)}
    hints = typing.get_type_hints(options, include_extras=True)
    for name in names:
        field = known[name]
        default = (defaults or {}).get(name, field.default)
        flag = (spelled or {}).get(name) or _flag(prefix + name, default)
        add(flag, dest=prefix + name, **_argument(field, hints[name], default, (parse or {}).get(name)))


def values_of(options: type, args: argparse.Namespace, prefix: str = "") -> dict[str, Any]:
    """Return the parsed values of a dataclass' fields, by field; those without an option are left out."""
    given = vars(args)
    return {field.name: given[prefix + field.name] for field in fields(options) if prefix + field.name in given}


def _flag(name: str, default: Any) -> str:
    return f"--{'no-' if default is True else ''}{name.replace('_', '-')}"


def _argument(field: Field, hint: Any, default: Any, parse: Callable[[str], Any] | None) -> dict[str, Any]:
    """The keywords of `add_argument` for one field."""
    kind, extras = _unpacked(hint)
    meaning = next(extra.documentation for extra in extras if isinstance(extra, Doc))
    argument: dict[str, Any] = {"help": meaning.replace("%", "%%")}
    if kind is bool:
        return {**argument, "action": "store_false" if default is True else "store_true"}
    if default is MISSING:
        argument["required"] = True
    else:
        argument["default"] = default
        if default not in (None, ""):
            argument["help"] += f" (default: {_shown(default)})"
    if typing.get_origin(kind) is typing.Literal:
        return {**argument, "choices": list(typing.get_args(kind))}
    several: dict[str, Any] = {}
    if typing.get_origin(kind) is tuple:
        kind, several = typing.get_args(kind)[0], {"nargs": "+"}
    metavar = next((extra for extra in extras if isinstance(extra, str)), _METAVARS.get(kind, field.name.upper()))
    return {**argument, **several, "metavar": metavar, "type": parse or _parser(kind, extras)}


def _unpacked(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type of a value that is given, and what the annotation says beside it."""
    extras: tuple[Any, ...] = ()
    if typing.get_origin(hint) is typing.Annotated:
        hint, extras = hint.__origin__, hint.__metadata__
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint, extras


def _parser(kind: Any, extras: tuple[Any, ...]) -> Callable[[str], Any]:
    """What makes a value of a word, within the annotation's bounds."""
    if kind not in (int, float):
        return kind

    def number(text: str) -> Any:
        value = kind(text)
        if not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"{text}: expected a finite number")
        for bound in extras:
            if isinstance(bound, Ge) and not value >= bound.ge:  # type: ignore[operator]
                raise argparse.ArgumentTypeError(f"{text}: expected {bound.ge} or more")
            if isinstance(bound, Gt) and not value > bound.gt:  # type: ignore[operator]
                raise argparse.ArgumentTypeError(f"{text}: expected more than {bound.gt}")
            if isinstance(bound, Lt) and not value < bound.lt:  # type: ignore[operator]
                raise argparse.ArgumentTypeError(f"{text}: expected less than {bound.lt}")
        return value

    number.__name__ = kind.__name__  # argparse names it in "invalid int value"
    return number


def _shown(default: Any) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default)
