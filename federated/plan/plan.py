"""The compute plan on Substra: what each owner registers, and the rounds over all of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from federated.owner.metrics import METRICS
from federated.owner.settings import LocalSettings
from federated.plan.project_source import project_source
from federated.samples.splitting import TEST, TRAIN

if TYPE_CHECKING:
    from substra import Client
    from substra.sdk.models import ComputePlan

OPENER = Path(__file__).resolve().parents[1] / "owner" / "opener.py"
DESCRIPTION_MD = "description.md"
START = "start.pt"
"""The checkpoint that all owners start from."""
DATASET_NAME = "Deepfake detection: face crops"
PERFORMANCE_COLUMNS = ("training", "owner", "round", "metric", "value")
FEDERATED = "federated"
"""The name of the averaged network among the trainings that are compared."""


class MissingSubstra(ValueError):
    """Substra's libraries are not installed."""


@dataclass(frozen=True)
class OwnerAssets:
    """Keys of what an owner has registered, and the id of its organisation."""

    organization: str
    dataset: str
    train: list[str]
    test: list[str]


def require_substra() -> None:
    """Raises MissingSubstra unless Substra's libraries are here; they are made to log warnings only."""
    try:
        import substrafl
    except ImportError as error:
        raise MissingSubstra(
            f"{error}: the federated example needs Substra's libraries, which run on Python 3.10 to 3.12: "
            "python -m pip install -e '.[federated]'"
        ) from error
    # It tells each of its steps, through a handler of its own.
    substrafl.set_logging_level(logging.WARNING)


def owners_in(folder: Path) -> dict[str, Path]:
    """Name -> folder of the owners that `generate_data_samples.py` wrote below `folder`.

    Raises:
        ValueError: there is none.
    """
    found = {path.name: path for path in sorted(folder.glob("*")) if (path / TRAIN).is_dir() and (path / TEST).is_dir()}
    if not found:
        raise ValueError(f"{folder}: no owner's data samples (OWNER/train, OWNER/test); run generate_data_samples.py")
    return found


def add_dataset(client: Client, owner: str, folder: Path, readers: Sequence[str]) -> str:
    """Registers an owner's data set with its organisation: opener and description, no data yet. Returns its key.

    Args:
        folder: with a description beside the owner's samples.
        readers: ids of the organisations that may run tasks on it.
    """
    from substra.sdk.schemas import DatasetSpec, Permissions

    allowed = Permissions(public=False, authorized_ids=list(readers))
    return client.add_dataset(
        DatasetSpec(
            name=f"{DATASET_NAME}, {owner}",
            data_opener=OPENER,
            description=folder / DESCRIPTION_MD,
            permissions=allowed,
            logs_permission=allowed,
        )
    )


def add_sample(client: Client, dataset: str, folder: Path) -> str:
    """Registers a data sample of a data set. Returns its key."""
    from substra.sdk.schemas import DataSampleSpec

    return client.add_data_sample(DataSampleSpec(path=folder, data_manager_keys=[dataset]))


def start_plan(
    client: Client,
    owners: Mapping[str, OwnerAssets],
    aggregator: str,
    settings: LocalSettings,
    start: Path,
    rounds: int,
    folder: Path,
    travels: bool,
    use_gpu: bool = False,
) -> ComputePlan:
    """Starts federated averaging with an evaluation at each owner before the first and after every round; a local
    client returns when it is done.

    Args:
        client: of the organisation that starts it.
        aggregator: id of the organisation that averages.
        start: the checkpoint that all start from.
        folder: for substrafl's summary.
        travels: the checkpoint and this project are sent with the tasks; else tasks find both where they are now.
        use_gpu: of tasks that travel: their container has CUDA.

    Raises:
        ValueError: this project's source is not here to be sent.
    """
    from substrafl.dependency import Dependency
    from substrafl.evaluation_strategy import EvaluationStrategy
    from substrafl.experiment import execute_experiment
    from substrafl.nodes import AggregationNode, TestDataNode, TrainDataNode
    from substrafl.strategies import FedAvg

    from federated.owner.algorithm import FederatedClassifier

    if travels:
        with project_source() as source:
            dependencies = Dependency(local_installable_dependencies=[source], local_code=[start], use_gpu=use_gpu)
    else:
        dependencies = Dependency()
    algorithm = FederatedClassifier(settings=settings, start=start.name if travels else str(start.resolve()))
    return execute_experiment(
        client=client,
        strategy=FedAvg(algo=algorithm, metric_functions=METRICS),
        train_data_nodes=[TrainDataNode(o.organization, o.dataset, o.train) for o in owners.values()],
        evaluation_strategy=EvaluationStrategy(
            [TestDataNode(o.organization, o.dataset, o.test) for o in owners.values()], eval_frequency=1
        ),
        aggregation_node=AggregationNode(aggregator),
        num_rounds=rounds,
        experiment_folder=folder,
        dependencies=dependencies,
        # Substra ignores that states may go in a local run, and warns each time.
        clean_models=travels,
        name=f"Deepfake detection, {rounds} rounds, {len(owners)} owners",
    )


def performances(client: Client, plan: str, owners: Mapping[str, OwnerAssets]) -> pd.DataFrame:
    """The metrics of a compute plan so far: columns `PERFORMANCE_COLUMNS`, one row for each owner, round and metric."""
    name_of = {assets.organization: owner for owner, assets in owners.items()}
    found = client.get_performances(plan)
    rows = [
        (FEDERATED, name_of[worker], round_, metric, value)
        for worker, round_, metric, value in zip(found.worker, found.round_idx, found.identifier, found.performance)
    ]
    table = pd.DataFrame(rows, columns=list(PERFORMANCE_COLUMNS)).astype({"round": int})
    return table.sort_values(["owner", "round", "metric"], ignore_index=True)


def download_state(client: Client, plan: str, organization: str, round_: int, folder: Path) -> Path:
    """An owner's state after a round: a checkpoint, whose weights are all owners' in common.

    Raises:
        ValueError: the plan has no such task, or it is not done.
    """
    tasks = client.list_task(filters={"compute_plan_key": [plan], "worker": [organization]})
    tasks = [task for task in tasks if task.tag == TRAIN and task.metadata.get("round_idx") == str(round_)]
    if len(tasks) != 1 or tasks[0].status.value != "STATUS_DONE":
        raise ValueError(f"compute plan {plan}: no finished training of round {round_} at {organization}")
    folder.mkdir(parents=True, exist_ok=True)
    return Path(client.download_model_from_task(tasks[0].key, folder=folder, identifier="local"))
