"""The epochs of `sampling`, in an order that reads few shards at a time, with shards of its own for each rank.

Each rank has its shards for the whole run, so a machine keeps copies of its own share only. An epoch of a rank has all
reals of its shards and as many fakes drawn from them, by the draw that a folder's epoch has; with one rank it is the
same set of samples, and in the same order where all shards can be read at a time. What is at a position follows from
(table, seed, epoch, number of ranks): to go on in the middle of an epoch means to begin with a later position.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from deepfake.datasets.shards import ShardError
from training.datasets.loading import training_positions
from training.datasets.sampling import training_rows

WINDOW = 8
"""Shards that an epoch mixes at a time."""
_ORDER = 2
"""Tells the draws of an epoch's order from those of its samples, which are seeded by (seed, epoch, position)."""


def deal_shards(table: pd.DataFrame, ranks: int) -> pd.Series:
    """Shard's name -> rank: from the largest to the smallest, each to the rank that has the fewest samples so far."""
    counts = table.groupby("shard").size().sort_index().sort_values(ascending=False, kind="stable")
    loads, owners = np.zeros(ranks, int), []
    for count in counts:
        owners.append(int(loads.argmin()))
        loads[owners[-1]] += count
    return pd.Series(owners, index=counts.index, dtype=int)


def shares(table: pd.DataFrame, fold: int, ranks: int) -> list[pd.DataFrame]:
    """For each rank the rows of its shards of all other folds.

    Raises:
        ShardError: fewer shards than ranks, or a rank without reals or without fakes.
    """
    training = table[table["fold"] != fold]
    owners = deal_shards(training, ranks)
    dealt = [training[training["shard"].map(owners) == rank] for rank in range(ranks)]
    if any(part["label"].nunique() < 2 for part in dealt):
        raise ShardError(
            f"{len(owners)} shards to train on for {ranks} processes: each needs shards with reals and fakes; pack "
            "again with a smaller --shard-samples"
        )
    return dealt


def sharded_samples(dealt: list[pd.DataFrame], fold: int, seed: int, oversample: bool) -> int:
    """An epoch's samples: as many for each rank as the one with the fewest has."""
    return len(dealt) * min(len(training_rows(part, fold, 0, seed, oversample)) for part in dealt)


def sharded_rows(
    dealt: list[pd.DataFrame], fold: int, epoch: int, seed: int, oversample: bool, steps: int, batch_size: int
) -> pd.DataFrame:
    """An epoch's rows of all ranks: at its positions (`loading.training_positions`), each finds rows of its shards.

    No more than `WINDOW` shards of a rank are mixed, and wanted, at any moment: where it has more, see `_by_shard`.
    """
    ranks, each = len(dealt), steps * batch_size
    order = np.empty(ranks * each, int)
    rows: list[pd.DataFrame] = []
    for rank, part in enumerate(dealt):
        drawn = training_rows(part, fold, epoch, seed, oversample)
        if drawn["shard"].nunique() > WINDOW:
            drawn = _by_shard(drawn, np.random.default_rng([seed, epoch, rank, _ORDER]))
        rows.append(drawn.iloc[:each])
        order[training_positions(order.size, steps, batch_size, rank, ranks)] = rank * each + np.arange(each)
    return pd.concat(rows).iloc[order].reset_index(drop=True)


def _by_shard(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The rows, going through their shards in random order: each row comes at a random moment of the `WINDOW` shards'
    time that begins with its own shard."""
    shards = rng.permutation(np.sort(rows["shard"].unique()))
    turns = rows["shard"].map(pd.Series(np.arange(len(shards)), index=shards)).to_numpy()
    return rows.iloc[np.argsort(turns + rng.uniform(0, WINDOW, len(rows)), kind="stable")]


def sharded_validation_positions(rows: pd.DataFrame, rank: int, ranks: int) -> np.ndarray:
    """Positions of the validation rows in this rank's shards, each exactly one rank's; shard by shard where these are
    more than `WINDOW`."""
    owners = deal_shards(rows, ranks)
    own = np.flatnonzero((rows["shard"].map(owners) == rank).to_numpy())
    shards = rows["shard"].to_numpy()[own]
    return own if len(set(shards)) <= WINDOW else own[np.argsort(shards, kind="stable")]
