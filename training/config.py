"""What is trained: the typed form of `configs/*.json`, which refuses nonsense when it is read.

The layout is the published one. Every error names the file, the key and what was expected.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from deepfake.media.images import IMAGENET, Normalization
from deepfake.storage.json_files import read_json

DEFAULT_SEED = 777
"""Of training, where nothing else is asked for."""

OPTIMIZERS = ("SGD", "Adam", "AdamW")
SCHEDULE_PARAMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "poly": (("max_iter",), ("power",)),
    "step": (("steps",), ()),
    "multistep": (("milestones",), ("gamma",)),
    "exponential": (("gamma",), ("every",)),
    "linear": (("alpha", "beta"), ()),
    "clr": (("base_lr", "max_lr", "step_size"), ()),
    "constant": ((), ()),
}
"""Schedule type -> names of its required and of its optional parameters (see `training.engine.optim`)."""

SCHEDULE_MODES = ("step", "epoch")
LOSSES = ("BinaryCrossentropy",)
_LISTS = ("steps", "milestones")


class ConfigError(ValueError):
    """A training config cannot be used; the message names the file, the key and what was expected."""


class _KeyError(ValueError):
    """A value is wrong; `args` are its key (dotted) and what was expected."""


def _require(holds: bool, key: str, expected: str) -> None:
    if not holds:
        raise _KeyError(key, expected)


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate changes.

    Attributes:
        type: one of `SCHEDULE_PARAMS`.
        mode: what is counted, optimiser steps or epochs.
        epochs: how many epochs are trained.
        params: the type's parameters.
    """

    type: str
    mode: str
    epochs: int
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(self.type in SCHEDULE_PARAMS, "type", f"one of {', '.join(SCHEDULE_PARAMS)}; found {self.type!r}")
        _require(self.mode in SCHEDULE_MODES, "mode", f"one of {', '.join(SCHEDULE_MODES)}; found {self.mode!r}")
        _require(self.epochs >= 1, "epochs", f"1 or more; found {self.epochs}")
        required, optional = SCHEDULE_PARAMS[self.type]
        allowed = required + optional
        for name, value in self.params.items():
            _require(name in allowed, f"params.{name}", f"only {', '.join(allowed) or 'no keys'} for {self.type!r}")
            if name in _LISTS:
                _require(isinstance(value, list) and len(value) > 0, f"params.{name}", f"a list; found {value!r}")
            else:
                _require(_is_number(value), f"params.{name}", f"a number; found {value!r}")
        for name in required:
            _require(name in self.params, f"params.{name}", f"a value: the {self.type!r} schedule needs it")
        for name in ("max_iter", "step_size", "power", "every"):
            value = self.params.get(name, 1)
            _require(value > 0, f"params.{name}", f"more than 0; found {value!r}")
        self._check_lists()

    def _check_lists(self) -> None:
        pairs = self.params.get("steps", [[0, 0.0]])
        well_formed = all(isinstance(p, list) and len(p) == 2 and all(_is_number(v) for v in p) for p in pairs)
        _require(well_formed, "params.steps", f"pairs [count, learning rate]; found {pairs!r}")
        milestones = self.params.get("milestones", [0])
        _require(all(_is_number(m) for m in milestones), "params.milestones", f"numbers; found {milestones!r}")


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimiser. `batch_size` is that of one process; it goes through the network in `accumulate` parts, whose
    gradients add up; `momentum` and `nesterov` are SGD's; the gradient of all parameters together is shortened to
    `max_gradient_norm` (None: never)."""

    batch_size: int
    type: str
    learning_rate: float
    schedule: ScheduleConfig
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    max_gradient_norm: float | None = 1.0
    accumulate: int = 1

    def __post_init__(self) -> None:
        _require(self.batch_size >= 1, "batch_size", f"1 or more; found {self.batch_size}")
        parts = f"1 to {self.batch_size}, the batch size"
        _require(1 <= self.accumulate <= self.batch_size, "accumulate", f"{parts}; found {self.accumulate}")
        _require(self.type in OPTIMIZERS, "type", f"one of {', '.join(OPTIMIZERS)}; found {self.type!r}")
        _require(self.learning_rate > 0, "learning_rate", f"more than 0; found {self.learning_rate}")
        _require(0 <= self.momentum < 1, "momentum", f"0 or more and less than 1; found {self.momentum}")
        _require(self.weight_decay >= 0, "weight_decay", f"0 or more; found {self.weight_decay}")
        if self.type != "SGD":
            _require(self.momentum == 0, "momentum", f"no value: {self.type} has none (only SGD)")
            _require(not self.nesterov, "nesterov", f"no value: {self.type} has none (only SGD)")
        _require(not self.nesterov or self.momentum > 0, "nesterov", "momentum more than 0 with it")
        limit = self.max_gradient_norm
        _require(limit is None or limit > 0, "max_gradient_norm", f"more than 0, or null; found {limit}")


@dataclass(frozen=True, kw_only=True)
class RecipeConfig:
    """What every recipe's config says.

    Attributes:
        network: the architecture's name in the model registry.
        size: side of the square input in pixels.
        optimizer: optimiser and schedule.
        normalize: per-channel mean and standard deviation of inputs in 0..1.
        fp16: float16 autocast on CUDA unless `--opt-level` says otherwise.
        pretrained: start from timm's ImageNet weights.
    """

    networks: ClassVar[tuple[str, ...]]
    """The networks that the recipe trains."""
    command: ClassVar[str]
    """The program that trains them."""

    network: str
    size: int
    optimizer: OptimizerConfig
    normalize: Normalization = IMAGENET
    fp16: bool = False
    pretrained: bool = True

    def __post_init__(self) -> None:
        known = ", ".join(self.networks)
        _require(self.network in self.networks, "network", f"one of {known}; found {self.network!r}")
        _require(self.size >= 32, "size", f"32 or more; found {self.size}")
        _require(all(s > 0 for s in self.normalize.std), "normalize.std", "values more than 0")

    @property
    def epochs(self) -> int:
        return self.optimizer.schedule.epochs

    @property
    def model_options(self) -> dict[str, Any]:
        """The options of the model's builder; those that the config leaves open are not in it."""
        return {}

    def with_epochs(self: _Config, epochs: int) -> _Config:
        schedule = dataclasses.replace(self.optimizer.schedule, epochs=epochs)
        return dataclasses.replace(self, optimizer=dataclasses.replace(self.optimizer, schedule=schedule))

    def with_accumulation(self: _Config, parts: int) -> _Config:
        """Raises ValueError if a batch cannot be divided into so many parts."""
        try:
            return dataclasses.replace(self, optimizer=dataclasses.replace(self.optimizer, accumulate=parts))
        except _KeyError as error:
            key, expected = error.args
            raise ValueError(f"{key}: expected {expected}") from error

    def to_dict(self) -> dict[str, Any]:
        """The published layout, every default spelt out; `parse_config` reads it back."""
        return _listed(dataclasses.asdict(self))


