"""A classifier's training run: options -> everything built -> trained, validated, saved, logged."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from deepfake.folds import read_folds
from deepfake.losslog import EpochLoss, format_losses
from deepfake.models import build_model
from deepfake.paths import DataRoot
from deepfake.spec import ModelSpec
from training import distributed
from training.checkpointing import KEEP_EPOCHS, CheckpointStore, RunFiles, resume
from training.classifier import ClassifierRecipe
from training.config import ConfigError, TrainConfig, read_config
from training.crop_recipe import crop_recipe
from training.datasets.crops import LABEL_SMOOTHING, SampleOptions
from training.datasets.sampling import check_folds
from training.distributed import Ranks
from training.engine import EpochReport, Trainer
from training.metrics import VideoMetrics
from training.scalars import Scalars

PROJECT = "deepfake-detection"
DEFAULT_SEED = 777
FOLDS_CSV = "folds.csv"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOptions:
    """One run's options; the command line's help explains each."""

    config: Path
    data_dir: Path
    fold: int = 0
    seed: int = DEFAULT_SEED
    folds_csv: Path | None = None
    crops_dir: str = "crops"
    prefix: str = "classifier_"
    output_dir: Path = Path("weights")
    logdir: Path = Path("logs")
    workers: int = 0
    resume: str | None = None
    from_zero: bool = False
    zero_score: bool = False
    distributed: bool = False
    freeze_epochs: int = 0
    test_every: int = 1
    label_smoothing: float = LABEL_SMOOTHING
    padding_part: int = SampleOptions.padding_part
    opt_level: str | None = None
    oversample: bool = True
    hardcore: bool = True
    only_changed_frames: bool = False
    device: str = "auto"
    from_scratch: bool = False
    epochs: int | None = None
    keep_epochs: int = KEEP_EPOCHS

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"--label-smoothing {self.label_smoothing}: expected 0 or more and less than 0.5")
        if self.padding_part < SampleOptions.padding_part:
            raise ValueError(f"--padding-part {self.padding_part}: expected {SampleOptions.padding_part} or more")
        if self.resume is None and (self.from_zero or self.zero_score):
            raise ValueError("--from-zero and --zero-score say how to --resume; without it they mean nothing")

    @property
    def sample_options(self) -> SampleOptions:
        return SampleOptions(self.label_smoothing, self.hardcore, self.padding_part, self.only_changed_frames)

    def to_dict(self) -> dict[str, Any]:
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}


def run(options: RunOptions) -> None:
    """Trains as `options` say.

    Raises:
        ValueError: a config, fold table, checkpoint or option that cannot be used.
        NonFiniteLoss: training diverged.
    """
    config = read_config(options.config)
    if options.epochs is not None:
        config = config.with_epochs(options.epochs)
    folds_csv = find_folds(options)
    table = read_folds(folds_csv)
    check_folds(table, options.fold, str(folds_csv))
    ranks = distributed.start(options.distributed, options.device)
    try:
        _train(options, config, table, ranks)
    finally:
        distributed.stop(ranks)


def find_folds(options: RunOptions) -> Path:
    """The fold table: as given, or DATA_ROOT's, or the one in the current folder."""
    if options.folds_csv is not None:
        return options.folds_csv
    below_root = options.data_dir / FOLDS_CSV
    return below_root if below_root.exists() else Path(FOLDS_CSV)


def _train(options: RunOptions, config: TrainConfig, table: pd.DataFrame, ranks: Ranks) -> None:
    files = RunFiles.of(options.output_dir, options.prefix, config.network, config.encoder, options.fold)
    source = files.resume_from(options.resume)
    layout = DataRoot(options.data_dir, options.crops_dir)
    trainer = _build(options, config, table, ranks, layout, starts_anew=source is None)
    store = CheckpointStore(files, _spec(options, config, layout, table), options.keep_epochs)
    if source is not None:
        resume(source, trainer.recipe.network, trainer, options.from_zero, options.zero_score)
        log.info("continuing from %s after %d epochs", source, trainer.progress.epoch)
    if trainer.progress.epoch >= config.epochs:
        log.info("finished already: %d of %d epochs", trainer.progress.epoch, config.epochs)
        return
    if ranks.is_main:
        store.write_config({"config": config.to_dict(), "options": options.to_dict(), "version": _version()})
    with Scalars(options.logdir if ranks.is_main else None, first_step=trainer.progress.epoch) as scalars:
        fit(trainer, store, scalars, config.epochs, options.test_every)


