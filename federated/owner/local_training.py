"""One owner's part of federated averaging: the network and its optimizer, trained on own data, then given the mean.

The training is `training.engine.trainer`'s, on `training.tasks.classifier`'s task: a round is as many epochs of a
run. The state between two rounds is an ordinary checkpoint, whose weights are those that all owners have in common.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from deepfake.checkpoints.checkpoint import Checkpoint, load_weights, read_checkpoint, save_checkpoint
from deepfake.checkpoints.spec import ModelSpec
from federated.owner.predictions import COLUMNS
from federated.owner.settings import LOCAL, LocalSettings
from federated.samples.samples import OwnerData
from training.datasets.crop_recipe import crop_recipe
from training.engine import distributed
from training.engine.checkpointing import resumable, resume
from training.engine.fitting import build_network, default_precision, version
from training.engine.optim import check_schedule
from training.engine.trainer import StepSettings, Trainer
from training.tasks.classifier import ClassifierTask

_TRAINED_ON, _HELD_OUT = 0, 1
_COMMON, _OWN = "federated_rounds", "federated_own"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Update:
    """What an owner hands out after a round: its weights, float32 arrays in the order of `shared_names`, and how many
    samples an epoch draws from its data (as many fakes as reals), which is what it weighs."""

    weights: list[np.ndarray]
    samples: int


def write_start(
    path: Path, settings: LocalSettings, detection: dict[str, Any] | None, init: Path | None, from_scratch: bool
) -> None:
    """Writes the checkpoint that all owners start from.

    Args:
        detection: how the owners' faces were found (`OwnerData`); goes into the spec.
        init: a checkpoint to start from; None: ImageNet's weights if the config says so, else random ones.
        from_scratch: random ones whatever the config says.

    Raises:
        ValueError: the config's network cannot be built, or `init` does not fit it.
    """
    config = settings.config
    network = build_network(config, settings.seed, config.pretrained and init is None and not from_scratch)
    if init is not None:
        load_weights(network, read_checkpoint(init))
    spec = ModelSpec(
        architecture=config.network,
        options=config.model_options,
        input_size=config.size,
        normalization=config.normalize,
        crop=crop_recipe(detection, "the owners' samples"),
        training={"config": config.to_dict(), "seed": settings.seed, "version": version()},
    )
    save_checkpoint(path, network, spec)


def shared_names(network: nn.Module, batch_norm: str) -> list[str]:
    """The network's tensors that owners share, in a stable order: all of floating point, without batch norms' running
    statistics if these stay with their owner."""
    state = network.state_dict()
    own = _running_statistics(network) if batch_norm == LOCAL else set()
    return sorted(name for name, tensor in state.items() if tensor.is_floating_point() and name not in own)


def _running_statistics(network: nn.Module) -> set[str]:
    found = set()
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm):
            found |= {f"{name}.running_mean", f"{name}.running_var"}
    return found


class LocalTraining:
    """An owner's state of a federated run.

    Args:
        state: as `save` or `write_start` wrote it.

    Raises:
        CheckpointError: the weights do not fit.
    """

    def __init__(self, settings: LocalSettings, state: Checkpoint) -> None:
        self.settings = settings
        self.network = build_network(settings.config, settings.seed, pretrained=False)
        self._spec = state.spec
        self._progress = dict(state.extra)
        self.rounds: int = self._progress.pop(_COMMON, 0)
        self._own: dict[str, torch.Tensor] = self._progress.pop(_OWN, {})
        self.network.load_state_dict(state.state_dict)
        self.names = shared_names(self.network, settings.batch_norm)

    @staticmethod
    def read(settings: LocalSettings, path: Path) -> LocalTraining:
        """Raises CheckpointError if the file cannot be used."""
        return LocalTraining(settings, read_checkpoint(path))

    def weights(self) -> list[np.ndarray]:
        """The tensors that owners share, float32, in the order of `names`."""
        state = self.network.state_dict()
        return [state[name].detach().float().cpu().numpy().copy() for name in self.names]

    def adopt(self, weights: Sequence[np.ndarray]) -> None:
        """Ends a round: takes the mean of all owners' weights; what is not shared goes on from own training.

        Raises:
            ValueError: other tensors than this network's.
        """
        state = self.network.state_dict()
        shapes = [tuple(state[name].shape) for name in self.names]
        if [w.shape for w in weights] != shapes:
            raise ValueError(
                f"{len(weights)} averaged tensors do not fit the {len(shapes)} of this network: the owners train "
                "different networks, or share different parts of them"
            )
        state.update(self._own)
        state.update({name: torch.from_numpy(np.array(w)) for name, w in zip(self.names, weights)})
        self.network.load_state_dict(state)
        self._own = {}
        self.rounds += 1

    def train(self, data: OwnerData) -> Update:
        """Trains a round on an owner's samples. The network stays as it was, for it is everybody's until `adopt`;
        optimizer and schedule go on.

        Raises:
            ValueError: too few samples for a batch, or faces that were cropped otherwise than the network expects.
            NonFiniteLoss: training diverged.
        """
        self._check_faces(data)
        if self.settings.rounds is not None and self.rounds >= self.settings.rounds:
            return Update(self.weights(), self._task(data).samples)
        before = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        task = self._task(data)
        try:
            trainer = self._trainer(task)
        except ValueError as error:
            raise ValueError(f"{data.owner}: {error}") from error
        for _ in range(self.settings.epochs):
            report = trainer.train_epoch()
            log.info(
                "%s: round %d, epoch %d: loss %.5f over %d steps, %.1f crops/s, %d broken files",
                data.owner, self.rounds + 1, trainer.progress.epoch, report.losses["total"], task.steps,
                report.samples_per_second, report.broken,
            )  # fmt: skip
            trainer.end_epoch()
        self._progress = resumable(trainer)
        update = Update(self.weights(), task.samples)
        state = self.network.state_dict()
        self._own = {name: state[name].clone() for name in state.keys() - set(self.names)}
        self.network.load_state_dict(before)
        return update

    def predict(self, data: OwnerData) -> pd.DataFrame:
        """Scores of every second kept frame's crops, those that validation takes (`federated.owner.predictions`).
        Broken crops are left out.

        Raises:
            ValueError: faces that were cropped otherwise than the network expects.
            NonFiniteLoss: the network's scores are no numbers.
        """
        self._check_faces(data)
        task = self._task(data, validates=True)
        scorer = Trainer(task, self.settings.config.optimizer, self._ranks(), self.settings.seed)
        rows = task.validation.assign(score=scorer.score())
        rows = rows.loc[rows["score"].notna(), list(COLUMNS)].reset_index(drop=True)
        for video, score in rows.groupby("video")["score"].mean().items():
            log.debug("%s: %s: %.5f", data.owner, video, score)
        return rows

    def fingerprint(self) -> str:
        """Changes with the weights, what the owner keeps, and the settings."""
        digest = hashlib.sha256(f"{self.settings.to_json()} {version()} {self.rounds}".encode())
        for tensors in (self.network.state_dict(), self._own):
            for name in sorted(tensors):
                digest.update(name.encode())
                digest.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: Path, **extra: Any) -> None:
        """Writes the state and `extra` tensors and plain values: a checkpoint that prediction reads, too."""
        state = {**self._progress, _COMMON: self.rounds, _OWN: self._own}
        save_checkpoint(path, self.network, self._described(), **state, **extra)

    def save_weights(self, path: Path, metrics: Mapping[str, float]) -> None:
        """Writes the weights alone, with the metrics in their spec."""
        save_checkpoint(path, self.network, self._described().with_training(metric=dict(metrics)))

    def _described(self) -> ModelSpec:
        facts = {"rounds": self.rounds, "epochs_a_round": self.settings.epochs, "batch_norm": self.settings.batch_norm}
        return self._spec.with_training(federated=facts)

    def _ranks(self) -> distributed.Ranks:
        return distributed.start(False, self.settings.device)

    def _task(self, data: OwnerData, validates: bool = False) -> ClassifierTask:
        """The task that trains on all of an owner's data, or validates with all of it."""
        settings, ranks = self.settings, self._ranks()
        network = distributed.prepare(self.network, ranks, settings.config.size)
        table = data.table.assign(fold=_HELD_OUT if validates else _TRAINED_ON)
        return ClassifierTask(
            network, settings.config, table, _HELD_OUT, data.crops, ranks, settings.seed, workers=settings.workers
        )

    def _trainer(self, task: ClassifierTask) -> Trainer:
        config, ranks = self.settings.config, self._ranks()
        step = StepSettings(default_precision(config, ranks), config.optimizer.accumulate)
        steps = task.steps  # refuses too few samples
        if self.settings.rounds is not None:
            check_schedule(config.optimizer, self.settings.rounds * self.settings.epochs, steps)
        trainer = Trainer(task, config.optimizer, ranks, self.settings.seed, step)
        if self._progress:
            state = Checkpoint(Path("state"), self.network.state_dict(), self._spec, self._progress)
            resume(state, self.network, trainer, from_zero=False, zero_score=False)
        return trainer

    def _check_faces(self, data: OwnerData) -> None:
        expected, found = self._spec.crop, crop_recipe(data.detection, data.owner)
        if found != expected:
            raise ValueError(
                f"{data.owner}: its faces were cropped otherwise ({found}) than the network expects ({expected}); all "
                "owners have to preprocess with the same settings"
            )
