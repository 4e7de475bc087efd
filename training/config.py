"""What is trained: the typed form of `configs/*.json`, which refuses nonsense when it is read.

The layout is the published one. Every error names the file, the key and what was expected.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from annotated_types import Ge, Interval, Len

from deepfake.media.images import IMAGENET, Normalization
from deepfake.models.registry import ARCHITECTURES, model_names
from deepfake.storage.json_files import read_json
from deepfake.storage.schema import Count, Positive, from_plain, require, to_plain
from training.losses.registry import LOSSES

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
_LISTS = ("steps", "milestones")

_NotNegative = Annotated[float, Ge(0)]
_Below1 = Annotated[float, Interval(ge=0, lt=1)]
_UpTo1 = Annotated[float, Interval(gt=0, le=1)]


class ConfigError(ValueError):
    """A training config cannot be used; the message names the file, the key and what was expected."""


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate changes.

    Attributes:
        type: one of `SCHEDULE_PARAMS`.
        mode: what is counted, optimizer steps or epochs.
        epochs: how many epochs are trained.
        params: the type's parameters.
    """

    type: str
    mode: str
    epochs: Count
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(self.type in SCHEDULE_PARAMS, "type", f"one of {', '.join(SCHEDULE_PARAMS)}; found {self.type!r}")
        require(self.mode in SCHEDULE_MODES, "mode", f"one of {', '.join(SCHEDULE_MODES)}; found {self.mode!r}")
        required, optional = SCHEDULE_PARAMS[self.type]
        allowed = required + optional
        for name, value in self.params.items():
            require(name in allowed, f"params.{name}", f"only {', '.join(allowed) or 'no keys'} for {self.type!r}")
            if name in _LISTS:
                require(isinstance(value, list) and len(value) > 0, f"params.{name}", f"a list; found {value!r}")
            else:
                require(_is_number(value), f"params.{name}", f"a number; found {value!r}")
        for name in required:
            require(name in self.params, f"params.{name}", f"a value: the {self.type!r} schedule needs it")
        for name in ("max_iter", "step_size", "power", "every"):
            value = self.params.get(name, 1)
            require(value > 0, f"params.{name}", f"more than 0; found {value!r}")
        self._check_lists()

    def _check_lists(self) -> None:
        pairs = self.params.get("steps", [[0, 0.0]])
        well_formed = all(isinstance(p, list) and len(p) == 2 and all(_is_number(v) for v in p) for p in pairs)
        require(well_formed, "params.steps", f"pairs [count, learning rate]; found {pairs!r}")
        milestones = self.params.get("milestones", [0])
        require(all(_is_number(m) for m in milestones), "params.milestones", f"numbers; found {milestones!r}")


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer. `batch_size` is that of one process; it goes through the network in `accumulate` parts, whose
    gradients add up; `momentum` and `nesterov` are SGD's; the gradient of all parameters together is shortened to
    `max_gradient_norm` (None: never)."""

    batch_size: Count
    type: str
    learning_rate: Positive
    schedule: ScheduleConfig
    momentum: _Below1 = 0.0
    weight_decay: _NotNegative = 0.0
    nesterov: bool = False
    max_gradient_norm: Positive | None = 1.0
    accumulate: int = 1

    def __post_init__(self) -> None:
        parts = f"1 to {self.batch_size}, the batch size"
        require(1 <= self.accumulate <= self.batch_size, "accumulate", f"{parts}; found {self.accumulate}")
        require(self.type in OPTIMIZERS, "type", f"one of {', '.join(OPTIMIZERS)}; found {self.type!r}")
        if self.type != "SGD":
            require(self.momentum == 0, "momentum", f"no value: {self.type} has none (only SGD)")
            require(not self.nesterov, "nesterov", f"no value: {self.type} has none (only SGD)")
        require(not self.nesterov or self.momentum > 0, "nesterov", "momentum more than 0 with it")


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What every task's config says.

    Attributes:
        network: the architecture's name in the model registry.
        size: side of the square input in pixels.
        optimizer: optimizer and schedule.
        normalize: per-channel mean and standard deviation of inputs in 0..1.
        fp16: float16 autocast on CUDA unless `--opt-level` says otherwise.
        pretrained: start from timm's ImageNet weights.
    """

    task: ClassVar[str]
    """The training task whose networks it may name, and whose program it is for."""

    network: str
    size: Annotated[int, Ge(32)]
    optimizer: OptimizerConfig
    normalize: Normalization = IMAGENET
    fp16: bool = False
    pretrained: bool = True

    def __post_init__(self) -> None:
        known = model_names(self.task)
        require(self.network in known, "network", f"one of {', '.join(known)}; found {self.network!r}")

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
        return dataclasses.replace(self, optimizer=dataclasses.replace(self.optimizer, accumulate=parts))

    def to_dict(self) -> dict[str, Any]:
        """The published layout, every default spelt out; `parse_config` reads it back."""
        return to_plain(self)


