"""Which crops an epoch trains on and which ones validate it (tables as `read_folds` gives them)."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from deepfake.datasets.folds import FoldError

VALIDATION_STEP = 2
"""Validation looks at every second kept frame."""

_SEEDS = 2**32


def training_rows(table: pd.DataFrame, fold: int, epoch: int, seed: int, oversample: bool = True) -> pd.DataFrame:
    """The rows of all other folds in this epoch's order.

    As many fakes as reals are drawn without replacement, others in each epoch, so reals weigh more than in the table;
    `oversample=False` takes every row. Both the draw and the order follow from `(epoch + 1) * seed`.
    """
    rows = table[table["fold"] != fold]
    random_state = (epoch + 1) * seed % _SEEDS
    if oversample:
        reals, fakes = rows[rows["label"] == 0], rows[rows["label"] == 1]
        fakes = fakes.sample(n=min(len(reals), len(fakes)), replace=False, random_state=random_state)
        rows = pd.concat([reals, fakes])
    return rows.sample(frac=1, random_state=random_state).reset_index(drop=True)


def validation_rows(table: pd.DataFrame, fold: int) -> pd.DataFrame:
    """The fold's rows of every second kept frame (with every 10th kept: `frame % 20 == 0`), in a stable order."""
    kept_every = int(np.gcd.reduce(table["frame"].to_numpy())) or 1
    rows = table[(table["fold"] == fold) & (table["frame"] % (VALIDATION_STEP * kept_every) == 0)]
    return rows.sort_values(["video", "frame", "file"]).reset_index(drop=True)


def check_folds(table: pd.DataFrame, fold: int, source: str) -> None:
    """Raises FoldError unless there are reals and fakes both to train on and to validate with."""
    folds = ", ".join(str(f) for f in sorted(table["fold"].unique()))
    labels = set(table["label"].unique())
    if not labels <= {0, 1}:
        raise FoldError(f"{source}: labels {sorted(labels)}; expected 0 for real and 1 for fake")
    parts = (("validate on", validation_rows(table, fold)), ("train on", table[table["fold"] != fold]))
    for purpose, rows in parts:
        for label, name in ((0, "real"), (1, "fake")):
            if not (rows["label"] == label).any():
                raise FoldError(
                    f"{source}: no {name} crops to {purpose} with fold {fold} held out (folds there: {folds}); choose "
                    "another --fold, or make the folds anew with --split-by original and fewer --n-splits"
                )


def steps_per_epoch(samples: int, batch_size: int, world_size: int, most: int) -> int:
    """How many whole batches an epoch has for each process: at most `most`.

    Raises:
        ValueError: the samples do not fill one batch in each process.
    """
    steps = math.floor(samples / (batch_size * world_size))
    if steps == 0:
        raise ValueError(
            f"{samples} training samples do not fill one batch of {batch_size} in {world_size} process(es); "
            "lower optimizer.batch_size in the config"
        )
    return min(steps, most)
