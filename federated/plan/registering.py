"""Owners' assets and the compute plan on a Substra network, each once: what has been registered is found again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from deepfake.models.weight_files import file_hash
from federated.owner.local_training import write_start
from federated.owner.settings import LocalSettings
from federated.plan.asset_keys import AssetKeys, read_keys, write_keys
from federated.plan.network import Network, NetworkError, Organisation
from federated.plan.plan import START, OwnerAssets, add_dataset, add_sample, owners_in, performances, start_plan
from federated.plan.results import write_figures, write_networks
from federated.samples.samples import OwnerData, open_samples
from federated.samples.splitting import TEST, TRAIN

_DONE = "PLAN_STATUS_DONE"
_ENDED_BADLY = ("PLAN_STATUS_FAILED", "PLAN_STATUS_CANCELED")


@dataclass(frozen=True)
class Asked:
    """What `register` and `run_plan` are asked for.

    Attributes:
        network: the organisations.
        samples: folder of `generate_data_samples.py`: the owners that are registered from here; None: no owner is.
        keys: `assets_keys.json`, which may hold more owners, registered elsewhere.
        out: for the network and the metrics.
    """

    network: Network
    samples: Path | None
    keys: Path
    out: Path

    def owners(self) -> dict[str, Path]:
        """Name -> folder of the owners registered from here. Raises ValueError if `samples` holds none."""
        return owners_in(self.samples) if self.samples is not None else {}


@dataclass(frozen=True)
class PlanState:
    """How far a compute plan is: Substra's status, the metrics so far, and the networks written if it is done."""

    key: str
    status: str
    performances: pd.DataFrame
    networks: list[Path]

    @property
    def is_done(self) -> bool:
        return self.status == _DONE


def register(asked: Asked, tell: Callable[[str], None]) -> AssetKeys:
    """Registers the data of the owners in `asked.samples`, as far as `asked.keys` does not have it.

    All organisations of the connection file may run tasks on it.

    Raises:
        ValueError: samples, keys or connection that cannot be used; samples that are no longer those registered.
        NetworkError: an organisation refused or was not there. What has been registered is in `asked.keys`.
    """
    keys, folders = read_keys(asked.keys), asked.owners()
    data = {owner: _open(folder) for owner, folder in folders.items()}
    network = asked.network
    if missing := sorted(folders.keys() - set(network.names)):
        raise ValueError(f"{network.path}: no organisation {', '.join(missing)}, whose samples are in {asked.samples}")
    ids = {name: network.id(name) for name in network.names}
    for owner, folder in folders.items():
        known = keys.owners.get(owner, OwnerAssets(ids[owner], "", [], []))
        if keys.fingerprints.get(owner, data[owner].fingerprint) != data[owner].fingerprint:
            raise ValueError(
                f"{folder}: other data samples than those that were registered; delete the entries of {owner} in "
                f"{asked.keys} to register these, too"
            )
        for assets, outcome in _add_missing(network.organisation(owner), known, folder, list(ids.values())):
            keys = keys.with_owner(owner, assets, data[owner])
            write_keys(asked.keys, keys)
            tell(f"{owner}: {outcome}")
    return keys


def run_plan(
    asked: Asked, aggregator: str, settings: LocalSettings, init: Path | None, from_scratch: bool, use_gpu: bool,
    tell: Callable[[str], None],
) -> PlanState:  # fmt: skip
    """Starts the compute plan over all owners in `asked.keys`, or finds the one that was started with the same
    settings; writes its metrics so far and, if it is done, the network.

    Args:
        aggregator: the organisation that averages, by its name in the connection file; it starts the plan. Of a plan
            that was started before, the one that is asked.
        init, from_scratch: see `federated.owner.local_training.write_start`.

    Raises:
        ValueError: no owners, or a connection, config or start that cannot be used.
        NetworkError: an organisation refused or was not there, or the plan failed or was canceled.
    """
    keys = read_keys(asked.keys)
    if not keys.owners:
        raise ValueError(f"{asked.keys}: no owner's data; register some first")
    assert settings.rounds is not None
    averaging = asked.network.organisation(aggregator)
    name = _name(keys, settings, init, from_scratch)
    if name not in keys.plans:
        asked.out.mkdir(parents=True, exist_ok=True)
        start = asked.out / START
        write_start(start, settings, next(iter(keys.detections.values()), None), init, from_scratch)
        averages = asked.network.id(aggregator)
        tell(f"{aggregator}: starting {settings.rounds} round(s) over {', '.join(keys.owners)}")
        with averaging.talking("starting the compute plan") as client:
            plan = start_plan(
                client, keys.owners, averages, settings, start, settings.rounds, asked.out / "experiment",
                travels=True, use_gpu=use_gpu,
            ).key  # fmt: skip
        keys = keys.with_plan(name, plan)
        write_keys(asked.keys, keys)
    return _state(asked, averaging, keys, keys.plans[name], settings)


def _state(asked: Asked, averaging: Organisation, keys: AssetKeys, plan: str, settings: LocalSettings) -> PlanState:
    with averaging.talking("asking how far the compute plan is") as client:
        status = client.get_compute_plan(plan).status.value
        figures = performances(client, plan, keys.owners)
    if len(figures):
        write_figures(figures, asked.out)
    if status in _ENDED_BADLY:
        raise NetworkError(
            f"compute plan {plan}: {status}; the network's web page shows its tasks' logs. Put it right and delete its "
            f'entry under "plans" in {asked.keys} to start it anew'
        )
    state = PlanState(plan, status, figures, [])
    # A state is handed out by the organisation that it lies with.
    for owner in asked.owners() if state.is_done else ():
        with asked.network.organisation(owner).talking("downloading the network") as client:
            written = write_networks({owner: client}, plan, keys.owners, settings, figures, asked.out)
        state.networks.extend(path for path in written if path not in state.networks)
    return state


def _add_missing(
    organisation: Organisation, known: OwnerAssets, folder: Path, readers: list[str]
) -> Iterator[tuple[OwnerAssets, str]]:
    """Registers what is missing; yields the keys after each step, and what the step was."""
    dataset, train, test = known.dataset, known.train, known.test
    if dataset:
        with organisation.talking(f"looking for data set {dataset} of assets_keys.json") as client:
            client.get_dataset(dataset)
        yield known, f"data set {dataset}, registered before"
    else:
        with organisation.talking("registering the data set") as client:
            dataset = add_dataset(client, organisation.name, folder, readers)
        yield OwnerAssets(known.organization, dataset, [], []), f"data set {dataset}"
    for kind, there in ((TRAIN, train), (TEST, test)):
        if not there:
            with organisation.talking(f"registering the data sample {folder / kind}") as client:
                there.append(add_sample(client, dataset, folder / kind))
            yield OwnerAssets(known.organization, dataset, train, test), f"data sample to {kind} with {there[0]}"


def _open(folder: Path) -> OwnerData:
    """The owner's samples to train with, both having been looked at."""
    open_samples([folder / TEST])
    return open_samples([folder / TRAIN])


def _name(keys: AssetKeys, settings: LocalSettings, init: Path | None, from_scratch: bool) -> str:
    """Of what was asked for: the same name, the same plan."""
    started = f"{file_hash(init) if init else None} {from_scratch}"
    owners = sorted(assets.dataset for assets in keys.owners.values())
    asked = f"{settings.to_json()} {settings.rounds} {started} {owners}"
    return hashlib.sha256(asked.encode()).hexdigest()[:16]
