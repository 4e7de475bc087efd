"""One training loop for many recipes: the recipe supplies network, data and loss, the engine everything else.

Each epoch's random state follows from (seed, epoch, rank), so a run that is continued after an epoch does what one
that never stopped would have done: there is no random state to carry over.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from tqdm import tqdm

from deepfake.losslog import EpochLoss
from training import distributed
from training.config import OptimizerConfig
from training.datasets.batch import Batch
from training.distributed import Ranks
from training.metrics import VideoMetrics, video_metrics
from training.optim import build_optimizer, build_schedule, set_learning_rate

TOTAL = "total"
_SHOWN_BROKEN = 20

PRECISIONS: dict[str, torch.dtype | None] = {"O0": None, "O1": torch.float16, "bf16": torch.bfloat16}
"""`--opt-level` -> type of autocast; float16 needs its loss scaled."""

log = logging.getLogger(__name__)


class NonFiniteLoss(RuntimeError):
    """The loss or its gradient became infinite or not a number; the message names the batch's files."""


class Recipe(Protocol):
    """What is trained.

    Attributes:
        network: the network, on its device.
        encoder: the part of it that `freeze_epochs` freezes.
        steps: optimiser steps an epoch.
        validation: columns `video` and `label`, one row for each `Batch.index` of validation.
    """

    network: nn.Module
    encoder: nn.Module
    steps: int
    validation: pd.DataFrame

    def train_batches(self, epoch: int) -> Iterable[Batch]:
        """This rank's batches of an epoch (from 0)."""
        ...

    def validation_batches(self) -> Iterable[Batch]:
        """This rank's share of the validation fold."""
        ...

    def loss(self, network: nn.Module, batch: Batch) -> Mapping[str, torch.Tensor]:
        """Scalars by name; `total` is minimised, the others are logged. `network` may be a distributed wrapper.

        Called once for each step of training; what a recipe learns beside the network moves here, too.
        """
        ...

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """(n,) probabilities of being fake."""
        ...

    def end_epoch(self) -> None:
        """Called when an epoch's last step is done."""
        return None

    def state(self) -> dict[str, Any]:
        """What the recipe learns beside the network's weights and continuing needs: tensors and plain values."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state` gave. Raises ValueError or KeyError if it does not fit."""
        return None


@dataclass
class Progress:
    """How far a run is: finished epochs and steps, the lowest validation bce, all validations."""

    epoch: int = 0
    step: int = 0
    best: float = math.inf
    history: list[EpochLoss] = field(default_factory=list)


@dataclass(frozen=True)
class EpochReport:
    """An epoch's mean losses by name, last learning rate, training samples a second, and broken files."""

    losses: dict[str, float]
    learning_rate: float
    samples_per_second: float
    broken: int


