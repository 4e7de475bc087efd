"""What second place's tasks share: a folder of aligned faces, two logits, predictions by softmax."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import nn

from deepfake.checkpoints.spec import OUTPUT_SOFTMAX, ModelSpec, fake_probability
from deepfake.checkpoints.trained_groups import GROUPS, digest_groups
from deepfake.datasets.aligned_faces import (
    FACES_CSV,
    RECIPE_JSON,
    TRAIN,
    VALIDATION,
    read_extraction,
    read_face_list,
)
from deepfake.faces.recipes import AlignRecipe
from training.config import ConfigError, TaskConfig
from training.datasets.batch import Batch
from training.datasets.face_sampling import check_faces, even_rows, faces_of_set
from training.datasets.faces import TrainingFaces, ValidationFaces
from training.datasets.loading import EpochLoader, make_loader, training_positions, validation_positions
from training.datasets.sampling import steps_per_epoch
from training.engine.checkpointing import RunFiles
from training.engine.distributed import Ranks
from training.engine.fitting import Initialize, train
from training.engine.trainer import TrainingTask
from training.options import AlignedOptions
from training.transforms.augment_faces import FaceAugmentation, resize
from training.transforms.normalize import InputNormalizer

UNLIMITED = 2**62

log = logging.getLogger(__name__)


class AlignedTask(TrainingTask):
    """Trains a network of two logits on aligned faces; which ones and with what loss is a subclass'.

    Args:
        network: (n, 3, size, size) -> (n, 2) logits, on its device.
        faces: the list of videos.
        folder: where their pictures are.
    """

    augmentation: ClassVar[type[FaceAugmentation]]

    def __init__(
        self,
        network: nn.Module,
        config: TaskConfig,
        faces: pd.DataFrame,
        folder: Path,
        ranks: Ranks,
        seed: int,
        workers: int = 0,
    ) -> None:
        self._config = config
        self.network = network
        self.encoder = network
        self._videos = faces_of_set(faces, TRAIN)
        held_out = faces_of_set(faces, VALIDATION)
        self.validation = even_rows(held_out, self._validation_counts(held_out))
        self._batch_size = config.optimizer.batch_size
        self._folder = folder
        self._ranks = ranks
        self._seed = seed
        self._workers = workers
        self._pin_memory = ranks.device.type == "cuda"
        self._epochs = EpochLoader(self._batch_size, workers, self._pin_memory)
        self._augment = self.augmentation(config.size)
        self._input = InputNormalizer(config.normalize).to(ranks.device)
        self.steps = steps_per_epoch(self._epoch_samples(), self._batch_size, ranks.world_size, UNLIMITED)

    @abstractmethod
    def _epoch_samples(self) -> int:
        """How many samples each epoch has at least."""

    @abstractmethod
    def _epoch_rows(self, epoch: int) -> pd.DataFrame:
        """An epoch's samples in order (see `training.datasets.face_sampling`)."""

    @abstractmethod
    def _validation_counts(self, videos: pd.DataFrame) -> np.ndarray:
        """How many pictures of each video validate."""

    def train_batches(self, epoch: int, first: int = 0) -> Iterable[Batch]:
        ranks = self._ranks
        # Only what this epoch uses: worker processes copy it.
        rows = self._epoch_rows(epoch).iloc[: self.steps * self._batch_size * ranks.world_size]
        positions = training_positions(len(rows), self.steps, self._batch_size, ranks.rank, ranks.world_size, first)
        return self._epochs.batches(TrainingFaces(rows, positions, self._folder, self._augment, self._seed, epoch))

    def validation_batches(self) -> Iterable[Batch]:
        positions = validation_positions(len(self.validation), self._ranks.rank, self._ranks.world_size)
        plain = partial(resize, size=self._config.size)
        data = ValidationFaces(self.validation, positions, self._folder, plain)
        return make_loader(data, self._batch_size, self._workers, self._pin_memory)

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        return fake_probability(self._evaluate(network, self._input(batch.images)), OUTPUT_SOFTMAX)

    def _evaluate(self, network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        """Normalized pictures -> (n, 2) logits of validation."""
        return network(images)


def run_aligned(
    options: AlignedOptions,
    config: TaskConfig,
    make: Callable[..., AlignedTask],
    initialize: Initialize | None = None,
) -> None:
    """Train on a folder of aligned faces as `options` say.

    Args:
        make: a subclass of AlignedTask.
        initialize: see `training.engine.fitting.train`.

    Raises:
        ValueError: a config, face list, checkpoint or option that cannot be used.
        NonFiniteLoss: training diverged.
    """
    config = options.applied(config)
    faces = _read_faces(options)
    files = RunFiles.of(options.output_dir, options.prefix, config.network)

    def make_task(network: nn.Module, ranks: Any) -> AlignedTask:
        try:
            return make(network, config, faces, options.folder, ranks, options.seed, options.workers)
        except ConfigError as error:
            raise ConfigError(f"{options.config}: {error}") from error

    train(options, config, files, _spec(options, config, faces), make_task, initialize=initialize)


def _read_faces(options: AlignedOptions) -> pd.DataFrame:
    path = options.face_list or options.folder / FACES_CSV
    faces = read_face_list(path)
    check_faces(faces, options.folder, str(path))
    return faces


def _spec(options: AlignedOptions, config: TaskConfig, faces: pd.DataFrame) -> ModelSpec:
    extraction = read_extraction(options.folder)
    if extraction is None:
        file = options.folder / RECIPE_JSON
        log.warning("%s: not there; prediction will find and align faces as published", file)
    return ModelSpec(
        architecture=config.network,
        options=config.model_options,
        input_size=config.size,
        normalization=config.normalize,
        crop=AlignRecipe() if extraction is None else extraction.recipe,
        output=OUTPUT_SOFTMAX,
        # The list does not name originals: a group is known by all of its videos.
        training={GROUPS: digest_groups(faces_of_set(faces, TRAIN)["name"])},
    )
