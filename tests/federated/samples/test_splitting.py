"""Dealing originals out to owners."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake.datasets.folds import COLUMNS, FoldError
from federated.samples.splitting import KINDS, TEST, TRAIN, split_by_owner

pytestmark = pytest.mark.federated


def fold_table(crops: dict[str, tuple[int, int]]) -> pd.DataFrame:
    """Original -> (fold, crops of it and of its fake)."""
    rows = [
        (video, f"{10 * n}_0.png", label, original, 10 * n, fold)
        for original, (fold, count) in crops.items()
        for video, label in ((original, 0), (f"{original}_fake", 1))
        for n in range(count)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


@st.composite
def tables(draw):
    owners = draw(st.integers(1, 4))
    train = draw(st.lists(st.integers(1, 9), min_size=owners, max_size=12))
    test = draw(st.lists(st.integers(1, 9), min_size=owners, max_size=5))
    crops = {f"t{n}": (draw(st.integers(1, 3)), count) for n, count in enumerate(train)}
    crops |= {f"v{n}": (0, count) for n, count in enumerate(test)}
    table = fold_table(crops).sample(frac=1, random_state=draw(st.integers(0, 99))).reset_index(drop=True)
    return owners, table


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(0, 5))
def test_every_crop_is_with_one_owner_and_no_original_with_two(made, seed):
    owners, table = made
    parts = split_by_owner(table, owners, fold=0, seed=seed)
    assert len(parts) == owners
    assert sorted(i for part in parts for rows in part.values() for i in rows.index) == list(table.index)
    held = [set(pd.concat(part.values())["original"]) for part in parts]
    assert sum(len(originals) for originals in held) == len(set.union(*held))
    for part in parts:
        assert set(part[TEST]["fold"]) == {0} and 0 not in set(part[TRAIN]["fold"])
        for kind in KINDS:
            assert set(part[kind]["label"]) == {0, 1}
            assert part[kind].index.is_monotonic_increasing  # the table's order: epochs draw as from the whole


def test_shares_are_kept_as_well_as_originals_allow():
    table = fold_table({f"t{n}": (1, 4) for n in range(12)} | {f"v{n}": (0, 4) for n in range(4)})
    train = [len(part[TRAIN]) for part in split_by_owner(table, 2, 0, shares=[3, 1])]
    assert train == [72, 24]


def test_the_same_seed_gives_the_same_split_and_another_one_another():
    table = fold_table({f"t{n}": (1, 4) for n in range(12)} | {f"v{n}": (0, 4) for n in range(4)})

    def originals(seed):
        return [set(part[TRAIN]["original"]) for part in split_by_owner(table, 2, 0, seed=seed)]

    assert originals(1) == originals(1) != originals(2)


def test_fakes_of_fakes_stay_with_the_first_original():
    table = fold_table({"a": (1, 3), "b": (1, 3), "va": (0, 1), "vb": (0, 1)})
    table.loc[len(table)] = ("again", "0_0.png", 1, "a_fake", 0, 1)
    (with_a,) = [p for p in split_by_owner(table, 2, 0) if "a" in set(p[TRAIN]["original"])]
    assert "again" in set(with_a[TRAIN]["video"])


@pytest.mark.parametrize(
    ("owners", "shares", "message"),
    [(3, None, "1 originals .* to test with for 3 owners"), (2, [1], "2 numbers above 0"), (2, [1, 0], "above 0")],
)
def test_what_cannot_be_dealt_out_is_reported(owners, shares, message):
    table = fold_table({"a": (1, 2), "b": (1, 2), "c": (1, 2), "v": (0, 2)} | ({"w": (0, 2)} if shares else {}))
    with pytest.raises(ValueError, match=message):
        split_by_owner(table, owners, 0, shares)


def test_an_original_in_two_folds_is_refused():
    table = fold_table({"a": (1, 2), "b": (1, 2), "v": (0, 2), "w": (0, 2)})
    table.loc[table["video"] == "a_fake", "fold"] = 0
    with pytest.raises(FoldError, match="original a: it and its fakes are in 2 folds"):
        split_by_owner(table, 2, 0)


def test_a_fake_that_names_no_original_is_dealt_alone():
    table = fold_table({"a": (1, 2), "b": (1, 2), "c": (0, 2), "d": (0, 2)})
    alone = pd.DataFrame([("f", "0_0.png", 1, "f", 0, 1)], columns=list(COLUMNS))
    parts = split_by_owner(pd.concat([table, alone], ignore_index=True), 2, fold=0)
    assert sorted(video for part in parts for video in part[TRAIN]["video"]) == sorted([*table[:8]["video"], "f"])
