"""An ensemble: which checkpoints score a video together, with what weights, on which of its faces.

Files are JSON, `configs/ensembles/*.json`. One kind lists checkpoints by file name with their weights, and says which
frames and how many faces they see and how a network's face scores become one:

    {"frames": {"every": 10}, "max_faces": 25, "aggregation": "mean", "models": {"a.pth": 0.2, "b.pth": 0.8}}

The other kind mixes ensembles whose files lie beside it: `{"ensembles": {"first_place": 1, "second_place": 1}}`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Len

from deepfake.media.video import EveryFrames, FrameChoice, SpreadFrames
from deepfake.prediction.face_collector import FRAMES, MAX_FACES
from deepfake.scoring.aggregation import AGGREGATIONS
from deepfake.storage.json_files import read_mapping
from deepfake.storage.names import is_plain_name
from deepfake.storage.schema import Count, Positive, from_plain, read_json_as, require

SUFFIX = ".json"

ENSEMBLES = (Path(__file__).parent / "ensembles").resolve()
"""The files that come with the software: in a checkout a link to configs/ensembles, in a wheel the files."""

_FRAME_CHOICES: dict[str, type[SpreadFrames] | type[EveryFrames]] = {"spread": SpreadFrames, "every": EveryFrames}
_Weights = Annotated[dict[str, Positive], Len(1)]


class EnsembleError(ValueError):
    """An ensemble cannot be used; the message names the file, the key and what was expected."""


@dataclass(frozen=True)
class _List:
    """A file that lists checkpoints by their names."""

    frames: Annotated[dict[Literal["spread", "every"], Count], Len(1, 1)]
    max_faces: Count
    aggregation: str
    models: _Weights

    def __post_init__(self) -> None:
        known = f"one of {', '.join(AGGREGATIONS)}; found {self.aggregation!r}"
        require(self.aggregation in AGGREGATIONS, "aggregation", known)


@dataclass(frozen=True)
class _Mix:
    """A file that lists the names of others beside it."""

    ensembles: _Weights


@dataclass(frozen=True)
class Member:
    """One checkpoint of an ensemble.

    Attributes:
        checkpoint: its file.
        weight: its share of the ensemble's score, relative to the others'; more than 0.
        frames: which frames it sees.
        max_faces: how many faces of them.
        aggregation: how its face scores become its video score, a name in `scoring.AGGREGATIONS`; None for the usual
            one of its kind of faces.
    """

    checkpoint: Path
    weight: float = 1.0
    frames: FrameChoice = FRAMES
    max_faces: int = MAX_FACES
    aggregation: str | None = None

    @property
    def name(self) -> str:
        return self.checkpoint.name


def listed_ensembles() -> list[Path]:
    """Return the files of ENSEMBLES, by name."""
    return sorted(ENSEMBLES.glob(f"*{SUFFIX}"))


def named_ensemble(name: str, weights_dir: Path) -> list[Member]:
    """Return the members of an ensemble of ENSEMBLES, by its name, or of any other file. Raises EnsembleError."""
    listed = ENSEMBLES / (name + SUFFIX)
    return read_ensemble(listed if listed.is_file() else Path(name), weights_dir)


def find_members(
    models: str | Path | Sequence[str | Path | Member], weights_dir: Path = Path("weights")
) -> list[Member]:
    """Return the members that a checkpoint's path or several, an ensemble's name or file, or members stand for.

    Args:
        models: paths score in equal shares; text that names a file of ENSEMBLES, and a path that ends in SUFFIX, is
            an ensemble.
        weights_dir: the folder of an ensemble's checkpoints.

    Raises:
        EnsembleError: see `read_ensemble`.
    """
    if isinstance(models, (str, Path)):
        is_listed = str(models) in [file.stem for file in listed_ensembles()]
        if is_listed or Path(models).suffix == SUFFIX:
            return named_ensemble(str(models), weights_dir)
        models = [models]
    return [model if isinstance(model, Member) else Member(Path(model)) for model in models]


def weighted_members(
    checkpoints: Sequence[Path], weights: Sequence[float] | None = None, frames: FrameChoice = FRAMES
) -> list[Member]:
    """Return checkpoints with the weights given, or all equal.

    Raises:
        EnsembleError: not as many weights as checkpoints, or one that is not more than 0.
    """
    given = list(weights or [1.0] * len(checkpoints))
    good = len(given) == len(checkpoints) and all(0 < weight < math.inf for weight in given)
    if not good or not math.isfinite(sum(given)):
        raise EnsembleError(f"--weights {' '.join(map(str, given))}: expected {len(checkpoints)} numbers more than 0")
    return [Member(checkpoint, weight, frames) for checkpoint, weight in zip(checkpoints, given)]


def read_ensemble(file: Path, weights_dir: Path) -> list[Member]:
    """Read the members of an ensemble file, their weights summing up to 1.

    Args:
        weights_dir: the folder of the checkpoints.

    Raises:
        EnsembleError: missing, not JSON, an unknown or missing key, or a value that makes no sense.
    """
    content = read_mapping(file, "ensemble", EnsembleError)
    if "ensembles" not in content:
        return _members(file, from_plain(_List, content, str(file), EnsembleError), weights_dir)
    members = []
    for name, share in _named_shares(file, "ensembles", from_plain(_Mix, content, str(file), EnsembleError).ensembles):
        other = file.with_name(name + SUFFIX)
        listed = read_json_as(other, _List, "ensemble", EnsembleError)
        members += [replace(member, weight=member.weight * share) for member in _members(other, listed, weights_dir)]
    return members


def _members(file: Path, listed: _List, weights_dir: Path) -> list[Member]:
    ((kind, number),) = listed.frames.items()
    return [
        Member(weights_dir / name, share, _FRAME_CHOICES[kind](number), listed.max_faces, listed.aggregation)
        for name, share in _named_shares(file, "models", listed.models)
    ]


def _named_shares(file: Path, key: str, given: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return plain file names with their weights made to sum up to 1."""
    for name in given:
        if not is_plain_name(name):
            raise EnsembleError(f"{file}: {key}: {name!r} is not a plain file name; names may not leave the folder")
    shares = _shares(list(given.values()))
    if not all(shares):
        raise EnsembleError(f"{file}: {key}: expected weights that do not vanish beside each other; found {given}")
    return list(zip(given, shares))


def _shares(weights: Sequence[float]) -> list[float]:
    """Weights made to sum up to 1; 0 for one that vanishes beside the others."""
    largest = max(weights)  # their sum may be infinite
    total = math.fsum(weight / largest for weight in weights)
    return [weight / largest / total for weight in weights]
