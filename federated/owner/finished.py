"""Results of finished tasks, so that a local run that was killed goes on where it was.

Training is deterministic, so a task's result follows from the state that it starts from, its settings and its data:
these name the file. Without a folder nothing is kept.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import torch

from deepfake.checkpoints.checkpoint import read_checkpoint
from federated.owner.local_training import LocalTraining, Update
from federated.owner.predictions import read_predictions, write_predictions
from federated.samples.samples import OwnerData

_WEIGHTS, _SAMPLES = "update_weights", "update_samples"


class FinishedTasks:
    """Trains and scores, unless that has been done.

    Args:
        folder: for the results, a file a task; None: none are kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def train(self, local: LocalTraining, data: OwnerData) -> tuple[LocalTraining, Update]:
        """`LocalTraining.train`; the state after it, and what the owner hands out. Raises as that does."""
        if self._folder is None:
            return local, local.train(data)
        path = self._path("train", local, data, ".state")
        if not path.exists():
            update = local.train(data)
            tensors = [torch.from_numpy(w) for w in update.weights]
            local.save(path, **{_WEIGHTS: tensors, _SAMPLES: update.samples})
            return local, update
        state = read_checkpoint(path)
        arrays = [w.numpy() for w in state.extra.pop(_WEIGHTS)]
        samples = state.extra.pop(_SAMPLES)
        return LocalTraining(local.settings, state), Update(arrays, samples)

    def predict(self, local: LocalTraining, data: OwnerData) -> pd.DataFrame:
        """`LocalTraining.predict`. Raises as that does."""
        if self._folder is None:
            return local.predict(data)
        path = self._path("predict", local, data, ".csv")
        if not path.exists():
            write_predictions(path, local.predict(data))
        return read_predictions(path)

    def _path(self, what: str, local: LocalTraining, data: OwnerData, suffix: str) -> Path:
        assert self._folder is not None
        name = hashlib.sha256(f"{what} {local.fingerprint()} {data.fingerprint}".encode()).hexdigest()
        return self._folder / f"{name[:32]}{suffix}"