def fit(trainer: Trainer, store: CheckpointStore, scalars: Scalars, epochs: int, test_every: int) -> None:
    """Trains up to `epochs`, validating every `test_every`-th and the last; the main rank saves and logs."""
    progress = trainer.progress
    while progress.epoch < epochs:
        report = trainer.train_epoch()
        epoch = progress.epoch - 1
        scalars.write(epoch, _train_scalars(report))
        log.info(
            "trained epoch %d: loss %.5f, learning rate %.3g, %.1f crops/s, %d broken files",
            epoch, report.losses["total"], report.learning_rate, report.samples_per_second, report.broken,
        )  # fmt: skip
        metrics, improved = None, False
        if progress.epoch % test_every == 0 or progress.epoch == epochs:
            metrics = trainer.validate()
            losses = EpochLoss(epoch, metrics.fake_loss, metrics.real_loss)
            progress.history.append(losses)
            improved = metrics.bce < progress.best
            progress.best = min(progress.best, metrics.bce)
            _report(losses, metrics, improved)
            scalars.write(epoch, _validation_scalars(metrics))
        if trainer.ranks.is_main:
            store.save(trainer.recipe.network, trainer, metrics, improved)
    log.info("finished %d epochs; lowest bce %.5f; weights in %s", epochs, progress.best, store.files.output_dir)


def _build(
    options: RunOptions, config: TrainConfig, table: pd.DataFrame, ranks: Ranks, layout: DataRoot, starts_anew: bool
) -> Trainer:
    if ranks.device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # the input size never changes
    # Every rank starts from the same weights, and so does the same run tomorrow.
    torch.manual_seed(options.seed)
    pretrained = config.pretrained and starts_anew and not options.from_scratch
    try:
        network = build_model(config.network, pretrained=pretrained, **config.model_options)
    except ValueError as error:
        raise ConfigError(f"{options.config}: {error}") from error
    network = distributed.prepare(network, ranks, config.size)
    recipe = ClassifierRecipe(
        network, config, table, options.fold, layout, ranks, options.seed,
        options.sample_options, options.oversample, options.workers,
    )  # fmt: skip
    precision = options.opt_level or ("O1" if config.fp16 and ranks.device.type == "cuda" else "O0")
    log.info(
        "%s %s on %s x %d, %s, %d batches of %d an epoch, %d validation crops",
        config.network, config.encoder, ranks.device.type, ranks.world_size, precision,
        recipe.steps, config.optimizer.batch_size, len(recipe.validation),
    )  # fmt: skip
    return Trainer(recipe, config.optimizer, ranks, options.seed, precision, options.freeze_epochs)


def _spec(options: RunOptions, config: TrainConfig, layout: DataRoot, table: pd.DataFrame) -> ModelSpec:
    return ModelSpec(
        architecture=config.network,
        options=config.model_options,
        input_size=config.size,
        normalization=config.normalize,
        crop=crop_recipe(layout, table["original"], options.padding_part),
        training={
            "config": {"file": options.config.name, **config.to_dict()},
            "fold": options.fold,
            "seed": options.seed,
            "version": _version(),
        },
    )


def _version() -> str:
    try:
        return metadata.version(PROJECT)
    except metadata.PackageNotFoundError:
        return "unknown"


def _report(losses: EpochLoss, metrics: VideoMetrics, improved: bool) -> None:
    for line in format_losses(losses):
        log.info(line)
    log.info(
        "bce %.5f%s, AUC %.4f, accuracy %.4f over %d videos",
        metrics.bce, " (best)" if improved else "", metrics.auc, metrics.accuracy, metrics.videos,
    )  # fmt: skip


def _train_scalars(report: EpochReport) -> dict[str, float]:
    losses = {f"train/{name}": value for name, value in report.losses.items()}
    return {**losses, "train/lr": report.learning_rate, "train/crops_per_second": report.samples_per_second}


def _validation_scalars(metrics: VideoMetrics) -> dict[str, float]:
    return {f"val/{n}": getattr(metrics, n) for n in ("bce", "fake_loss", "real_loss", "auc", "accuracy")}
