"""Second place's WS-DAN task: whole, cropped and dropped pictures, and features drawn to their class' center."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize, one_hot

from deepfake.checkpoints.checkpoint import read_checkpoint
from deepfake.checkpoints.spec import ModelSpec
from deepfake.models.networks.wsdan import WSDAN
from deepfake.models.networks.xception import CLASSES
from deepfake.models.weight_files import CheckpointError, load_state
from training.config import ConfigError, WSDANConfig, read_config
from training.datasets.batch import Batch
from training.datasets.face_sampling import balanced_rows, balanced_samples
from training.engine import distributed
from training.engine.distributed import Ranks
from training.engine.trainer import TOTAL
from training.options import WSDANOptions
from training.tasks.aligned import AlignedTask, run_aligned
from training.tasks.registry import TASKS
from training.transforms.attention import crop_attended, draw_maps, drop_attended
from training.transforms.augment_faces import WSDANAugmentation

LONGEST = 2.0**40
"""Batches have long ceased to turn a center of that length; a longer one would overflow some day."""
XCEPTION_HEAD = "fc."
"""Begins the names of the weights of Xception that WS-DAN does not have."""
INITIAL, INITIALIZED = "xception", "wsdan_xception"
"""The network whose weights another one can start with, and that other one."""

log = logging.getLogger(__name__)


class FeatureCentres:
    """Where the features of reals and of fakes are on average; a sample's are drawn to its class' (Wen et al. 2016).

    Only directions count. A center that has grown longer turns more slowly: hence the growth from epoch to epoch.

    Args:
        features: length of a feature vector.
        beta: how far a batch moves its centres.
    """

    def __init__(self, features: int, beta: float, ranks: Ranks) -> None:
        self.values = torch.zeros(CLASSES, features, device=ranks.device)
        self._beta = beta
        self._ranks = ranks

    def loss(self, matrix: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Squared distances of (n, features) vectors from the directions of their (n,) classes' centres: the mean over
        samples of the sum over features."""
        return (matrix.float() - normalize(self.values)[labels]).square().sum() / len(matrix)

    def update(self, matrix: torch.Tensor, labels: torch.Tensor) -> None:
        """Moves each center by `beta` times the mean of its samples' distances; the ranks' moves are averaged.

        In the published code a class' samples overwrite each other's moves, so that one of them counts. The mean is no
        longer than one, and all of them count.
        """
        members = one_hot(labels, CLASSES).float()[:, :, None]
        counts = members.sum(0)
        # Not a matrix product, which mixed precision would round.
        means = (members * matrix.detach().float()[:, None]).sum(0) / counts.clamp(min=1)
        moves = self._beta * (means - normalize(self.values)) * (counts > 0)
        self.values = self.values + distributed.mean_over_ranks(moves, self._ranks)

    def grow(self, factor: float) -> None:
        """Multiplies the centres, those of `LONGEST` left out."""
        short = self.values.norm(dim=1, keepdim=True) < LONGEST
        self.values = torch.where(short, self.values * factor, self.values)


