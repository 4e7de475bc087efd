"""The algorithm that Substra runs at each owner: `federated.owner.local_training` in substrafl's form."""

from __future__ import annotations

import deepfake.parallel.idle_threads

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from substrafl.algorithms.algo import Algo
from substrafl.remote import remote_data
from substrafl.strategies.schemas import FedAvgAveragedState, FedAvgSharedState, StrategyName

from federated.owner.settings import LocalSettings
from federated.owner.tasks import begin_task, finished_folder, one_line_errors
from federated.samples.samples import OwnerData

if TYPE_CHECKING:
    from torch import nn

    from federated.owner.local_training import LocalTraining


class FederatedClassifier(Algo):
    """Federated averaging of first place's classifier.

    What takes seconds to import is imported by the tasks that need it: averaging does not, nor does the start.

    Shared states are weights, not differences of weights: their mean is the next round's start, whatever a task began
    with.

    Args:
        settings: how owners train.
        start: the checkpoint that all start from (`write_start`); a plain name is that of a file which travels
            beside the task's program.
    """

    def __init__(self, settings: LocalSettings, start: str, **kwargs: Any) -> None:
        super().__init__(settings=settings, start=start, **kwargs)
        self._settings = settings
        self._start = start
        self._local: LocalTraining | None = None

    @property
    def model(self) -> nn.Module:
        """The network as it is."""
        return self._state().network

    @property
    def strategies(self) -> list[StrategyName]:
        return [StrategyName.FEDERATED_AVERAGING]

    @remote_data
    def train(self, data_from_opener: OwnerData, shared_state: FedAvgAveragedState | None = None) -> FedAvgSharedState:
        """Takes the mean of the round before, if there was one, and trains the next."""
        from federated.owner.finished import FinishedTasks

        begin_task(data_from_opener.owner)
        with one_line_errors():
            local = self._state()
            if shared_state is not None:
                local.adopt(shared_state.avg_parameters_update)
            self._local, update = FinishedTasks(finished_folder()).train(local, data_from_opener)
        return FedAvgSharedState(n_samples=update.samples, parameters_update=update.weights)

    def predict(self, data_from_opener: OwnerData, shared_state: Any = None) -> pd.DataFrame:
        """Scores of the owner's crops (`federated.owner.predictions`)."""
        from federated.owner.finished import FinishedTasks

        begin_task(data_from_opener.owner)
        with one_line_errors():
            return FinishedTasks(finished_folder()).predict(self._state(), data_from_opener)

    def load_local_state(self, path: Path) -> FederatedClassifier:
        from federated.owner.local_training import LocalTraining

        with one_line_errors():
            self._local = LocalTraining.read(self._settings, path)
        return self

    def save_local_state(self, path: Path) -> None:
        with one_line_errors():
            if self._local is None:
                shutil.copyfile(self._start_file, path)
            else:
                self._local.save(path)

    def summary(self) -> dict[str, Any]:
        """What substrafl's summary of the experiment tells of the algorithm."""
        settings = self._settings
        facts = {"network": settings.config.network, "seed": settings.seed, "batch_norm": settings.batch_norm}
        return {**super().summary(), **facts, "epochs_a_round": settings.epochs}

    def _state(self) -> LocalTraining:
        if self._local is None:
            self.load_local_state(self._start_file)
            assert self._local is not None
        return self._local

    @property
    def _start_file(self) -> Path:
        return Path(sys.argv[0]).resolve().parent / self._start  # an absolute path stays what it is