_Config = TypeVar("_Config", bound=RecipeConfig)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(RecipeConfig):
    """First place's recipe: network, data, optimiser, schedule, loss.

    Attributes:
        encoder: any timm network, by today's name or the published one.
        batches_per_epoch: most optimiser steps an epoch; fewer samples make fewer steps.
        losses: loss name -> weight.
        ohem_samples: only the that many hardest fakes and reals of a batch count; None counts all.
        drop_path_rate: stochastic depth; None is the recipe's own for the encoder.
        dropout: before the last layer; None is the architecture's own.
    """

    networks: ClassVar[tuple[str, ...]] = ("DeepFakeClassifier", "DeepFakeClassifierSRM", "DeepFakeClassifierGWAP")
    command: ClassVar[str] = "train_classifier.py"

    encoder: str
    batches_per_epoch: int
    losses: dict[str, float]
    ohem_samples: int | None = None
    drop_path_rate: float | None = None
    dropout: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.encoder != "", "encoder", "the name of a timm network")
        _require(self.batches_per_epoch >= 1, "batches_per_epoch", f"1 or more; found {self.batches_per_epoch}")
        _require(len(self.losses) > 0, "losses", f"at least one of {', '.join(LOSSES)}")
        for name, weight in self.losses.items():
            _require(name in LOSSES, f"losses.{name}", f"only {', '.join(LOSSES)}")
            _require(_is_number(weight) and weight > 0, f"losses.{name}", f"a weight more than 0; found {weight!r}")
        _require(self.ohem_samples is None or self.ohem_samples >= 1, "ohem_samples", "1 or more")
        whole = self.ohem_samples is None or self.optimizer.accumulate == 1
        _require(whole, "ohem_samples", "null with optimizer.accumulate: the hardest are those of a whole batch")
        for name in ("drop_path_rate", "dropout"):
            rate = getattr(self, name)
            _require(rate is None or 0 <= rate < 1, name, f"0 or more and less than 1; found {rate}")

    @property
    def model_options(self) -> dict[str, Any]:
        options = {"encoder": self.encoder, "drop_path_rate": self.drop_path_rate, "dropout": self.dropout}
        return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True)
