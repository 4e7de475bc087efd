"""The algorithm by itself: substrafl's calls, in its order, for a single owner and in this process."""

from __future__ import annotations

from pathlib import Path

from deepfake.checkpoints.checkpoint import read_checkpoint
from deepfake.models.weight_files import CheckpointError
from federated.owner.algorithm import FederatedClassifier
from federated.owner.settings import LocalSettings
from federated.samples.samples import OwnerData
from training.config import TrainConfig, parse_config


def train_alone(settings: LocalSettings, state: Path, data: OwnerData, rounds: int) -> None:
    """Rounds of training and averaging, from the state in a file to the state in that file.

    Raises:
        ValueError, NonFiniteLoss: see `federated.owner.local_training.LocalTraining`.
    """
    from substrafl.strategies import FedAvg

    algorithm = FederatedClassifier(settings=settings, start=str(state.resolve()))
    strategy = FedAvg(algo=algorithm)
    mean = None
    for _ in range(rounds + 1):  # substrafl takes the last mean with a task of training, too
        shared = algorithm.train(data_from_opener=data, shared_state=mean, _skip=True)
        mean = strategy.avg_shared_states(shared_states=[shared], _skip=True)
    algorithm.save_local_state(state)


def algorithm_of(state: Path) -> FederatedClassifier:
    """The algorithm at a state that it, or a run, has saved.

    Raises:
        CheckpointError: the file cannot be used, or says nothing of its recipe.
    """
    checkpoint = read_checkpoint(state)
    try:
        config = parse_config(checkpoint.spec.training["config"], str(state), TrainConfig)
        settings = LocalSettings(config, checkpoint.spec.training["seed"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{state}: does not say how it was trained ({error}); not of a federated run") from error
    return FederatedClassifier(settings=settings, start=str(state.resolve()))
