"""A classifier's training run: its options and config -> the fold table, crops and recipe to fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from deepfake.checkpoints.spec import ModelSpec
from deepfake.datasets.shard_reader import CACHE_GIB
from training.config import TrainConfig, read_config
from training.datasets.completeness import check_complete
from training.datasets.crop_data import CropData, open_data
from training.datasets.crop_recipe import crop_recipe
from training.datasets.crops import LABEL_SMOOTHING, SampleOptions
from training.datasets.sampling import check_folds
from training.engine.checkpointing import RunFiles
from training.engine.distributed import Ranks
from training.engine.fitting import FitOptions, train
from training.tasks.classifier import ClassifierRecipe


@dataclass(frozen=True)
class RunOptions(FitOptions):
    """One run's options; the command line's help explains each."""

    prefix: str = "classifier_"
    fold: int = 0
    folds_csv: Path | None = None
    crops_dir: str = "crops"
    freeze_epochs: int = 0
    label_smoothing: float = LABEL_SMOOTHING
    padding_part: int = SampleOptions.padding_part
    oversample: bool = True
    hardcore: bool = True
    only_changed_frames: bool = False
    cache_dir: Path | None = None
    cache_gib: float = CACHE_GIB

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"--label-smoothing {self.label_smoothing}: expected 0 or more and less than 0.5")
        if self.padding_part < SampleOptions.padding_part:
            raise ValueError(f"--padding-part {self.padding_part}: expected {SampleOptions.padding_part} or more")

    @property
    def sample_options(self) -> SampleOptions:
        return SampleOptions(self.label_smoothing, self.hardcore, self.padding_part, self.only_changed_frames)


def run(options: RunOptions) -> None:
    """Trains as `options` say.

    Raises:
        ValueError: a config, fold table, index of shards, checkpoint or option that cannot be used.
        NonFiniteLoss: training diverged.
    """
    config = options.applied(read_config(options.config, TrainConfig))
    data = open_data(options.data_dir, options.folds_csv, options.crops_dir, options.cache_dir, options.cache_gib)
    check_folds(data.table, options.fold, data.source)
    files = RunFiles.of(options.output_dir, options.prefix, config.network, config.encoder, options.fold)

    def recipe(network: nn.Module, ranks: Ranks) -> ClassifierRecipe:
        rows = data.table[data.table["fold"] != options.fold]
        check_complete(rows, data.crops, options.sample_options, data.source, warn=ranks.is_main)
        return ClassifierRecipe(
            network, config, data.table, options.fold, data.crops, ranks, options.seed,
            options.sample_options, options.oversample, options.workers,
        )  # fmt: skip

    train(options, config, files, _spec(options, config, data), recipe, options.freeze_epochs)


def _spec(options: RunOptions, config: TrainConfig, data: CropData) -> ModelSpec:
    return ModelSpec(
        architecture=config.network,
        options=config.model_options,
        input_size=config.size,
        normalization=config.normalize,
        crop=crop_recipe(data.made_with, data.source, options.padding_part),
        training={"fold": options.fold},
    )