_Config = TypeVar("_Config", bound=TaskConfig)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TaskConfig):
    """First place's classifier: network, data, optimizer, schedule, loss.

    Attributes:
        encoder: any timm network, by today's name or the published one.
        batches_per_epoch: most optimizer steps an epoch; fewer samples make fewer steps.
        losses: loss name -> weight.
        ohem_samples: only the that many hardest fakes and reals of a batch count; None counts all.
        drop_path_rate: stochastic depth; None is the recipe's own for the encoder.
        dropout: before the last layer; None is the architecture's own.
    """

    task: ClassVar[str] = "classifier"

    encoder: Annotated[str, Len(1)]
    batches_per_epoch: Count
    losses: dict[str, Positive]
    ohem_samples: Count | None = None
    drop_path_rate: _Below1 | None = None
    dropout: _Below1 | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.losses) > 0, "losses", f"at least one of {', '.join(LOSSES)}")
        for name in self.losses:
            require(name in LOSSES, f"losses.{name}", f"only {', '.join(LOSSES)}")
        whole = self.ohem_samples is None or self.optimizer.accumulate == 1
        require(whole, "ohem_samples", "null with optimizer.accumulate: the hardest are those of a whole batch")

    @property
    def model_options(self) -> dict[str, Any]:
        options = {"encoder": self.encoder, "drop_path_rate": self.drop_path_rate, "dropout": self.dropout}
        return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True)
class FrameShare:
    """The part of a video's pictures that an epoch draws, for real videos and for fakes."""

    real: _UpTo1
    fake: _UpTo1


@dataclass(frozen=True, kw_only=True)
class XceptionConfig(TaskConfig):
    """Second place's Xception.

    Attributes:
        frame_share: the part of each video's pictures that an epoch draws.
    """

    task: ClassVar[str] = "xception"

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
    crop_padding: _Below1 = 0.1
    eval_threshold: _UpTo1 = 0.1
    eval_padding: _Below1 = 0.05

    def __post_init__(self) -> None:
        for name in ("crop_threshold", "drop_threshold"):
            low, high = getattr(self, name)
            require(0 < low <= high <= 1, name, f"two rising numbers more than 0 and at most 1; found {[low, high]}")


@dataclass(frozen=True)
class WSDANLosses:
    """Weights of the cross entropies of whole, cropped and dropped pictures, and of the feature-center loss."""

    raw: Positive = 1.0
    crop: _NotNegative = 1 / 3
    drop: _NotNegative = 1 / 2
    centre: _NotNegative = 1.0


@dataclass(frozen=True, kw_only=True)
class WSDANConfig(TaskConfig):
    """Second place's WS-DAN.

    Attributes:
        frames_per_video: pictures an epoch takes of each of its videos.
        frame_stride: how far apart they are; the first moves on by one each epoch, up to the stride.
        centre_beta: how far feature centres move towards a batch's features.
        centre_growth: centres are multiplied by this after each epoch.
        attention: what is cropped and dropped.
        losses: the four losses' weights.
    """

    task: ClassVar[str] = "wsdan"

    frames_per_video: Count = 20
    frame_stride: Count = 12
    centre_beta: _UpTo1 = 0.05
    centre_growth: Annotated[float, Ge(1)] = 2.0
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    losses: WSDANLosses = field(default_factory=WSDANLosses)


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
        _check_task(content, kind)
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from error
    return from_plain(kind, content, source, ConfigError)


def _check_task(content: Any, kind: type[TaskConfig]) -> None:
    """Name the right program for the config of another task, instead of failing at the first key of its own."""
    network = content.get("network") if isinstance(content, dict) else None
    if not isinstance(network, str) or network not in ARCHITECTURES:
        return
    known, task = ", ".join(model_names(kind.task)), ARCHITECTURES[network].task
    expected = f"one of {known}; {network!r} is trained by training/pipelines/train_{task}.py"
    require(task == kind.task, "network", expected)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
