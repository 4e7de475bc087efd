"""A federated run on this machine: Substra's local mode, one process a task, and the baselines beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import psutil

from federated.owner.finished import FinishedTasks
from federated.owner.local_training import write_start
from federated.owner.settings import LocalSettings
from federated.owner.tasks import RUN_FOLDER, RUN_PROCESS, finished_folder
from federated.plan.baselines import baselines
from federated.plan.plan import START, OwnerAssets, add_dataset, add_sample, owners_in, performances, start_plan
from federated.plan.results import write_figures, write_networks
from federated.samples.samples import OwnerData, open_samples
from federated.samples.splitting import KINDS, TEST, TRAIN

if TYPE_CHECKING:
    from substra import Client
    from substra.sdk.models import Task

AGGREGATOR = "aggregator"
"""The organisation that averages, beside the owners: none of them may be called that."""


class FailedTask(ValueError):
    """A task of the plan failed; the message says whose and in which round."""


@dataclass(frozen=True)
class LocalRun:
    """What `run` is asked for.

    Attributes:
        samples: folder of `generate_data_samples.py`.
        out: for everything that is written.
        init, from_scratch: see `federated.owner.local_training.write_start`.
        baselines: trains each owner alone and the pool, too.
    """

    samples: Path
    out: Path
    settings: LocalSettings
    init: Path | None = None
    from_scratch: bool = False
    baselines: bool = True

    @property
    def rounds(self) -> int:
        assert self.settings.rounds is not None
        return self.settings.rounds


def run(asked: LocalRun) -> pd.DataFrame:
    """Runs it all; the metrics, columns `federated.plan.plan.PERFORMANCE_COLUMNS`.

    Raises:
        ValueError: samples, config or start that cannot be used.
        FailedTask: a task failed. What was finished is kept for the next run.
        NonFiniteLoss: a baseline's training diverged.
    """
    owners = {name: folder.resolve() for name, folder in owners_in(asked.samples).items()}
    if AGGREGATOR in owners:
        raise ValueError(f"{owners[AGGREGATOR]}: the organisation that averages is called that; rename the folder")
    out = asked.out.resolve()
    data = check_owners(owners)
    out.mkdir(parents=True, exist_ok=True)
    start = out / START
    write_start(start, asked.settings, data.detection, asked.init, asked.from_scratch)
    with _tasks_told(out):
        with _working_folder(out / "work"):
            figures = [_beside_ctrl_c(lambda: _federate(asked, owners, start, out))]
        if asked.baselines:
            figures += baselines(owners, asked.settings, start, asked.rounds, FinishedTasks(finished_folder()))
        table = pd.concat(figures, ignore_index=True)
        write_figures(table, out)
        shutil.rmtree(str(finished_folder()), ignore_errors=True)
    return table


def check_owners(owners: Mapping[str, Path]) -> OwnerData:
    """All owners' training data, if everybody's samples can be used together. Raises ValueError if not."""
    open_samples([folder / TEST for folder in owners.values()])
    return open_samples([folder / TRAIN for folder in owners.values()])


def _federate(asked: LocalRun, owners: Mapping[str, Path], start: Path, out: Path) -> pd.DataFrame:
    """The compute plan; writes the networks it ends with."""
    from substra import BackendType, Client
    from substra.sdk.backends.local.compute.spawner.base import ExecutionError

    clients = {
        name: Client(client_name=name, backend_type=BackendType.LOCAL_SUBPROCESS) for name in [*owners, AGGREGATOR]
    }
    ids = {name: client.organization_info().organization_id for name, client in clients.items()}
    assets = {}
    for name, folder in owners.items():
        dataset = add_dataset(clients[name], name, folder, list(ids.values()))
        samples = {kind: [add_sample(clients[name], dataset, folder / kind)] for kind in KINDS}
        assets[name] = OwnerAssets(ids[name], dataset, samples[TRAIN], samples[TEST])
    client = clients[AGGREGATOR]
    try:
        plan = start_plan(
            client, assets, ids[AGGREGATOR], asked.settings, start, asked.rounds, out / "experiment", travels=False
        ).key
    except ExecutionError as error:
        raise _failed(client, {key: name for name, key in ids.items()}, out) from error
    figures = performances(client, plan, assets)
    write_networks({name: clients[name] for name in owners}, plan, assets, asked.settings, figures, out)
    return figures


def _failed(client: Client, name_of: Mapping[str, str], out: Path) -> FailedTask:
    plan = client.list_compute_plan()[0].key
    tasks = client.list_task(filters={"compute_plan_key": [plan]})
    lost = ", ".join(_told(task, name_of) for task in tasks if task.status.value != "STATUS_DONE")
    return FailedTask(
        f"{lost} failed (see above, and {out / 'logs'}); no round goes on without all of its owners. Put it right and "
        "run the same command again: finished tasks are not repeated"
    )


def _told(task: Task, name_of: Mapping[str, str]) -> str:
    """A task in words. substrafl counts a training with the mean that it starts from."""
    round_, owner = int(task.metadata["round_idx"]), name_of[task.worker]
    if task.tag == TRAIN:
        return f"the training of round {round_ + 1} at {owner}"
    return f"the test after round {round_} at {owner}" if owner != AGGREGATOR else f"the averaging of round {round_}"


def _beside_ctrl_c(work: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """What `work` returns; Ctrl-C ends the processes that it has started, and then it.

    Ctrl-C reaches a program and its processes alike, and one in the middle of its imports would end in a stack trace:
    those started from a thread that holds the signal back do not see it.
    """
    with ThreadPoolExecutor(1, initializer=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})) as thread:
        future = thread.submit(work)
        try:
            while not future.done():
                wait([future], timeout=0.2)
        except KeyboardInterrupt:
            while not future.done():
                for process in psutil.Process().children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
                wait([future], timeout=0.2)
            raise
        return future.result()


@contextlib.contextmanager
def _tasks_told(out: Path) -> Iterator[None]:
    """Inside, tasks know where to keep logs and results, and find this project."""
    before = {name: os.environ.get(name) for name in (RUN_FOLDER, RUN_PROCESS, "PYTHONPATH")}
    project = str(Path(__file__).resolve().parents[2])
    os.environ[RUN_FOLDER] = str(out)
    os.environ[RUN_PROCESS] = str(os.getpid())
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [project, before["PYTHONPATH"]]))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def _working_folder(folder: Path) -> Iterator[Path]:
    """Substra's local mode keeps its files in the current folder: inside, that is `folder`, empty at first."""
    before = Path.cwd()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)
        shutil.rmtree(folder, ignore_errors=True)