class FrameShare:
    """The part of a video's pictures that an epoch draws, for real videos and for fakes."""

    real: float
    fake: float

    def __post_init__(self) -> None:
        for name in ("real", "fake"):
            share = getattr(self, name)
            _require(0 < share <= 1, name, f"more than 0 and at most 1; found {share}")


@dataclass(frozen=True, kw_only=True)
class XceptionConfig(RecipeConfig):
    """Second place's Xception.

    Attributes:
        frame_share: the part of each video's pictures that an epoch draws.
    """

    networks: ClassVar[tuple[str, ...]] = ("xception",)
    command: ClassVar[str] = "train_xception.py"

    frame_share: FrameShare


@dataclass(frozen=True)
class AttentionConfig:
    """What WS-DAN crops and drops.

    Attributes:
        crop_threshold, drop_threshold: least and largest part of a map's maximum from which on a pixel is looked at;
            drawn anew for each sample.
        crop_padding: added around the box, as a part of the picture's side.
        eval_threshold, eval_padding: of the crop in validation.
    """

    crop_threshold: tuple[float, float] = (0.4, 0.6)
    drop_threshold: tuple[float, float] = (0.4, 0.7)
    crop_padding: float = 0.1
    eval_threshold: float = 0.1
    eval_padding: float = 0.05

    def __post_init__(self) -> None:
        for name in ("crop_threshold", "drop_threshold"):
            low, high = getattr(self, name)
            _require(0 < low <= high <= 1, name, f"two rising numbers more than 0 and at most 1; found {[low, high]}")
        _require(0 < self.eval_threshold <= 1, "eval_threshold", "more than 0 and at most 1")
        for name in ("crop_padding", "eval_padding"):
            _require(0 <= getattr(self, name) < 1, name, "0 or more and less than 1")


