"""The kinds of perturbations, and their registry: each module of `families` registers what it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from deepfake.media.encode import Encoding
from deepfake.storage.registry import Registry

FrameFunction: TypeAlias = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""(H, W, 3) uint8 RGB and the frame's own generator -> a new image; it leaves the given one as it is."""

Component: TypeAlias = tuple[str, str]
"""The name and the level of a perturbation that a mixture applies."""


@dataclass(frozen=True)
class Kind:
    """One kind of perturbation at its levels.

    Attributes:
        levels: each level's name with its value, in the order of growing severity where there is one.
        function: takes a level's value and the video's generator, from which it draws what holds for all frames.
            What it returns is for the subclass to say.
    """

    levels: Mapping[str, Any]
    function: Callable[[Any, np.random.Generator], Any]

    @property
    def meaning(self) -> str:
        """What it does, in one line."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


@dataclass(frozen=True)
class FrameKind(Kind):
    """Changes each frame by itself: `function` returns a FrameFunction."""

    function: Callable[[Any, np.random.Generator], FrameFunction]


@dataclass(frozen=True)
class VideoKind(Kind):
    """Encodes the whole video: `function` returns the encodings, one after the other.

    Attributes:
        keeps_sound: False removes the sound.
    """

    function: Callable[[Any, np.random.Generator], Sequence[Encoding]]
    keeps_sound: bool = True


@dataclass(frozen=True)
class MixtureKind(Kind):
    """Draws for each video what is applied to it: `function` returns names and levels."""

    function: Callable[[Any, np.random.Generator], Sequence[Component]]


PERTURBATIONS: Registry[Kind] = Registry("perturbation", package="deepfake.synthesis.perturbations.families")


def framewise(name: str, levels: Mapping[str, Any]) -> Callable[..., Any]:
    """Return a decorator that registers a function as a FrameKind."""
    return _registered(name, lambda function: FrameKind(levels, function))


def videowise(name: str, levels: Mapping[str, Any], keeps_sound: bool = True) -> Callable[..., Any]:
    """Return a decorator that registers a function as a VideoKind."""
    return _registered(name, lambda function: VideoKind(levels, function, keeps_sound))


def mixture(name: str, levels: Mapping[str, Any]) -> Callable[..., Any]:
    """Return a decorator that registers a function as a MixtureKind."""
    return _registered(name, lambda function: MixtureKind(levels, function))


def numbered(*values: Any) -> dict[str, Any]:
    """Return levels 1, 2, 3, ... with these values."""
    return {str(number): value for number, value in enumerate(values, 1)}


def named(*values: int) -> dict[str, int]:
    """Return levels that are called like their values."""
    return {str(value): value for value in values}


def _registered(name: str, kind_of: Callable[[Any], Kind]) -> Callable[..., Any]:
    def register(function: Any) -> Any:
        PERTURBATIONS.register(name)(kind_of(function))
        return function

    return register
