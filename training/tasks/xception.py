"""Second place's Xception task: a share of each video's pictures, cross entropy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from training.config import ConfigError, XceptionConfig, read_config
from training.datasets.batch import Batch
from training.datasets.face_sampling import drawn_rows, share_counts
from training.engine.trainer import TOTAL
from training.options import AlignedOptions
from training.tasks.aligned import AlignedTask, run_aligned
from training.tasks.registry import TASKS
from training.transforms.augment_faces import XceptionAugmentation


class XceptionTask(AlignedTask):
    """Trains Xception on aligned faces (a `training.engine.trainer.TrainingTask`); arguments as for `AlignedTask`.

    Raises:
        ConfigError: `frame_share` takes no pictures of the reals or of the fakes.
    """

    augmentation = XceptionAugmentation
    _config: XceptionConfig

    def loss(self, network: nn.Module, batch: Batch, whole: Batch | None = None) -> dict[str, torch.Tensor]:
        logits = network(self._input(batch.images))
        share = len(batch) / len(whole or batch)
        return {TOTAL: share * cross_entropy(logits.float(), batch.labels.long())}

    def _epoch_samples(self) -> int:
        counts = self._counts(self._videos)
        for label, name in ((0, "real"), (1, "fake")):
            of_label = (self._videos["is_fake"] == label).to_numpy()
            if counts[of_label].sum() == 0:
                pictures = self._videos["n_frame"][of_label].max()
                share = getattr(self._config.frame_share, name)
                raise ConfigError(
                    f"frame_share.{name}: {share} of a {name} video's pictures (at most {pictures}) is none; raise it"
                )
        return int(counts.sum())

    def _epoch_rows(self, epoch: int) -> pd.DataFrame:
        return drawn_rows(self._videos, self._counts(self._videos), self._seed, epoch)

    def _validation_counts(self, videos: pd.DataFrame) -> np.ndarray:
        return self._counts(videos)

    def _counts(self, videos: pd.DataFrame) -> np.ndarray:
        share = self._config.frame_share
        return share_counts(videos, share.real, share.fake)


@TASKS.register("xception")
def run_xception(options: AlignedOptions) -> None:
    """Train Xception as `options` say; raises as `run_aligned`."""
    run_aligned(options, read_config(options.config, XceptionConfig), XceptionTask)
