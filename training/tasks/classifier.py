"""First place's task: crops, augmentation, one logit, real and fake losses averaged separately."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import pandas as pd
import torch
from torch import nn

from deepfake.checkpoints.spec import ModelSpec
from deepfake.checkpoints.trained_groups import GROUPS, digest_groups
from training.config import TrainConfig, read_config
from training.datasets.batch import Batch
from training.datasets.completeness import check_complete
from training.datasets.crop_data import CropData, open_data
from training.datasets.crop_reading import CropReader
from training.datasets.crop_recipe import crop_recipe
from training.datasets.crops import SampleOptions, TrainingCrops, ValidationCrops
from training.datasets.loading import EpochLoader, make_loader, training_positions, validation_positions
from training.datasets.sampling import check_folds, steps_per_epoch, training_rows, validation_rows
from training.datasets.shard_sampling import sharded_rows, sharded_samples, sharded_validation_positions, shares
from training.engine.checkpointing import RunFiles
from training.engine.distributed import Ranks
from training.engine.fitting import train
from training.engine.trainer import TOTAL, TrainingTask
from training.losses.per_class import class_means, class_shares
from training.losses.registry import weighted_losses
from training.options import RunOptions
from training.tasks.registry import TASKS
from training.transforms.normalize import InputNormalizer


class ClassifierTask(TrainingTask):
    """Trains a `DeepFakeClassifier` on the crops of a fold table (a `training.engine.trainer.TrainingTask`).

    Args:
        network: (n, 3, size, size) -> (n, 1) logits, on its device, with an `encoder`.
        table: the fold table, or the index of shards; `fold` validates.
        crops: reads its rows' files.
        options: what happens to training samples.
        oversample: as many fakes as reals in each epoch.
    """

    def __init__(
        self,
        network: nn.Module,
        config: TrainConfig,
        table: pd.DataFrame,
        fold: int,
        crops: CropReader,
        ranks: Ranks,
        seed: int,
        options: SampleOptions | None = None,
        oversample: bool = True,
        workers: int = 0,
    ) -> None:
        self.network = network
        self.encoder: nn.Module = network.encoder  # type: ignore[assignment]
        self.validation = validation_rows(table, fold)
        self._config = config
        self._table = table
        self._fold = fold
        self._crops = crops
        self._ranks = ranks
        self._seed = seed
        self._options = options or SampleOptions()
        self._oversample = oversample
        self._workers = workers
        self._pin_memory = ranks.device.type == "cuda"
        self._epochs = EpochLoader(config.optimizer.batch_size, workers, self._pin_memory)
        self._input = InputNormalizer(config.normalize).to(ranks.device)
        self._sharded = "shard" in table.columns
        self._shares = shares(table, fold, ranks.world_size) if self._sharded else []

    @cached_property
    def samples(self) -> int:
        """What an epoch of all ranks draws."""
        if self._sharded:
            return sharded_samples(self._shares, self._fold, self._seed, self._oversample)
        return len(training_rows(self._table, self._fold, 0, self._seed, self._oversample))

    @cached_property
    def steps(self) -> int:  # type: ignore[override]  # worked out when asked for: who only scores has none
        config = self._config
        return steps_per_epoch(
            self.samples, config.optimizer.batch_size, self._ranks.world_size, config.batches_per_epoch
        )

    def train_batches(self, epoch: int, first: int = 0) -> Iterable[Batch]:
        batch_size, ranks = self._config.optimizer.batch_size, self._ranks
        rows = self._rows(epoch)
        positions = training_positions(len(rows), self.steps, batch_size, ranks.rank, ranks.world_size, first)
        data = TrainingCrops(rows, positions, self._crops, self._config.size, self._options, self._seed, epoch)
        return self._epochs.batches(data)

    def validation_batches(self) -> Iterable[Batch]:
        rows, rank, ranks = self.validation, self._ranks.rank, self._ranks.world_size
        if self._sharded:
            positions = sharded_validation_positions(rows, rank, ranks)
        else:
            positions = validation_positions(len(rows), rank, ranks)
        part = self._options.padding_part
        data = ValidationCrops(rows, positions, self._crops, self._config.size, part)
        return make_loader(data, self._config.optimizer.batch_size, self._workers, self._pin_memory)

    def loss(self, network: nn.Module, batch: Batch, whole: Batch | None = None) -> dict[str, torch.Tensor]:
        logits, labels = self._logits(network, batch), self._labels(batch)
        if self._options.only_changed:
            logits = logits[batch.valid]
        losses = class_means(weighted_losses(logits, labels, self._config.losses), labels, self._config.ohem_samples)
        if whole is not None and whole is not batch:
            losses = losses.weighted(*class_shares(labels, self._labels(whole)))
        return {TOTAL: losses.total, "fake": losses.fake, "real": losses.real}

    def _labels(self, batch: Batch) -> torch.Tensor:
        """Labels of the samples that count."""
        return batch.labels[batch.valid] if self._options.only_changed else batch.labels

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        return self._logits(network, batch).float().sigmoid()

    def _rows(self, epoch: int) -> pd.DataFrame:
        """What an epoch of all ranks uses, in order; no more, as worker processes copy it."""
        batch_size, draw = self._config.optimizer.batch_size, (self._fold, epoch, self._seed, self._oversample)
        if self._sharded:
            return sharded_rows(self._shares, *draw, self.steps, batch_size)
        return training_rows(self._table, *draw).iloc[: self.steps * batch_size * self._ranks.world_size]

    def _logits(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        return network(self._input(batch.images)).flatten()


@TASKS.register("classifier")
def run_classifier(options: RunOptions) -> None:
    """Train as `options` say.

    Raises:
        ValueError: a config, fold table, index of shards, checkpoint or option that cannot be used.
        NonFiniteLoss: training diverged.
    """
    config = options.applied(read_config(options.config, TrainConfig))
    data = open_data(options.data_dir, options.folds_csv, options.crops_dir, options.cache_dir, options.cache_gib)
    check_folds(data.table, options.fold, data.source)
    files = RunFiles.of(options.output_dir, options.prefix, config.network, config.encoder, options.fold)

    def make_task(network: nn.Module, ranks: Ranks) -> ClassifierTask:
        rows = data.table[data.table["fold"] != options.fold]
        check_complete(rows, data.crops, _sample_options(options), data.source, warn=ranks.is_main)
        return ClassifierTask(
            network, config, data.table, options.fold, data.crops, ranks, options.seed,
            _sample_options(options), options.oversample, options.workers,
        )  # fmt: skip

    train(options, config, files, _spec(options, config, data), make_task, options.freeze_epochs)


def _spec(options: RunOptions, config: TrainConfig, data: CropData) -> ModelSpec:
    trained = data.table[data.table["fold"] != options.fold]
    return ModelSpec(
        architecture=config.network,
        options=config.model_options,
        input_size=config.size,
        normalization=config.normalize,
        crop=crop_recipe(data.made_with, data.source, options.padding_part),
        training={"fold": options.fold, GROUPS: digest_groups(trained["original"])},
    )


def _sample_options(options: RunOptions) -> SampleOptions:
    """Return what happens to a run's training samples."""
    return SampleOptions(options.label_smoothing, options.hardcore, options.padding_part, options.only_changed_frames)
