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
from typing import Any

from deepfake.media.video import EveryFrames, FrameChoice, SpreadFrames
from deepfake.prediction.face_collector import FRAMES, MAX_FACES
from deepfake.scoring.aggregation import AGGREGATIONS
from deepfake.storage.json_files import read_mapping
from deepfake.storage.names import is_plain_name

SUFFIX = ".json"

ENSEMBLES = (Path(__file__).parent / "ensembles").resolve()
"""The files that come with the software: in a checkout a link to configs/ensembles, in a wheel the files."""

_FRAME_CHOICES: dict[str, type[SpreadFrames] | type[EveryFrames]] = {"spread": SpreadFrames, "every": EveryFrames}
_LIST_KEYS = ("frames", "max_faces", "aggregation", "models")
_MIX_KEY = "ensembles"


class EnsembleError(ValueError):
    """An ensemble cannot be used; the message names the file, the key and what was expected."""


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
    """The files of ENSEMBLES, by name."""
    return sorted(ENSEMBLES.glob(f"*{SUFFIX}"))


def named_ensemble(name: str, weights_dir: Path) -> list[Member]:
    """The members of an ensemble of ENSEMBLES, by its name, or of any other file. Raises EnsembleError."""
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
    """Checkpoints with the weights given, or all equal.

    Raises:
        EnsembleError: not as many weights as checkpoints, or one that is not more than 0.
    """
    given = list(weights or [1.0] * len(checkpoints))
    good = len(given) == len(checkpoints) and all(0 < weight < math.inf for weight in given)
    if not good or not math.isfinite(sum(given)):
        raise EnsembleError(f"--weights {' '.join(map(str, given))}: expected {len(checkpoints)} numbers more than 0")
    return [Member(checkpoint, weight, frames) for checkpoint, weight in zip(checkpoints, given)]


def read_ensemble(file: Path, weights_dir: Path) -> list[Member]:
    """The members of an ensemble file, their weights summing up to 1.

    Args:
        weights_dir: the folder of the checkpoints.

    Raises:
        EnsembleError: missing, not JSON, an unknown or missing key, or a value that makes no sense.
    """
    content = read_mapping(file, "ensemble", EnsembleError)
    if _MIX_KEY not in content:
        return _listed(file, content, weights_dir)
    _only_keys(file, content, (_MIX_KEY,))
    members = []
    for name, share in _weights(file, content, _MIX_KEY).items():
        other = file.with_name(name + SUFFIX)
        listed = _listed(other, read_mapping(other, "ensemble", EnsembleError), weights_dir)
        members += [replace(member, weight=member.weight * share) for member in listed]
    return members


def _listed(file: Path, content: Mapping[str, Any], weights_dir: Path) -> list[Member]:
    _only_keys(file, content, _LIST_KEYS)
    aggregation = content["aggregation"]
    if not isinstance(aggregation, str) or aggregation not in AGGREGATIONS:
        raise EnsembleError(f"{file}: aggregation: expected one of {', '.join(AGGREGATIONS)}; found {aggregation!r}")
    frames = content["frames"]
    if not isinstance(frames, dict) or len(frames) != 1 or not frames.keys() <= _FRAME_CHOICES.keys():
        raise EnsembleError(f'{file}: frames: expected {{"spread": COUNT}} or {{"every": STEP}}; found {frames!r}')
    ((kind, number),) = frames.items()
    choice = _FRAME_CHOICES[kind](_count(file, f"frames.{kind}", number))
    max_faces = _count(file, "max_faces", content["max_faces"])
    return [
        Member(weights_dir / name, weight, choice, max_faces, aggregation)
        for name, weight in _weights(file, content, "models").items()
    ]


def _only_keys(file: Path, content: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    wrong = sorted(content.keys() ^ set(keys))
    if wrong:
        raise EnsembleError(f"{file}: expected the keys {', '.join(keys)}; missing or unknown: {', '.join(wrong)}")


def _weights(file: Path, content: Mapping[str, Any], key: str) -> dict[str, float]:
    """Names with their weights, which are made to sum up to 1."""
    given = content[key]
    if not isinstance(given, dict) or not given:
        raise EnsembleError(f"{file}: {key}: expected a mapping from name to weight; found {given!r}")
    for name, weight in given.items():
        if not is_plain_name(name):
            raise EnsembleError(f"{file}: {key}: {name!r} is not a plain file name; names may not leave the folder")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
            raise EnsembleError(f"{file}: {key}.{name}: expected a weight more than 0; found {weight!r}")
    shares = _shares(list(given.values()))
    if not all(shares):
        raise EnsembleError(f"{file}: {key}: expected weights that do not vanish beside each other; found {given}")
    return dict(zip(given, shares))


def _shares(weights: Sequence[float]) -> list[float]:
    """Weights made to sum up to 1; 0 for one that vanishes beside the others."""
    largest = max(weights)  # their sum may be infinite
    total = math.fsum(weight / largest for weight in weights)
    return [weight / largest / total for weight in weights]


def _count(file: Path, key: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise EnsembleError(f"{file}: {key}: expected a whole number from 1 on; found {value!r}")
    return value
