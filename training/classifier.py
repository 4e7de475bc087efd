"""First place's recipe: crops, augmentation, one logit, real and fake losses averaged separately."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import torch
from torch import nn

from deepfake.paths import DataRoot
from training.config import TrainConfig
from training.datasets.batch import Batch
from training.datasets.crops import SampleOptions, TrainingCrops, ValidationCrops
from training.datasets.loading import EpochLoader, make_loader, training_positions, validation_positions
from training.datasets.sampling import steps_per_epoch, training_rows, validation_rows
from training.distributed import Ranks
from training.engine import TOTAL, Recipe
from training.losses import real_fake_bce, side_shares
from training.transforms.normalize import InputNormalizer


class ClassifierRecipe(Recipe):
    """Trains a `DeepFakeClassifier` on the crops of a fold table (a `training.engine.Recipe`).

    Args:
        network: (n, 3, size, size) -> (n, 1) logits, on its device, with an `encoder`.
        table: the fold table; `fold` validates.
        options: what happens to training samples.
        oversample: as many fakes as reals in each epoch.
    """

    def __init__(
        self,
        network: nn.Module,
        config: TrainConfig,
        table: pd.DataFrame,
        fold: int,
        layout: DataRoot,
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
        self._layout = layout
        self._ranks = ranks
        self._seed = seed
        self._options = options or SampleOptions()
        self._oversample = oversample
        self._workers = workers
        self._pin_memory = ranks.device.type == "cuda"
        self._epochs = EpochLoader(config.optimizer.batch_size, workers, self._pin_memory)
        self._input = InputNormalizer(config.normalize).to(ranks.device)
        samples = len(training_rows(table, fold, 0, seed, oversample))
        self.steps = steps_per_epoch(samples, config.optimizer.batch_size, ranks.world_size, config.batches_per_epoch)

    def train_batches(self, epoch: int, first: int = 0) -> Iterable[Batch]:
        batch_size, ranks = self._config.optimizer.batch_size, self._ranks
        rows = training_rows(self._table, self._fold, epoch, self._seed, self._oversample)
        # Only what this epoch uses: worker processes copy it.
        rows = rows.iloc[: self.steps * batch_size * ranks.world_size]
        positions = training_positions(len(rows), self.steps, batch_size, ranks.rank, ranks.world_size, first)
        data = TrainingCrops(rows, positions, self._layout, self._config.size, self._options, self._seed, epoch)
        return self._epochs.batches(data)

    def validation_batches(self) -> Iterable[Batch]:
        positions = validation_positions(len(self.validation), self._ranks.rank, self._ranks.world_size)
        part = self._options.padding_part
        data = ValidationCrops(self.validation, positions, self._layout, self._config.size, part)
        return make_loader(data, self._config.optimizer.batch_size, self._workers, self._pin_memory)

    def loss(self, network: nn.Module, batch: Batch, whole: Batch | None = None) -> dict[str, torch.Tensor]:
        logits, labels = self._logits(network, batch), self._labels(batch)
        if self._options.only_changed:
            logits = logits[batch.valid]
        sides = real_fake_bce(logits, labels, self._config.ohem_samples)
        if whole is not None and whole is not batch:
            sides = sides.weighted(*side_shares(labels, self._labels(whole)))
        weight = self._config.losses["BinaryCrossentropy"]
        return {TOTAL: weight * sides.total, "fake": sides.fake, "real": sides.real}

    def _labels(self, batch: Batch) -> torch.Tensor:
        """Labels of the samples that count."""
        return batch.labels[batch.valid] if self._options.only_changed else batch.labels

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        return self._logits(network, batch).float().sigmoid()

    def _logits(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        return network(self._input(batch.images)).flatten()
