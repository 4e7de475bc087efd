"""A registry of builder functions: architecture name -> network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

Builder = Callable[..., nn.Module]

_BUILDERS: dict[str, Builder] = {}


def register(name: str) -> Callable[[Builder], Builder]:
    """Decorator that makes a builder available as `build_model(name, ...)`."""

    def add(builder: Builder) -> Builder:
        if name in _BUILDERS:
            raise KeyError(f"model {name!r} is registered twice")
        _BUILDERS[name] = builder
        return builder

    return add


def model_names() -> list[str]:
    return sorted(_BUILDERS)


def build_model(name: str, **options: Any) -> nn.Module:
    """Builds a registered network; `options` are its builder's (encoder, pretrained, ...).

    Raises:
        ValueError: unknown name; the message lists the known.
    """
    if name not in _BUILDERS:
        raise ValueError(f"architecture {name!r} unknown; expected one of {', '.join(model_names())}")
    return _BUILDERS[name](**options)
