"""What every task's run has: options, network, engine, checkpoints, logs; trained, validated, saved."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from deepfake.checkpoints.spec import ModelSpec
from deepfake.checkpoints.trained_groups import join_groups
from deepfake.losslog import EpochLoss, format_losses
from deepfake.models import build_model
from deepfake.scoring.metrics import VideoMetrics
from deepfake.version import package_version
from training.config import ConfigError, TaskConfig
from training.engine import distributed
from training.engine.checkpointing import (
    RESUME_AUTO,
    CheckpointStore,
    Division,
    RunFiles,
    check_same_start,
    one_writer,
    resume,
)
from training.engine.distributed import Ranks
from training.engine.epoch_log import EpochEntry, complete_entry
from training.engine.optim import check_schedule
from training.engine.scalars import Scalars
from training.engine.stopping import Stopped, StopRequest
from training.engine.trainer import EpochReport, StepSettings, Trainer, TrainingTask
from training.options import FitOptions

MakeTask = Callable[[nn.Module, Ranks], TrainingTask]
"""A network on its device, and this process among its like -> what is trained."""
Initialize = Callable[[nn.Module], ModelSpec]
"""Gives a network its first weights; returns the spec of the checkpoint that they are from."""

log = logging.getLogger(__name__)


def train(
    options: FitOptions,
    config: TaskConfig,
    files: RunFiles,
    spec: ModelSpec,
    make_task: MakeTask,
    freeze_epochs: int = 0,
    initialize: Initialize | None = None,
) -> None:
    """Trains what `make_task` makes as options and config say, with as many processes as were started.

    Args:
        spec: what to tell the weights' user; how they came about is added here.
        initialize: gives a network that starts anew its weights, in place of ImageNet's.

    Raises:
        ValueError: a checkpoint, data set or option that cannot be used.
        Locked: another process trains into these files.
        NonFiniteLoss: training diverged.
        Stopped: SIGTERM came; what has been done is saved.
    """
    ranks = distributed.start(options.distributed, options.device)
    try:
        with one_writer(files, ranks), StopRequest() as stop:
            division = Division(ranks.world_size, config.optimizer.batch_size, options.seed)
            with stop.waiting():  # nothing is begun that could be lost
                trainer, earlier = _start(
                    options, config, files, division, make_task, ranks, freeze_epochs, initialize, stop
                )
            if trainer.progress.epoch >= config.epochs:
                log.info("finished already: %d of %d epochs", trainer.progress.epoch, config.epochs)
                files.step.unlink(missing_ok=True)  # left by a run that was killed as it ended
                return
            described = {"file": options.config.name, **config.to_dict()}
            if earlier is not None:
                spec = replace(spec, training=join_groups(spec.training, earlier.training))
            spec = spec.with_training(config=described, seed=options.seed, version=version())
            store = CheckpointStore(files, spec, division, options.keep_epochs)
            if ranks.is_main:
                store.write_config({"config": config.to_dict(), "options": options.to_dict(), "version": version()})
            with Scalars(options.logdir if ranks.is_main else None, first_step=trainer.progress.epoch) as scalars:
                fit(trainer, store, scalars, config.epochs, options.test_every, options.checkpoint_every)
    finally:
        distributed.stop(ranks)


def fit(
    trainer: Trainer, store: CheckpointStore, scalars: Scalars, epochs: int, test_every: int, checkpoint_every: int = 0
) -> None:
    """Trains up to `epochs`, validating every `test_every`-th and the last; the main rank saves and logs.

    Raises:
        Stopped: a rank was asked to stop; what has been done is saved.
    """
    progress = trainer.progress

    def save_step() -> None:
        state = trainer.epoch_state()
        if trainer.ranks.is_main and trainer.sums.steps > 0:
            store.save_step(trainer.task.network, trainer, state)

    while progress.epoch < epochs:
        epoch = progress.epoch
        try:
            report = trainer.train_epoch(checkpoint_every, save_step)
            is_due = (epoch + 1) % test_every == 0 or epoch + 1 == epochs
            metrics = trainer.validate() if is_due else None
        except Stopped:
            save_step()
            log.info("stopped in epoch %d after %d steps; --resume auto goes on there", epoch, trainer.sums.steps)
            raise
        trainer.end_epoch()
        scalars.write(epoch, _train_scalars(report))
        lines = [_training_line(epoch, report)]
        improved = metrics is not None and metrics.bce < progress.best
        if metrics is not None:
            losses = EpochLoss(epoch, metrics.fake_loss, metrics.real_loss)
            progress.history.append(losses)
            progress.best = min(progress.best, metrics.bce)
            lines += _validation_lines(losses, metrics, improved)
            scalars.write(epoch, {f"val/{name}": value for name, value in metrics.to_dict().items()})
        if trainer.ranks.is_main:
            store.save(trainer.task.network, trainer, metrics, improved, EpochEntry.of(epoch, lines))
    log.info("finished %d epochs; lowest bce %.5f; weights in %s", epochs, progress.best, store.files.output_dir)


def _start(
    options: FitOptions,
    config: TaskConfig,
    files: RunFiles,
    division: Division,
    make_task: MakeTask,
    ranks: Ranks,
    freeze_epochs: int,
    initialize: Initialize | None,
    stop: StopRequest,
) -> tuple[Trainer, ModelSpec | None]:
    """The run as it begins, or as its checkpoint left it; and the spec of the checkpoint that its weights are from."""
    source = files.resume_from(options.resume, division)
    if ranks.is_main:
        # Epochs of another checkpoint than the run's own say nothing about the run's log.
        own = source is not None and options.resume == RESUME_AUTO
        complete_entry(files.entry, int(source.extra.get("epoch", 0)) if own and source is not None else 0)
    network, earlier = _network(options, config, ranks, initialize, starts_anew=source is None)
    task = make_task(network, ranks)
    try:
        check_schedule(config.optimizer, config.epochs, task.steps)
    except ValueError as error:
        raise ConfigError(f"{options.config}: {error}") from error
    trainer = _trainer(options, config, task, ranks, freeze_epochs, stop)
    if source is not None:
        resume(source, network, trainer, options.from_zero, options.zero_score)
        log.info(
            "continuing from %s after %d epochs and %d steps",
            source.path, trainer.progress.epoch, trainer.sums.steps,
        )  # fmt: skip
    check_same_start(trainer, files.output_dir)
    return trainer, earlier if source is None else source.spec


def _network(
    options: FitOptions,
    config: TaskConfig,
    ranks: Ranks,
    initialize: Initialize | None,
    starts_anew: bool,
) -> tuple[nn.Module, ModelSpec | None]:
    """The network, and what `initialize` returns if it gave the weights."""
    if ranks.device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # the input size never changes
    pretrained = config.pretrained and starts_anew and initialize is None and not options.from_scratch
    try:
        network = build_network(config, options.seed, pretrained)
    except ValueError as error:
        raise ConfigError(f"{options.config}: {error}") from error
    earlier = initialize(network) if starts_anew and initialize is not None else None
    return distributed.prepare(network, ranks, config.size), earlier


def build_network(config: TaskConfig, seed: int, pretrained: bool) -> nn.Module:
    """A config's network with random weights, the same for the same seed, or with ImageNet's.

    Raises:
        ValueError: there is no such network.
    """
    torch.manual_seed(seed)
    return build_model(config.network, pretrained=pretrained, **config.model_options)


def default_precision(config: TaskConfig, ranks: Ranks) -> str:
    """Of `training.engine.trainer.PRECISIONS`: what a config means where `--opt-level` says nothing."""
    return "O1" if config.fp16 and ranks.device.type == "cuda" else "O0"


def _trainer(
    options: FitOptions, config: TaskConfig, task: TrainingTask, ranks: Ranks, freeze_epochs: int, stop: StopRequest
) -> Trainer:
    precision = options.opt_level or default_precision(config, ranks)
    log.info(
        "%s on %s x %d, %s, %d batches of %d an epoch, %d validation crops",
        " ".join([config.network, *map(str, config.model_options.values())]), ranks.device.type, ranks.world_size,
        precision, task.steps, config.optimizer.batch_size, len(task.validation),
    )  # fmt: skip
    settings = StepSettings(precision, config.optimizer.accumulate, options.compile)
    return Trainer(task, config.optimizer, ranks, options.seed, settings, freeze_epochs, stop)


def version() -> str:
    """Return this project's version, as files on a run name it."""
    return package_version() or "unknown"


def _training_line(epoch: int, report: EpochReport) -> str:
    return (
        f"trained epoch {epoch}: loss {report.losses['total']:.5f}, learning rate {report.learning_rate:.3g}, "
        f"{report.samples_per_second:.1f} crops/s, {report.broken} broken files"
    )


def _validation_lines(losses: EpochLoss, metrics: VideoMetrics, improved: bool) -> list[str]:
    return [
        *format_losses(losses),
        f"bce {metrics.bce:.5f}{' (best)' if improved else ''}, log loss {metrics.log_loss:.5f}, "
        f"AUC {metrics.auc:.4f}, accuracy {metrics.accuracy:.4f} over {metrics.videos} videos",
        f"log loss {metrics.frame_log_loss:.5f}, AUC {metrics.frame_auc:.4f}, accuracy {metrics.frame_accuracy:.4f} "
        f"over {metrics.frames} frames",
    ]


def _train_scalars(report: EpochReport) -> dict[str, float]:
    losses = {f"train/{name}": value for name, value in report.losses.items()}
    return {**losses, "train/lr": report.learning_rate, "train/crops_per_second": report.samples_per_second}
