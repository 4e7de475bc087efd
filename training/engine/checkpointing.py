"""A run's files: checkpoints under their published names, and going on from one."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deepfake.checkpoints.checkpoint import Checkpoint, load_weights, read_checkpoint, save_checkpoint
from deepfake.checkpoints.spec import ModelSpec
from deepfake.scoring.metrics import VideoMetrics
from deepfake.storage import atomic
from deepfake.storage.locks import Locked, writing_file
from training.engine import distributed
from training.engine.distributed import Ranks
from training.engine.epoch_log import EpochEntry
from training.engine.trainer import Trainer
from training.options import FitOptions

RESUME_AUTO = "auto"

_RESTARTS = "TORCHELASTIC_RESTART_COUNT"
_ENDING_SECONDS = 60.0

_STATE = "training_state"
_EPOCH_STATE = "epoch_state"
_DIVISION = "division"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFiles:
    """`{output_dir}/{name}` with `_{epoch}`, `_last`, `_step`, `_best_dice`, `_config.json`, `_entry.json`.

    The name is `{prefix}{network}_{encoder}_{fold}`, without encoder and fold for tasks that have none.
    """

    output_dir: Path
    name: str

    @staticmethod
    def of(output_dir: Path, prefix: str, network: str, *particulars: str | int) -> RunFiles:
        parts = [network, *(str(part).replace("/", "_") for part in particulars)]
        return RunFiles(Path(output_dir), prefix + "_".join(parts))

    @property
    def last(self) -> Path:
        """Weights after the last epoch, and all that continuing needs."""
        return self.output_dir / f"{self.name}_last"

    @property
    def step(self) -> Path:
        """Weights in the middle of an epoch, and all that continuing needs; there is none between two epochs."""
        return self.output_dir / f"{self.name}_step"

    @property
    def best(self) -> Path:
        """Weights of the lowest validation bce (published name; no Dice is involved)."""
        return self.output_dir / f"{self.name}_best_dice"

    @property
    def config(self) -> Path:
        return self.output_dir / f"{self.name}_config.json"

    @property
    def entry(self) -> Path:
        """What is to be logged about the epoch just finished; there is none once it is logged."""
        return self.output_dir / f"{self.name}_entry.json"

    def epoch(self, epoch: int) -> Path:
        return self.output_dir / f"{self.name}_{epoch}"

    def resume_from(self, resume: str | None, division: Division) -> Checkpoint | None:
        """The checkpoint that `--resume` means: a path, or for `auto` the run's own newest one if there is one.

        Raises:
            CheckpointError: it cannot be read.
            ValueError: one of a step, named by its path, of a run that divided its samples otherwise.
        """
        if resume != RESUME_AUTO:
            checkpoint = read_checkpoint(Path(resume)) if resume else None
            if checkpoint is not None and (problem := division.problem(checkpoint)):
                raise ValueError(f"{checkpoint.path}: {problem}")
            return checkpoint
        last = read_checkpoint(self.last) if self.last.exists() else None
        step = read_checkpoint(self.step) if self.step.exists() else None
        if step is None or (last is not None and last.extra["epoch"] > step.extra["epoch"]):
            return last
        if problem := division.problem(step):
            log.warning("%s: %s; its epoch begins anew", self.step, problem)
            return last
        return step


@dataclass(frozen=True)
class Division:
    """How an epoch's samples are drawn and divided: without the same, no step of it can be found again."""

    processes: int
    batch_size: int
    seed: int

    def problem(self, checkpoint: Checkpoint) -> str | None:
        """Why a checkpoint of a step cannot be continued; None: it can, or is one of an epoch."""
        made = checkpoint.extra.get(_DIVISION)
        if made is None or made == asdict(self):
            return None
        differences = [f"{value} {key}, not {made[key]}" for key, value in asdict(self).items() if made[key] != value]
        return f"saved in the middle of an epoch with other settings (now {'; '.join(differences)})".replace("_", " ")


@contextlib.contextmanager
def one_writer(files: RunFiles, ranks: Ranks) -> Iterator[None]:
    """The main process is the one writer of a run's files until the context ends, or all processes raise.

    Raises:
        Locked: another process writes them.
        OSError: their folder cannot be written.
    """
    # Processes that start again after one has died may come before the system has ended all of the last ones.
    deadline = time.monotonic() + (_ENDING_SECONDS if int(os.environ.get(_RESTARTS, "0")) else 0)
    refused: Exception | None = None
    with contextlib.ExitStack() as held:
        while ranks.is_main:
            try:
                held.enter_context(writing_file(files.output_dir / files.name))
                break
            except (Locked, OSError) as error:
                refused = error
            if time.monotonic() >= deadline:
                break
            refused = None
            time.sleep(_ENDING_SECONDS / 100)
        if distributed.sum_over_ranks(torch.tensor([refused is not None], dtype=torch.int64), ranks).item():
            raise refused or Locked(f"{files.output_dir}: the main process cannot write there; it says why")
        yield


