"""What a training run is asked for: the fields of these classes are the options of the commands in `pipelines`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Gt, Lt
from typing_extensions import Doc

from deepfake.datasets.shard_reader import CACHE_GIB
from deepfake.faces.boxes import MARGIN
from training.config import DEFAULT_SEED, ConfigError, TaskConfig

_Config = TypeVar("_Config", bound=TaskConfig)


@dataclass(frozen=True)
class FitOptions:
    """One run's options, whatever is trained."""

    config: Annotated[Path, Doc("the recipe, one of configs/*.json"), "JSON"]
    data_dir: Annotated[
        Path | str,
        Doc("the preprocessed data set; or shards: a folder, a pattern (SHARDS/fold0[0-7]_*.tar), or a URL of either"),
        "DATA",
    ]
    seed: Annotated[int, Ge(1), Doc("draws and augments")] = DEFAULT_SEED
    prefix: Annotated[str, Doc("begins the checkpoints' names")] = ""
    output_dir: Annotated[Path, Doc("for checkpoints"), "DIR"] = Path("weights")
    logdir: Annotated[Path, Doc("for TensorBoard scalars"), "DIR"] = Path("logs")
    workers: Annotated[int, Ge(0), Doc("loader processes; 0: the training process loads")] = 0
    resume: Annotated[
        str | None, Doc("continue from this checkpoint; auto: from the run's own _last, if there"), "CKPT"
    ] = None
    from_zero: Annotated[bool, Doc("with --resume: take the weights only, start at epoch 0")] = False
    zero_score: Annotated[bool, Doc("with --resume: forget the best metric")] = False
    distributed: Annotated[bool, Doc("one of several processes, started by torchrun")] = False
    test_every: Annotated[int, Ge(1), Doc("epochs between validations")] = 1
    opt_level: Annotated[
        Literal["O0", "O1", "bf16"] | None,
        Doc(
            "O0: float32; O1: float16 autocast with loss scaling; bf16: bfloat16 autocast (default: O1 on CUDA if the "
            "config says fp16, else O0)"
        ),
    ] = None
    device: Annotated[Literal["auto", "cpu", "cuda"], Doc("auto: cuda if there")] = "auto"
    from_scratch: Annotated[bool, Doc("random weights instead of ImageNet's")] = False
    epochs: Annotated[int | None, Ge(1), Doc("train so many epochs instead of the config's")] = None
    keep_epochs: Annotated[
        int, Ge(0), Doc("per-epoch checkpoints that stay, those of the lowest weighted losses; 0: all")
    ] = 5  # 40 epochs of five B7 would fill 50 GB
    checkpoint_every: Annotated[
        int,
        Ge(0),
        Doc("save after so many steps of an epoch, too, should the run be killed; 0: only when SIGTERM comes"),
        "STEPS",
    ] = 500  # B7 takes minutes for so many steps, and a second to save
    accumulate: Annotated[
        int | None,
        Ge(1),
        Doc(
            "put each batch through the network in N parts and add up their gradients: for a GPU that is too small for "
            "the config's batch (batch norms see the parts; default: the config's optimizer.accumulate, else 1)"
        ),
    ] = None
    compile: Annotated[bool, Doc("compile the network for training (torch.compile; minutes at the start)")] = False

    def __post_init__(self) -> None:
        if self.resume is None and (self.from_zero or self.zero_score):
            raise ValueError("--from-zero and --zero-score say how to --resume; without it they mean nothing")

    def applied(self, config: _Config) -> _Config:
        """Return the config with what the options put in the place of its values.

        Raises:
            ConfigError: the config and such a value do not go together.
        """
        if self.epochs is not None:
            config = config.with_epochs(self.epochs)
        if self.accumulate is not None:
            try:
                config = config.with_accumulation(self.accumulate)
            except ValueError as error:
                raise ConfigError(f"{self.config}: --accumulate {self.accumulate}: {error}") from error
        return config

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain JSON values."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class RunOptions(FitOptions):
    """A run of first place's classifier."""

    prefix: Annotated[str, Doc("begins the checkpoints' names")] = "classifier_"
    fold: Annotated[int, Ge(0), Doc("the fold that validates")] = 0
    folds_csv: Annotated[Path | None, Doc("fold table (default: DATA_ROOT/folds.csv, else ./folds.csv)"), "CSV"] = None
    crops_dir: Annotated[str, Doc("crops' folder below DATA_ROOT")] = "crops"
    freeze_epochs: Annotated[int, Ge(0), Doc("epochs for which the encoder stands still")] = 0
    label_smoothing: Annotated[float, Ge(0), Lt(0.5), Doc("labels in [E, 1 - E]"), "E"] = 0.01
    padding_part: Annotated[int, Ge(MARGIN), Doc("margin of 1/N of the face box instead of a third")] = MARGIN
    oversample: Annotated[bool, Doc("all fakes, not as many as reals")] = True
    hardcore: Annotated[bool, Doc("no occlusions")] = True
    only_changed_frames: Annotated[bool, Doc("no loss for fakes' crops whose mask shows no change")] = False
    cache_dir: Annotated[Path | None, Doc("for copies of remote shards (default: the user's cache folder)"), "DIR"] = (
        None
    )
    cache_gib: Annotated[float, Gt(0), Doc("the copies' size at most, of all processes that share the folder"), "N"] = (
        CACHE_GIB
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"--label-smoothing {self.label_smoothing}: expected 0 or more and less than 0.5")
        if self.padding_part < MARGIN:
            raise ValueError(f"--padding-part {self.padding_part}: expected {MARGIN} or more")


@dataclass(frozen=True)
class AlignedOptions(FitOptions):
    """A run of second place's Xception."""

    data_dir: Annotated[Path, Doc("a folder of aligned faces"), "FACES"]
    face_list: Annotated[Path | None, Doc("its videos with label and set (default: FACES/faces.csv)"), "CSV"] = None

    @property
    def folder(self) -> Path:
        """The folder of aligned faces."""
        return Path(self.data_dir)


@dataclass(frozen=True)
class WSDANOptions(AlignedOptions):
    """A run of second place's WS-DAN."""

    init: Annotated[
        Path | None,
        Doc("start from the weights of a trained Xception (a resumed run goes on with its own)"),
        "CKPT",
    ] = None


RUN = (
    *("seed", "prefix", "output_dir", "logdir", "resume", "from_zero", "zero_score", "epochs", "test_every"),
    *("keep_epochs", "checkpoint_every", "distributed", "device", "opt_level", "accumulate", "compile"),
)
"""What all commands ask for, in the order of their help."""
CROPS = ("data_dir", "folds_csv", "crops_dir", "fold", "cache_dir", "cache_gib", "workers")
FACES = ("data_dir", "face_list", "workers")
CLASSIFIER = (
    *("freeze_epochs", "label_smoothing", "padding_part", "oversample", "hardcore", "only_changed_frames"),
    "from_scratch",
)
