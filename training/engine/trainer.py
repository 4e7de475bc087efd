"""One training loop for many tasks: the task supplies network, data and loss, the engine everything else.

Each step's random state follows from (seed, epoch, step, rank), so a run that is continued does what one that never
stopped would have done: there is no random state to carry over.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from tqdm import tqdm

from deepfake.losslog import EpochLoss
from deepfake.models.inference.prepare import check_can_compile
from deepfake.scoring.metrics import VideoMetrics, video_metrics
from training.config import OptimizerConfig
from training.datasets.batch import Batch
from training.datasets.loading import on_device
from training.engine import distributed
from training.engine.distributed import Ranks
from training.engine.optim import build_optimizer, build_schedule, load_optimizer, set_learning_rate
from training.engine.stopping import Stopped, StopRequest

TOTAL = "total"
_SHOWN_BROKEN = 20

PRECISIONS: dict[str, torch.dtype | None] = {"O0": None, "O1": torch.float16, "bf16": torch.bfloat16}
"""`--opt-level` -> type of autocast; float16 needs its loss scaled."""

log = logging.getLogger(__name__)


class NonFiniteLoss(RuntimeError):
    """The loss or its gradient became infinite or not a number; the message names the batch's files."""


class TrainingTask(Protocol):
    """What is trained.

    Attributes:
        network: the network, on its device.
        encoder: the part of it that `freeze_epochs` freezes.
        steps: optimizer steps an epoch.
        validation: columns `video` and `label`, one row for each `Batch.index` of validation.
    """

    network: nn.Module
    encoder: nn.Module
    steps: int
    validation: pd.DataFrame

    def train_batches(self, epoch: int, first: int = 0) -> Iterable[Batch]:
        """This rank's batches of an epoch (from 0), from that of step `first` on; those before are not read."""
        ...

    def validation_batches(self) -> Iterable[Batch]:
        """This rank's share of the validation fold."""
        ...

    def loss(self, network: nn.Module, batch: Batch, whole: Batch | None = None) -> Mapping[str, torch.Tensor]:
        """Scalars by name; `total` is minimised, the others are logged. `network` may be a distributed wrapper.

        What a task learns beside the network moves here, too.

        Args:
            whole: the step's batch, of which `batch` is a part: the parts' losses, called for in order, add up to the
                whole's. None: `batch` is all there is.
        """
        ...

    def predict(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """(n,) probabilities of being fake."""
        ...

    def end_epoch(self) -> None:
        """Called when an epoch's last step is done."""
        return None

    def state(self) -> dict[str, Any]:
        """What the task learns beside the network's weights and continuing needs: tensors and plain values."""
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


@dataclass
class EpochSums:
    """What a rank has summed up since the epoch began; `losses` by name over `steps`."""

    steps: int = 0
    samples: int = 0
    broken: int = 0
    seconds: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)

    def add(self, samples: int, broken: int, losses: Mapping[str, float]) -> None:
        self.steps, self.samples, self.broken = self.steps + 1, self.samples + samples, self.broken + broken
        for name, value in losses.items():
            self.losses[name] = self.losses.get(name, 0.0) + value


@dataclass(frozen=True)
class StepSettings:
    """How a step is computed; what it computes stays the same up to rounding and batch norms.

    Attributes:
        precision: one of `PRECISIONS`.
        accumulate: each batch goes through the network in so many parts, and the gradients add up.
        compile: the network is compiled for training.
        fused: one kernel for the optimizer's step; None: on CUDA.
    """

    precision: str = "O0"
    accumulate: int = 1
    compile: bool = False
    fused: bool | None = None


@dataclass(frozen=True)
class EpochReport:
    """An epoch's mean losses by name, last learning rate, training samples a second, and broken files."""

    losses: dict[str, float]
    learning_rate: float
    samples_per_second: float
    broken: int