class WSDANTask(AlignedTask):
    """Trains WS-DAN on aligned faces (a `training.engine.trainer.TrainingTask`); arguments as for `AlignedTask`."""

    augmentation = WSDANAugmentation
    network: WSDAN
    _config: WSDANConfig

    def __init__(
        self,
        network: WSDAN,
        config: WSDANConfig,
        faces: pd.DataFrame,
        folder: Path,
        ranks: Ranks,
        seed: int,
        workers: int = 0,
    ) -> None:
        super().__init__(network, config, faces, folder, ranks, seed, workers)
        self.encoder = network.features
        self.centres = FeatureCentres(network.fc.in_features, config.centre_beta, ranks)
        self._matrices: list[torch.Tensor] = []

    def loss(self, network: nn.Module, batch: Batch, whole: Batch | None = None) -> dict[str, torch.Tensor]:
        images, labels = self._input(batch.images), batch.labels.long()
        raw = network(images, attended=True, drop_maps=True)
        cropped, dropped = self._look_closer(images, raw.attention.detach())
        losses = {
            "raw": cross_entropy(raw.logits.float(), labels),
            "crop": cross_entropy(network(cropped).float(), labels),
            "drop": cross_entropy(network(dropped).float(), labels),
            "centre": self.centres.loss(raw.feature_matrix, labels),
        }
        whole = batch if whole is None else whole
        self._move_centres(raw.feature_matrix, whole)
        share = len(batch) / len(whole)
        losses = {name: share * loss for name, loss in losses.items()}
        weights = self._config.losses
        total = sum(getattr(weights, name) * loss for name, loss in losses.items())
        return {TOTAL: total, **losses}

    def _move_centres(self, matrix: torch.Tensor, whole: Batch) -> None:
        """Moves the centres once for each whole batch, when its last part's matrix is there."""
        self._matrices.append(matrix.detach())
        if sum(map(len, self._matrices)) == len(whole):
            self.centres.update(torch.cat(self._matrices), whole.labels.long())
            self._matrices.clear()

    def end_epoch(self) -> None:
        self.centres.grow(self._config.centre_growth)

    def state(self) -> dict[str, Any]:
        return {"centres": self.centres.values.cpu()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        values = state["centres"]
        if values.shape != self.centres.values.shape:
            raise ValueError(f"centres {tuple(values.shape)}, not {tuple(self.centres.values.shape)}")
        self.centres.values = values.to(self.centres.values.device)

    def _look_closer(self, images: torch.Tensor, attention: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures cropped to, and without, what drawn attention maps look at."""
        settings = self._config.attention
        maps = draw_maps(attention, 2)
        crop_threshold, drop_threshold = (
            torch.empty(len(images), device=images.device).uniform_(*bounds)
            for bounds in (settings.crop_threshold, settings.drop_threshold)
        )
        cropped = crop_attended(images, maps[:, :1], crop_threshold, settings.crop_padding)
        return cropped, drop_attended(images, maps[:, 1:], drop_threshold)

    def _evaluate(self, network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        """The mean of the logits of whole pictures and of their crops to the mean attention map."""
        settings = self._config.attention
        whole = network(images, attended=True)
        mean_map = whole.attention.float().mean(1, keepdim=True)
        threshold = torch.full((len(images),), settings.eval_threshold, device=images.device)
        cropped = crop_attended(images, mean_map, threshold, settings.eval_padding)
        return (whole.logits.float() + network(cropped).float()) / 2

    def _epoch_samples(self) -> int:
        return balanced_samples(self._videos, self._config.frames_per_video)

    def _epoch_rows(self, epoch: int) -> pd.DataFrame:
        frames, stride = self._config.frames_per_video, self._config.frame_stride
        return balanced_rows(self._videos, frames, stride, self._seed, epoch)

    def _validation_counts(self, videos: pd.DataFrame) -> np.ndarray:
        return np.full(len(videos), self._config.frames_per_video)


@TASKS.register("wsdan")
def run_wsdan(options: WSDANOptions) -> None:
    """Train WS-DAN as `options` say; raises as `run_aligned`."""
    config = read_config(options.config, WSDANConfig)
    init = options.init
    if init is None:
        return run_aligned(options, config, WSDANTask)
    if config.network != INITIALIZED:
        raise ConfigError(f"{options.config}: {config.network} cannot start from Xception's weights; leave --init out")
    return run_aligned(options, config, WSDANTask, lambda network: initialize(cast(WSDAN, network), init))


def initialize(network: WSDAN, path: Path) -> ModelSpec:
    """Copy a trained Xception's weights, but for its last layer, into the features of a WS-DAN; return its spec.

    Raises:
        CheckpointError: not a checkpoint of an Xception.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.spec.architecture != INITIAL:
        raise CheckpointError(f"{path}: weights of {checkpoint.spec.architecture}; --init takes those of {INITIAL}")
    weights = {k: v for k, v in checkpoint.state_dict.items() if not k.startswith(XCEPTION_HEAD)}
    load_state(network.features, weights, path, f"the features of {INITIALIZED}")
    log.info("starting from the weights of %s", path)
    return checkpoint.spec
