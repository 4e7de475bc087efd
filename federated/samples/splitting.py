"""Which owner gets which originals: all fakes of an original stay with it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pandas as pd

from deepfake.datasets.folds import SEED, FoldError
from deepfake.datasets.records import families_of

TRAIN, TEST = "train", "test"
KINDS = (TRAIN, TEST)


def split_by_owner(
    table: pd.DataFrame, owners: int, fold: int, shares: Sequence[float] | None = None, seed: int = SEED
) -> list[dict[str, pd.DataFrame]]:
    """Deals a fold table out.

    Args:
        table: of `deepfake.datasets.folds.read_folds`.
        fold: its videos are what owners test with, all others what they train on.
        shares: the owners' parts of the crops; None: the same for all.
        seed: of which originals go where.

    Returns:
        For each owner its rows by kind (`TRAIN`, `TEST`), in the table's order. No original, nor a fake of it, is
        with two owners, and none is in both of an owner's kinds.

    Raises:
        FoldError: an original in two folds, or too few originals for every owner to get one of each kind.
        ValueError: shares that are not one positive number for each owner.
    """
    wanted = _shares(owners, shares)
    family = table["video"].map(families_of(dict(zip(table["video"], table["original"]))))
    _check_leaks(family, table["fold"])
    parts: list[dict[str, pd.DataFrame]] = [{} for _ in range(owners)]
    for kind, of_kind in ((TRAIN, table["fold"] != fold), (TEST, table["fold"] == fold)):
        sizes = family[of_kind].value_counts().to_dict()
        if len(sizes) < owners:
            raise FoldError(
                f"fold {fold}: {len(sizes)} originals (with their fakes) to {kind} with for {owners} owners; fewer "
                "owners, another --fold, or folds of more originals (generate_folds.py --split-by original "
                "--n-splits N)"
            )
        owner_of = _deal(sizes, wanted, seed)
        dealt = family.map(owner_of)
        for owner in range(owners):
            parts[owner][kind] = table[of_kind & (dealt == owner)]
    return parts


def _shares(owners: int, shares: Sequence[float] | None) -> np.ndarray:
    wanted = np.asarray(shares if shares is not None else [1.0] * owners, np.float64)
    if len(wanted) != owners or not (np.isfinite(wanted) & (wanted > 0)).all():
        raise ValueError(f"shares {list(wanted)}: expected {owners} numbers above 0, one an owner")
    return wanted / wanted.sum()


def _deal(sizes: dict[str, int], shares: np.ndarray, seed: int) -> dict[str, int]:
    """Family -> owner: the largest first, to whom lacks most of its share; everybody gets one at least."""
    families = sorted(sizes)
    random.Random(seed).shuffle(families)
    families.sort(key=lambda family: -sizes[family])
    held, owner_of = np.zeros(len(shares)), {}
    for left, family in zip(range(len(families), 0, -1), families):
        empty = np.flatnonzero(held == 0)
        among = empty if left <= len(empty) else np.arange(len(shares))
        owner = among[np.argmin(held[among] / shares[among])]
        held[owner] += sizes[family]
        owner_of[family] = int(owner)
    return owner_of


def _check_leaks(family: pd.Series, fold: pd.Series) -> None:
    folds = fold.groupby(family).nunique()
    if (folds > 1).any():
        raise FoldError(f"original {folds.idxmax()}: it and its fakes are in {folds.max()} folds; make the folds anew")
