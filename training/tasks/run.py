"""A classifier's training run: its options and config -> the fold table, crops and recipe to fit."""

from __future__ import annotations

from torch import nn

from deepfake.checkpoints.spec import ModelSpec
from training.config import TrainConfig, read_config
from training.datasets.completeness import check_complete
from training.datasets.crop_data import CropData, open_data
from training.datasets.crop_recipe import crop_recipe
from training.datasets.crops import SampleOptions
from training.datasets.sampling import check_folds
from training.engine.checkpointing import RunFiles
from training.engine.distributed import Ranks
from training.engine.fitting import train
from training.options import RunOptions
from training.tasks.classifier import ClassifierRecipe


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
        check_complete(rows, data.crops, sample_options(options), data.source, warn=ranks.is_main)
        return ClassifierRecipe(
            network, config, data.table, options.fold, data.crops, ranks, options.seed,
            sample_options(options), options.oversample, options.workers,
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


def sample_options(options: RunOptions) -> SampleOptions:
    """Return what happens to a run's training samples."""
    return SampleOptions(options.label_smoothing, options.hardcore, options.padding_part, options.only_changed_frames)