@dataclass(frozen=True)
class WSDANLosses:
    """Weights of the cross entropies of whole, cropped and dropped pictures, and of the feature-centre loss."""

    raw: float = 1.0
    crop: float = 1 / 3
    drop: float = 1 / 2
    centre: float = 1.0

    def __post_init__(self) -> None:
        _require(self.raw > 0, "raw", f"more than 0; found {self.raw}")
        for name in ("crop", "drop", "centre"):
            _require(getattr(self, name) >= 0, name, f"0 or more; found {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class WSDANConfig(RecipeConfig):
    """Second place's WS-DAN.

    Attributes:
        frames_per_video: pictures an epoch takes of each of its videos.
        frame_stride: how far apart they are; the first moves on by one each epoch, up to the stride.
        centre_beta: how far feature centres move towards a batch's features.
        centre_growth: centres are multiplied by this after each epoch.
        attention: what is cropped and dropped.
        losses: the four losses' weights.
    """

    networks: ClassVar[tuple[str, ...]] = ("wsdan_xception", "wsdan_efficientnet_b3")
    command: ClassVar[str] = "train_wsdan.py"

    frames_per_video: int = 20
    frame_stride: int = 12
    centre_beta: float = 0.05
    centre_growth: float = 2.0
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    losses: WSDANLosses = field(default_factory=WSDANLosses)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("frames_per_video", "frame_stride"):
            _require(getattr(self, name) >= 1, name, f"1 or more; found {getattr(self, name)}")
        _require(0 < self.centre_beta <= 1, "centre_beta", f"more than 0 and at most 1; found {self.centre_beta}")
        _require(self.centre_growth >= 1, "centre_growth", f"1 or more; found {self.centre_growth}")


FAMILIES: tuple[type[RecipeConfig], ...] = (TrainConfig, XceptionConfig, WSDANConfig)


def read_config(path: Path, kind: type[_Config] = TrainConfig) -> _Config:  # type: ignore[assignment]
    """Reads `configs/*.json` as a config of that kind.

    Raises:
        ConfigError: missing, not JSON, an unknown or missing key, or a value that makes no sense.
    """
    path = Path(path)
    content = read_json(path, "config", ConfigError)
    return parse_config(content, str(path), kind)


def parse_config(content: Any, source: str, kind: type[_Config] = TrainConfig) -> _Config:  # type: ignore[assignment]
    """Makes a config of a JSON value; `source` names it in errors.

    Raises:
        ConfigError: see `read_config`.
    """
    try:
        _check_family(content, kind)
        return _build(kind, content, "")
    except _KeyError as error:
        key, expected = error.args
        raise ConfigError(f"{source}: {key.strip('.') or 'content'}: expected {expected}") from error


def _check_family(content: Any, kind: type[RecipeConfig]) -> None:
    """Another family's config would fail at its first own key, which tells nobody what is wrong."""
    network = content.get("network") if isinstance(content, dict) else None
    for family in FAMILIES:
        if family is not kind and network in family.networks:
            known = ", ".join(kind.networks)
            raise _KeyError("network", f"one of {known}; {network!r} is trained by training/pipelines/{family.command}")


def _build(kind: Any, content: Any, prefix: str) -> Any:
    _require(isinstance(content, dict), prefix, f"a mapping; found {content!r}")
    known = [f.name for f in fields(kind)]
    for key in content:
        if key not in known:
            raise _KeyError(f"{prefix}{key}", f"one of the keys {', '.join(known)}; this one is unknown")
    for f in fields(kind):
        has_default = f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
        _require(has_default or f.name in content, f"{prefix}{f.name}", "a value; the key is missing")
    hints = typing.get_type_hints(kind)
    values = {key: _convert(hints[key], value, f"{prefix}{key}") for key, value in content.items()}
    try:
        return kind(**values)
    except _KeyError as error:
        key, expected = error.args
        raise _KeyError(f"{prefix}{key}", expected) from None


def _convert(hint: Any, value: Any, key: str) -> Any:
    """`value` as the annotated type of its field; JSON has no tuples and writes 1.0 as 1."""
    if isinstance(hint, types.UnionType):
        return None if value is None else _convert(typing.get_args(hint)[0], value, key)
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, f"{key}.")
    if typing.get_origin(hint) is dict:
        _require(isinstance(value, dict), key, f"a mapping; found {value!r}")
        return value
    if typing.get_origin(hint) is tuple:
        length = len(typing.get_args(hint))
        well_formed = isinstance(value, list) and len(value) == length and all(_is_number(v) for v in value)
        _require(well_formed, key, f"a list of {length} numbers; found {value!r}")
        return tuple(float(v) for v in value)
    if hint is float:
        _require(_is_number(value), key, f"a number; found {value!r}")
        return float(value)
    names = {int: "a whole number", bool: "true or false", str: "a text"}
    _require(type(value) is hint, key, f"{names[hint]}; found {value!r}")
    return value


def _listed(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(value, dict):
        return {key: _listed(part) for key, part in value.items()}
    return [_listed(part) for part in value] if isinstance(value, (list, tuple)) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