class CheckpointStore:
    """Writes a run's checkpoints.

    Args:
        spec: what to tell the weights' user, without what changes from epoch to epoch.
        division: of the run.
        keep_epochs: how many per-epoch files stay; 0 keeps all.
    """

    def __init__(
        self, files: RunFiles, spec: ModelSpec, division: Division, keep_epochs: int = FitOptions.keep_epochs
    ) -> None:
        self.files = files
        self._spec = spec
        self._division = division
        self._keep = keep_epochs

    def write_config(self, content: Mapping[str, Any]) -> None:
        """Saves the resolved config and options as JSON."""
        atomic.write_text(self.files.config, json.dumps(content, indent=4) + "\n")

    def save(
        self,
        network: nn.Module,
        trainer: Trainer,
        metrics: VideoMetrics | None,
        improved: bool,
        entry: EpochEntry | None = None,
    ) -> None:
        """Saves the epoch just finished: `_last` always; `_{epoch}` and, if `improved`, `_best_dice` if validated.

        `_last` comes last: a run that is killed in between does the epoch again. Then the entry is logged.
        """
        progress = trainer.progress
        epoch = progress.epoch - 1
        spec = self._spec.with_training(epoch=epoch, metric=metrics.to_dict() if metrics else None)
        facts = _facts(trainer)
        if entry is not None:
            entry.write(self.files.entry)
        if metrics is not None:
            save_checkpoint(self.files.epoch(epoch), network, spec, **facts)
            if improved:
                save_checkpoint(self.files.best, network, spec, **facts)
        save_checkpoint(self.files.last, network, spec, **resumable(trainer))
        if entry is not None:
            entry.log()
            self.files.entry.unlink()
        self.files.step.unlink(missing_ok=True)
        self._remove_old(trainer)

    def save_step(self, network: nn.Module, trainer: Trainer, epoch_state: Mapping[str, Any]) -> None:
        """Saves the middle of an epoch: `_step`, in place of an earlier one."""
        progress = trainer.progress
        spec = self._spec.with_training(epoch=progress.epoch, metric=None)
        middle = {_EPOCH_STATE: dict(epoch_state), _DIVISION: asdict(self._division)}
        save_checkpoint(self.files.step, network, spec, **resumable(trainer), **middle)

    def _remove_old(self, trainer: Trainer) -> None:
        if self._keep == 0:
            return
        ranked = sorted(trainer.progress.history, key=lambda losses: losses.weighted())
        for losses in ranked[self._keep :]:
            self.files.epoch(losses.epoch).unlink(missing_ok=True)


def resumable(trainer: Trainer) -> dict[str, Any]:
    """What `resume` needs beside the weights, after an epoch."""
    return {**_facts(trainer), _STATE: trainer.state()}


def _facts(trainer: Trainer) -> dict[str, Any]:
    return {"epoch": trainer.progress.epoch, "bce_best": trainer.progress.best}


def resume(checkpoint: Checkpoint, network: nn.Module, trainer: Trainer, from_zero: bool, zero_score: bool) -> None:
    """Continues from a checkpoint: exactly from a `_last` or `_step` one; from weights alone with a fresh optimizer.

    Args:
        from_zero: take the weights only; epochs, schedule and optimizer start anew.
        zero_score: forget the best metric.

    Raises:
        CheckpointError: it does not fit.
        ValueError: its optimizer is another one, or its epoch had another number of steps.
    """
    load_weights(network, checkpoint)
    progress = trainer.progress
    if not zero_score:
        progress.best = float(checkpoint.extra.get("bce_best", math.inf))
    if from_zero:
        return
    progress.epoch = int(checkpoint.extra.get("epoch", 0))
    progress.step = progress.epoch * trainer.task.steps
    state = checkpoint.extra.get(_STATE)
    if state is None:
        log.warning("%s holds weights only: the optimizer starts anew at epoch %d", checkpoint.path, progress.epoch)
        return
    try:
        trainer.load_state(state)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{checkpoint.path}: its optimizer does not fit this config ({error}); add --from-zero"
        ) from error
    if _EPOCH_STATE in checkpoint.extra:
        try:
            trainer.load_epoch_state(checkpoint.extra[_EPOCH_STATE])
        except ValueError as error:
            raise ValueError(f"{checkpoint.path}: {error}; delete it to begin its epoch anew") from error
    if zero_score:
        progress.history.clear()


def check_same_start(trainer: Trainer, output_dir: Path) -> None:
    """Raises ValueError unless all ranks start after the same step of the same epoch."""
    here = torch.tensor([trainer.progress.epoch, trainer.progress.step, trainer.sums.steps])
    if (distributed.rows_of_ranks(here, trainer.ranks) != here).any():
        raise ValueError(
            f"{output_dir}: the processes found different checkpoints here; all machines have to see the same folder"
        )