class Trainer:
    """Trains a recipe's network epoch by epoch.

    Args:
        precision: one of `PRECISIONS`.
        freeze_epochs: the encoder stands still, statistics included, for that many epochs.
    """

    def __init__(
        self,
        recipe: Recipe,
        config: OptimizerConfig,
        ranks: Ranks,
        seed: int,
        precision: str = "O0",
        freeze_epochs: int = 0,
    ) -> None:
        self.recipe = recipe
        self.ranks = ranks
        self.seed = seed
        self.progress = Progress()
        self.optimizer = build_optimizer(config, recipe.network.parameters())
        self._max_gradient_norm = config.max_gradient_norm
        self.scaler = torch.amp.GradScaler(ranks.device.type, enabled=precision == "O1")
        self._dtype = PRECISIONS[precision]
        self._schedule = build_schedule(config.schedule, config.learning_rate)
        self._per_step = config.schedule.mode == "step"
        self._freeze_epochs = freeze_epochs
        self._encoder_parameters = [p for p in recipe.encoder.parameters() if p.requires_grad]
        self._frozen: bool | None = None
        self._wrapped = recipe.network

    def train_epoch(self) -> EpochReport:
        """Trains one epoch; `progress` counts it.

        Raises:
            NonFiniteLoss: see there.
        """
        epoch = self.progress.epoch
        torch.manual_seed(_epoch_seed(self.seed, epoch, self.ranks.rank))
        self._enter_mode(frozen=epoch < self._freeze_epochs)
        sums: dict[str, float] = {}
        batches = samples = broken = 0
        start, rate = time.monotonic(), 0.0
        with self._bar(self.recipe.train_batches(epoch), f"epoch {epoch}") as bar:
            for batch in bar:
                rate = self._schedule(self.progress.step if self._per_step else epoch)
                set_learning_rate(self.optimizer, rate)
                losses = self._step(batch)
                self.progress.step += 1
                batches, samples, broken = batches + 1, samples + len(batch), broken + len(batch.broken)
                _name_broken(batch)
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + value
                bar.set_postfix(loss=f"{sums[TOTAL] / batches:.4f}", lr=f"{rate:.2e}", refresh=False)
        self.recipe.end_epoch()
        self.progress.epoch += 1
        totals = torch.tensor([samples, broken, batches, *sums.values()], dtype=torch.float64)
        samples, broken, batches, *values = distributed.sum_over_ranks(totals, self.ranks).tolist()
        means = {name: value / batches for name, value in zip(sums, values)}
        return EpochReport(means, rate, samples / (time.monotonic() - start), int(broken))

    def validate(self) -> VideoMetrics:
        """Metrics over the videos of the validation fold; each sample is scored on exactly one rank."""
        network = self.recipe.network.eval()
        distributed.share_buffers(network, self.ranks)
        table = self.recipe.validation
        # Summed over ranks: row 0 holds probabilities, row 1 how often each was given.
        scored = torch.zeros(2, len(table), dtype=torch.float64)
        with torch.inference_mode(), self._bar(self.recipe.validation_batches(), "validation") as bar:
            for batch in bar:
                _name_broken(batch)
                if len(batch) > 0:
                    with self._autocast():
                        probabilities = self.recipe.predict(network, batch.to(self.ranks.device))
                    scored[0, batch.index] = probabilities.double().cpu()
                    scored[1, batch.index] += 1
        scored = distributed.sum_over_ranks(scored, self.ranks)
        assert scored[1].max() <= 1, "a validation sample was scored twice"
        if not torch.isfinite(scored[0]).all():
            raise NonFiniteLoss("validation gave a score that is no number: the weights are beyond use")
        there = scored[1].numpy() == 1
        return video_metrics(table["video"][there], table["label"][there].to_numpy(), scored[0].numpy()[there])

    def state(self) -> dict[str, Any]:
        """Everything but weights that continuing needs: tensors and plain values."""
        progress = self.progress
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": progress.step,
            "history": [[v.epoch, v.fake, v.real] for v in progress.history],
            "recipe": self.recipe.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state` gave; epoch and best metric are the caller's."""
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.recipe.load_state(state.get("recipe", {}))
        self.progress.step = state["step"]
        self.progress.history = [EpochLoss(int(epoch), fake, real) for epoch, fake, real in state["history"]]

    def _step(self, batch: Batch) -> dict[str, float]:
        with self._autocast():
            losses = self.recipe.loss(self._wrapped, batch.to(self.ranks.device))
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(losses[TOTAL]).backward()
        self.scaler.unscale_(self.optimizer)
        norm = self._shorten_gradient()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        # One transfer for all figures: each would wait for the GPU.
        *values, norm_value = torch.stack([*(v.detach().float() for v in losses.values()), norm.float()]).tolist()
        figures = dict(zip(losses, values))
        # Scaled gradients overflow now and then; the scaler then skips the step and lowers its scale.
        if not math.isfinite(figures[TOTAL]) or not (math.isfinite(norm_value) or self.scaler.is_enabled()):
            raise NonFiniteLoss(
                f"epoch {self.progress.epoch}: loss {figures[TOTAL]}, gradient norm {norm_value}; lower the learning "
                f"rate, or look at this batch's files: {', '.join(batch.names)}"
            )
        return figures

    def _shorten_gradient(self) -> torch.Tensor:
        """Limits the gradient's norm as the config says; the norm before."""
        learning = [p for p in self.recipe.network.parameters() if p.grad is not None]
        norm = get_total_norm([p.grad for p in learning if p.grad is not None])
        if self._max_gradient_norm is not None:
            clip_grads_with_norm_(learning, self._max_gradient_norm, norm)
        return norm

    def _enter_mode(self, frozen: bool) -> None:
        self.recipe.network.train()
        if frozen:
            self.recipe.encoder.eval()
        if frozen == self._frozen:
            return
        for parameter in self._encoder_parameters:
            parameter.requires_grad_(not frozen)
        # The wrapper waits for the gradients that were wanted when it was made.
        self._wrapped = distributed.wrap(self.recipe.network, self.ranks)
        self._frozen = frozen

    def _autocast(self) -> AbstractContextManager:
        return torch.autocast(self.ranks.device.type, dtype=self._dtype, enabled=self._dtype is not None)

    def _bar(self, batches: Iterable[Batch], description: str) -> tqdm:
        # disable=None: no bar where standard error is not a terminal, so that log files stay readable.
        disable = None if self.ranks.is_main else True
        return tqdm(batches, desc=description, unit="batch", disable=disable, leave=False, mininterval=0.5)


def _epoch_seed(seed: int, epoch: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1, np.uint64)[0])


def _name_broken(batch: Batch) -> None:
    for name in batch.broken[:_SHOWN_BROKEN]:
        log.warning("broken file: %s", name)
