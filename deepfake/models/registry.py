"""A registry of builder functions: architecture name -> network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

Builder = Callable[..., nn.Module]
KeyMapping = Callable[[str], str]
"""The name of a weight in the published checkpoint -> its name in the network."""

_BUILDERS: dict[str, Builder] = {}
_OWN_KEYS: dict[str, KeyMapping] = {}


def register(name: str, own_key: KeyMapping | None = None) -> Callable[[Builder], Builder]:
    """Decorator that makes a builder available as `build_model(name, ...)`.

    Args:
        own_key: for a network whose published checkpoint calls its weights by other names.
    """

    def add(builder: Builder) -> Builder:
        if name in _BUILDERS:
            raise KeyError(f"model {name!r} is registered twice")
        _BUILDERS[name] = builder
        if own_key is not None:
            _OWN_KEYS[name] = own_key
        return builder

    return add


def model_names() -> list[str]:
    return sorted(_BUILDERS)


def published_to_own(name: str) -> KeyMapping:
    """How the weights of the published checkpoint of a network are called in the network itself."""
    return _OWN_KEYS.get(name, lambda key: key)


def build_model(name: str, **options: Any) -> nn.Module:
    """Builds a registered network; `options` are its builder's (encoder, pretrained, ...).

    Raises:
        ValueError: unknown name; the message lists the known.
    """
    if name not in _BUILDERS:
        raise ValueError(f"architecture {name!r} unknown; expected one of {', '.join(model_names())}")
    return _BUILDERS[name](**options)
