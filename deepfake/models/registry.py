"""The networks by name: one module of `networks` each, or several in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepfake.storage.registry import Registry

if TYPE_CHECKING:  # torch takes seconds to import
    from torch import nn

Builder = Callable[..., "nn.Module"]
"""Options (encoder, pretrained, ...) -> a network; each takes `pretrained`."""
KeyMapping = Callable[[str], str]
"""The name of a weight in the published checkpoint -> its name in the network."""


@dataclass(frozen=True)
class Architecture:
    """A network that can be built by name.

    Attributes:
        build: builds it.
        task: the training task that it is made for, as its outputs and parts are.
        own_key: for a network whose published checkpoint calls its weights by other names.
    """

    build: Builder
    task: str
    own_key: KeyMapping


ARCHITECTURES: Registry[Architecture] = Registry("architecture", "deepfake.models.networks")


def register(name: str, task: str, own_key: KeyMapping = str) -> Callable[[Builder], Builder]:
    """Return a decorator that makes a builder available as `build_model(name, ...)`; see `Architecture`."""

    def add(build: Builder) -> Builder:
        ARCHITECTURES.register(name)(Architecture(build, task, own_key))
        return build

    return add


def model_names(task: str | None = None) -> list[str]:
    """Return the names of all networks, or of those that a training task trains."""
    return [name for name, architecture in ARCHITECTURES.items() if task in (None, architecture.task)]


def published_to_own(name: str) -> KeyMapping:
    """Return how the weights of the published checkpoint of a network are called in the network itself."""
    return ARCHITECTURES[name].own_key


def build_model(name: str, **options: Any) -> nn.Module:
    """Build a registered network; `options` are its builder's (encoder, pretrained, ...).

    Raises:
        ValueError: unknown name; the message lists the known.
    """
    return ARCHITECTURES[name].build(**options)
