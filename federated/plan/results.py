"""What a finished run leaves: networks, metrics, the picture of the rounds."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from deepfake.storage import atomic
from federated.owner.local_training import LocalTraining
from federated.owner.settings import LOCAL, LocalSettings
from federated.plan.plan import FEDERATED, OwnerAssets, download_state
from federated.plan.plot import draw_rounds

if TYPE_CHECKING:
    from substra import Client

PERFORMANCES_CSV = "performances.csv"
ROUNDS_PNG = "rounds.png"


def write_networks(
    clients: Mapping[str, Client], plan: str, owners: Mapping[str, OwnerAssets], settings: LocalSettings,
    figures: pd.DataFrame, out: Path,
) -> list[Path]:  # fmt: skip
    """Writes the network that a plan ended with as a checkpoint for prediction: `federated.pt`, or, where batch norms
    stay with their owner, `federated_OWNER.pt` for each of `clients`.

    Args:
        clients: of owners, by name.
        figures: the plan's metrics; those of the last round go into the checkpoint.

    Raises:
        ValueError: the plan is not done.
    """
    assert settings.rounds is not None
    chosen = list(clients) if settings.batch_norm == LOCAL else list(clients)[:1]
    written = []
    for owner in chosen:
        path = out / (f"{FEDERATED}_{owner}.pt" if settings.batch_norm == LOCAL else f"{FEDERATED}.pt")
        last = figures[(figures["owner"] == owner) & (figures["round"] == settings.rounds)]
        with tempfile.TemporaryDirectory() as folder:
            organization = owners[owner].organization
            state = download_state(clients[owner], plan, organization, settings.rounds, Path(folder))
            local = LocalTraining.read(settings, state)
        local.save_weights(path, last.set_index("metric")["value"].to_dict())
        written.append(path)
    return written


def write_figures(table: pd.DataFrame, out: Path) -> None:
    """Writes metrics (columns `federated.plan.plan.PERFORMANCE_COLUMNS`) as a table and as a picture."""
    atomic.write_text(out / PERFORMANCES_CSV, table.to_csv(index=False))
    draw_rounds(table, out / ROUNDS_PNG)


def format_last(table: pd.DataFrame) -> str:
    """The metrics after the last round as a table: a row a training and owner."""
    last = table[table["round"] == table["round"].max()]
    metrics = list(dict.fromkeys(last["metric"]))
    lines = [" ".join([f"{'training':<16} {'tested at':<10}", *(f"{metric:>9}" for metric in metrics)])]
    for (training, owner), rows in last.groupby(["training", "owner"], sort=False):
        values = rows.set_index("metric")["value"]
        lines.append(" ".join([f"{training:<16} {owner:<10}", *(f"{values[metric]:>9.4f}" for metric in metrics)]))
    return "\n".join(lines)