class Trainer:
    """Trains a task's network epoch by epoch.

    Args:
        settings: how a step is computed.
        freeze_epochs: the encoder stands still, statistics included, for that many epochs.
        stop: asks to stop between two batches; then all ranks stop.

    Raises:
        ValueError: compiling is asked for, and there is no compiler.
    """

    def __init__(
        self,
        task: TrainingTask,
        config: OptimizerConfig,
        ranks: Ranks,
        seed: int,
        settings: StepSettings | None = None,
        freeze_epochs: int = 0,
        stop: StopRequest | None = None,
    ) -> None:
        settings = settings or StepSettings()
        if settings.compile:
            check_can_compile(ranks.device)
        on_cuda = ranks.device.type == "cuda"
        self.task = task
        self.ranks = ranks
        self.seed = seed
        self.progress = Progress()
        self.sums = EpochSums()
        fused = settings.fused if settings.fused is not None else on_cuda or None
        self.optimizer = build_optimizer(config, task.network.parameters(), fused)
        self._max_gradient_norm = config.max_gradient_norm
        self.scaler = torch.amp.GradScaler(ranks.device.type, enabled=settings.precision == "O1")
        self._dtype = PRECISIONS[settings.precision]
        self._accumulate = settings.accumulate
        self._compile = settings.compile
        self._schedule = build_schedule(config.schedule, config.learning_rate)
        self._per_step = config.schedule.mode == "step"
        self._freeze_epochs = freeze_epochs
        self._encoder_parameters = [p for p in task.encoder.parameters() if p.requires_grad]
        self._frozen: bool | None = None
        self._wrapped = task.network
        self._called: Callable = task.network
        self._stop = stop or StopRequest()
        self._unread: _Figures | None = None

    def train_epoch(self, every: int = 0, save: Callable[[], None] | None = None) -> EpochReport:
        """Trains what is left of the epoch; `end_epoch` is what makes it a finished one.

        Args:
            every: `save` is called, on every rank, after so many steps of the epoch; 0: never.

        Raises:
            NonFiniteLoss: see there.
            Stopped: a rank was asked to stop; `state` and `epoch_state` hold what has been done.
        """
        epoch, first = self.progress.epoch, self.sums.steps
        self._enter_mode(frozen=epoch < self._freeze_epochs)
        start, rate = time.monotonic() - self.sums.seconds, self._rate(self.progress.step - 1)
        bar = self._bar(self.task.train_batches(epoch, first), f"epoch {epoch}", first)
        with closing(self._batches(bar)) as batches:
            for step, batch in enumerate(batches, first):
                torch.manual_seed(_step_seed(self.seed, epoch, step, self.ranks.rank))
                rate = self._rate(self.progress.step)
                set_learning_rate(self.optimizer, rate)
                _name_broken(batch)
                launched = self._step(batch)
                self.progress.step += 1
                # The figures of the step before: to wait for this one's would leave the GPU without work.
                self._read_figures()
                self._unread = launched
                self.sums.seconds = time.monotonic() - start
                if self.sums.steps:
                    loss = self.sums.losses[TOTAL] / self.sums.steps
                    bar.set_postfix(loss=f"{loss:.4f}", lr=f"{rate:.2e}", refresh=False)
                if save is not None and every and (step + 1) % every == 0 and step + 1 < self.task.steps:
                    save()
        self._read_figures()
        self.sums.seconds = time.monotonic() - start
        return self._report(rate)

    def end_epoch(self) -> None:
        """The epoch's last step is done and validated: it counts, and the next one begins."""
        self.task.end_epoch()
        self.progress.epoch += 1
        self.sums = EpochSums()

    def validate(self) -> VideoMetrics:
        """Metrics over the videos of the validation fold.

        Raises:
            NonFiniteLoss, Stopped: see `score`.
        """
        table, scores = self.task.validation, self.score()
        there = ~np.isnan(scores)
        return video_metrics(table["video"][there], table["label"][there].to_numpy(), scores[there])

    def score(self) -> np.ndarray:
        """(n,) float64 probabilities of being fake of the validation fold's samples, NaN where a file is broken; each
        is scored on exactly one rank.

        Raises:
            NonFiniteLoss: the network's scores are no numbers.
            Stopped: a rank was asked to stop.
        """
        network = self.task.network.eval()
        distributed.share_buffers(network, self.ranks)
        # Summed over ranks: row 0 holds probabilities, row 1 how often each was given.
        scored = torch.zeros(2, len(self.task.validation), dtype=torch.float64)
        bar = self._bar(self.task.validation_batches(), "validation")
        with torch.inference_mode(), closing(self._batches(bar)) as batches:
            for batch in batches:
                _name_broken(batch)
                if len(batch) > 0:
                    with self._autocast():
                        probabilities = self.task.predict(network, batch)
                    index = batch.index.cpu()
                    scored[0, index] = probabilities.double().cpu()
                    scored[1, index] += 1
        scored = distributed.sum_over_ranks(scored, self.ranks)
        assert scored[1].max() <= 1, "a validation sample was scored twice"
        if not torch.isfinite(scored[0]).all():
            raise NonFiniteLoss("validation gave a score that is no number: the weights are beyond use")
        return torch.where(scored[1] == 1, scored[0], math.nan).numpy()

    def state(self) -> dict[str, Any]:
        """Everything but weights that continuing after an epoch needs: tensors and plain values."""
        progress = self.progress
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": progress.step,
            "history": [[v.epoch, v.fake, v.real] for v in progress.history],
            "recipe": self.task.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state` gave; epoch and best metric are the caller's."""
        load_optimizer(self.optimizer, state["optimizer"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.task.load_state(state.get("recipe", {}))
        self.progress.step = state["step"]
        self.progress.history = [EpochLoss(int(epoch), fake, real) for epoch, fake, real in state["history"]]

    def epoch_state(self) -> dict[str, Any]:
        """What continuing in the middle of the epoch needs beside `state`; every rank has to call it."""
        self._read_figures()
        sums = self.sums
        row = [sums.steps, sums.samples, sums.broken, sums.seconds, *sums.losses.values()]
        rows = distributed.rows_of_ranks(torch.tensor(row, dtype=torch.float64), self.ranks)
        return {"of": self.task.steps, "losses": list(sums.losses), "rows": rows}

    def load_epoch_state(self, state: Mapping[str, Any]) -> None:
        """Takes over what `epoch_state` gave to as many ranks.

        Raises:
            ValueError: the epoch has another number of steps.
        """
        if state["of"] != self.task.steps:
            raise ValueError(f"made in an epoch of {state['of']} steps; this one has {self.task.steps}")
        steps, samples, broken, seconds, *losses = state["rows"][self.ranks.rank].tolist()
        self.sums = EpochSums(int(steps), int(samples), int(broken), seconds, dict(zip(state["losses"], losses)))

    def _batches(self, bar: tqdm) -> Generator[Batch]:
        """The bar's batches on the device, as long as nobody has asked any rank to stop.

        Ranks may have different numbers of batches: those that have none left go on answering.

        Raises:
            Stopped: somebody has.
        """
        with bar, closing(on_device(bar, self.ranks.device)) as batches:
            while True:
                batch = None
                # Who is asked to stop may wait for its data too long: it tells the others without.
                with suppress(Stopped), self._stop.waiting():
                    batch = next(batches, None)
                flags = torch.tensor([self._stop.asked, batch is not None], dtype=torch.int64)
                asked, left = distributed.sum_over_ranks(flags, self.ranks).tolist()
                if asked:
                    raise Stopped
                if not left:
                    return
                if batch is not None:
                    yield batch

    def _step(self, batch: Batch) -> _Figures:
        self.optimizer.zero_grad(set_to_none=True)
        figures: dict[str, torch.Tensor] = {}
        parts = batch.parts(self._accumulate)
        for part in parts:
            with self._gradients_exchanged(part is parts[-1]):
                with self._autocast():
                    losses = self.task.loss(self._called, part, batch)  # type: ignore[arg-type]
                self.scaler.scale(losses[TOTAL]).backward()
            for name, loss in losses.items():
                value = loss.detach().float()
                figures[name] = figures[name] + value if name in figures else value
        self.scaler.unscale_(self.optimizer)
        norm = self._clip_gradients()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return _Figures(batch, figures, norm)

    def _read_figures(self) -> None:
        """Sums up the figures of the step that was launched last."""
        if self._unread is None:
            return
        unread, self._unread = self._unread, None
        figures, norm = unread.read()
        # Scaled gradients overflow now and then; the scaler then skips the step and lowers its scale.
        if not math.isfinite(figures[TOTAL]) or not (math.isfinite(norm) or self.scaler.is_enabled()):
            raise NonFiniteLoss(
                f"epoch {self.progress.epoch}: loss {figures[TOTAL]}, gradient norm {norm}; lower the learning "
                f"rate, or look at this batch's files: {', '.join(unread.batch.names)}"
            )
        self.sums.add(len(unread.batch), len(unread.batch.broken), figures)

    def _report(self, rate: float) -> EpochReport:
        sums = self.sums
        totals = torch.tensor([sums.samples, sums.broken, sums.steps, *sums.losses.values()], dtype=torch.float64)
        samples, broken, steps, *losses = distributed.sum_over_ranks(totals, self.ranks).tolist()
        means = {name: value / steps for name, value in zip(sums.losses, losses)}
        return EpochReport(means, rate, samples / sums.seconds, int(broken))

    def _rate(self, step: int) -> float:
        return self._schedule(max(step, 0) if self._per_step else self.progress.epoch)

    def _gradients_exchanged(self, wanted: bool) -> AbstractContextManager:
        """Inside, going backward averages gradients over ranks if `wanted`, and else only adds to one's own."""
        if not wanted and isinstance(self._wrapped, DistributedDataParallel):
            return self._wrapped.no_sync()
        return nullcontext()

    def _clip_gradients(self) -> torch.Tensor:
        """Clip the norm of all gradients together as the config says; return the norm before."""
        learning = [p for p in self.task.network.parameters() if p.grad is not None]
        norm = get_total_norm([p.grad for p in learning if p.grad is not None])
        if self._max_gradient_norm is not None:
            clip_grads_with_norm_(learning, self._max_gradient_norm, norm)
        return norm

    def _enter_mode(self, frozen: bool) -> None:
        self.task.network.train()
        if frozen:
            self.task.encoder.eval()
        if frozen == self._frozen:
            return
        for parameter in self._encoder_parameters:
            parameter.requires_grad_(not frozen)
        # The wrapper waits for the gradients that were wanted when it was made.
        self._wrapped = distributed.wrap(self.task.network, self.ranks)
        # Beside the network, not in its place: checkpoints keep their keys.
        self._called = torch.compile(self._wrapped) if self._compile else self._wrapped
        self._frozen = frozen

    def _autocast(self) -> AbstractContextManager:
        return torch.autocast(self.ranks.device.type, dtype=self._dtype, enabled=self._dtype is not None)

    def _bar(self, batches: Iterable[Batch], description: str, done: int = 0) -> tqdm:
        # disable=None: no bar where standard error is not a terminal, so that log files stay readable.
        disable = None if self.ranks.is_main else True
        return tqdm(
            batches, desc=description, unit="batch", disable=disable, leave=False, mininterval=0.5, initial=done
        )  # fmt: skip


class _Figures:
    """A step's losses and its gradient's norm, on their way from the device."""

    def __init__(self, batch: Batch, losses: Mapping[str, torch.Tensor], norm: torch.Tensor) -> None:
        self.batch = batch
        self._names = tuple(losses)
        # One transfer for all, behind the step in the GPU's queue.
        values = torch.stack([*losses.values(), norm.float()])
        self._values = values.to("cpu", non_blocking=True)
        self._arrived: torch.cuda.Event | None = None
        if values.is_cuda:
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def read(self) -> tuple[dict[str, float], float]:
        """Losses by name, and the norm; waits for them."""
        if self._arrived is not None:
            self._arrived.synchronize()
        *losses, norm = self._values.tolist()
        return dict(zip(self._names, losses)), norm


def _step_seed(seed: int, epoch: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, step, rank]).generate_state(1, np.uint64)[0])


def _name_broken(batch: Batch) -> None:
    for name in batch.broken[:_SHOWN_BROKEN]:
        log.warning("broken file: %s", name)
