"""A perturbation of videos by name, level and seed, and the suites that papers test with.

What is random depends on the seed, the perturbation's name, the video's name and, where each frame has its own, the
frame's number alone: not on the order of work, on the number of workers, or on which frames are decoded. The levels of
one perturbation share their random numbers, so that they differ in severity alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from deepfake.media.encode import Encoding
from deepfake.storage.registry import UnknownName
from deepfake.synthesis.perturbations.kinds import PERTURBATIONS, FrameFunction, FrameKind, MixtureKind, VideoKind

SEED = 777

SUITES = {
    "deeperforensics": ("CS", "CC", "BW", "GNC", "GB", "JPEG", "VC"),
    "dfdc-each": (
        *("dfdc-blur", "dfdc-brightness", "dfdc-contrast", "dfdc-fps", "dfdc-grayscale", "dfdc-hflip", "dfdc-noise"),
        *("dfdc-quality", "dfdc-resolution", "dfdc-rotation", "dfdc-text", "dfdc-shapes", "dfdc-dots", "dfdc-images"),
    ),
    "ladders": ("jpeg", "blur", "resize-bicubic"),
    "resize": tuple(f"resize-{name}" for name in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")),
    "codecs": ("h264", "h265", "vp9", "av1"),
}
"""Suite -> the perturbations in it, each at all its levels."""


@dataclass(frozen=True)
class FrameStep:
    """A frame function with what its random numbers depend on."""

    function: FrameFunction
    key: tuple[str, ...]

    def __call__(self, number: int, image: np.ndarray) -> np.ndarray:
        """Return what it makes of the frame of that number."""
        return self.function(image, generator_of(*self.key, str(number)))


@dataclass(frozen=True)
class VideoPlan:
    """What is done to one video: its frames are changed, then it is encoded.

    Attributes:
        steps: applied to each frame, one after the other.
        encodings: one after the other.
        keeps_sound: False removes the sound.
    """

    steps: tuple[FrameStep, ...] = ()
    encodings: tuple[Encoding, ...] = ()
    keeps_sound: bool = True

    def frame(self, number: int, image: np.ndarray) -> np.ndarray:
        """Return a perturbed frame.

        Args:
            number: its place in the video, from 0.
            image: (H, W, 3) uint8 RGB.
        """
        for step in self.steps:
            image = step(number, image)
        return image


@dataclass(frozen=True)
class Perturbation:
    """One perturbation at one level. Picklable.

    Raises:
        UnknownName: no such name or level; the message lists the known.
    """

    name: str
    level: str
    seed: int = SEED

    def __post_init__(self) -> None:
        known = PERTURBATIONS[self.name].levels
        if self.level not in known:
            raise UnknownName(f"{self.name}:{self.level!s:.100}: level unknown; expected one of {', '.join(known)}")

    def __str__(self) -> str:
        return f"{self.name}:{self.level}"

    @property
    def is_framewise(self) -> bool:
        """Whether it changes each frame by itself, whatever the video: no video is encoded for a prediction."""
        return isinstance(PERTURBATIONS[self.name], FrameKind)

    def plan(self, video_id: str) -> VideoPlan:
        """Return what is done to the video of that name (its file's, without the suffix)."""
        kind = PERTURBATIONS[self.name]
        key = (str(self.seed), self.name, video_id)
        made = kind.function(kind.levels[self.level], generator_of(*key))
        if isinstance(kind, FrameKind):
            return VideoPlan((FrameStep(made, key),))
        if isinstance(kind, VideoKind):
            return VideoPlan(encodings=tuple(made), keeps_sound=kind.keeps_sound)
        assert isinstance(kind, MixtureKind)
        return _joined([replace(self, name=name, level=level).plan(video_id) for name, level in made])


def parse_perturbations(text: str, seed: int = SEED) -> list[Perturbation]:
    """Return the perturbations that a word names: a suite, a perturbation at all its levels, or `NAME:LEVEL`.

    Raises:
        UnknownName: the message lists what is known.
    """
    name, colon, level = text.partition(":")
    if not colon and name in SUITES:
        return [found for member in SUITES[name] for found in parse_perturbations(member, seed)]
    if name not in PERTURBATIONS:
        known = f"a suite ({', '.join(SUITES)}) or one of {', '.join(PERTURBATIONS)}"
        raise UnknownName(f"perturbation {name!r:.100} unknown; expected {known}")
    return [Perturbation(name, one, seed) for one in ([level] if colon else PERTURBATIONS[name].levels)]


def generator_of(*key: str) -> np.random.Generator:
    """Return a random generator that depends on the key alone, the same on every machine."""
    digest = hashlib.sha256("\0".join(key).encode("utf-8", "surrogateescape")).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def _joined(plans: Sequence[VideoPlan]) -> VideoPlan:
    """One plan after the other; frames are changed before anything is encoded."""
    return VideoPlan(
        tuple(step for plan in plans for step in plan.steps),
        tuple(encoding for plan in plans for encoding in plan.encodings),
        all(plan.keeps_sound for plan in plans),
    )
