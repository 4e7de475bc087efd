import numpy as np
import pandas as pd
import pytest

from deepfake.datasets.folds import FoldError
from training.datasets.sampling import check_folds, steps_per_epoch, training_rows, validation_rows


def table(reals=4, fakes=12, frames=(0, 10, 20, 30), folds=4) -> pd.DataFrame:
    videos = [(f"r{n}", 0) for n in range(reals)] + [(f"f{n}", 1) for n in range(fakes)]
    rows = [
        (v, f"{t}_0.png", label, f"r{int(v[1:]) % reals}", t, int(v[1:]) % folds) for v, label in videos for t in frames
    ]
    return pd.DataFrame(rows, columns=["video", "file", "label", "original", "frame", "fold"])


def keys(rows):
    return list(zip(rows["video"], rows["frame"]))


def test_as_many_fakes_as_reals_without_replacement_and_never_the_fold():
    rows = training_rows(table(), fold=1, epoch=0, seed=777)
    assert (rows["label"] == 0).sum() == (rows["label"] == 1).sum() == 12
    assert len(set(keys(rows))) == len(rows)
    assert 1 not in set(rows["fold"])
    assert rows["label"].nunique() == 2 and set(rows["label"][:10]) == {0, 1}, "shuffled"


def test_the_draw_follows_from_epoch_and_seed():
    first = keys(training_rows(table(), 1, 0, 777))
    assert first == keys(training_rows(table(), 1, 0, 777))
    assert first != keys(training_rows(table(), 1, 1, 777))
    assert set(first) != set(keys(training_rows(table(), 1, 1, 777)))
    assert keys(training_rows(table(), 1, 1, 111)) == keys(training_rows(table(), 1, 0, 222)), "(epoch + 1) * seed"


def test_without_oversampling_every_row_counts():
    rows = training_rows(table(), 1, 0, 777, oversample=False)
    assert len(rows) == 4 * (3 + 9)


def test_fewer_fakes_than_reals():
    rows = training_rows(table(reals=8, fakes=4), 1, 0, 777)
    assert (rows["label"] == 1).sum() == 12


@pytest.mark.parametrize(("frames", "expected"), [((0, 10, 20, 30), {0, 20}), ((0, 5, 10, 15), {0, 10}), ((0,), {0})])
def test_validation_looks_at_every_second_kept_frame(frames, expected):
    rows = validation_rows(table(frames=frames), 2)
    assert set(rows["frame"]) == expected
    assert set(rows["video"]) == {"r2", "f2", "f6", "f10"}
    assert len(rows) == 4 * len(expected)


def test_folds_that_cannot_be_used():
    check_folds(table(), 0, "folds.csv")
    with pytest.raises(
        FoldError, match=r"folds\.csv: no real crops to validate on with fold 9 .*folds there: 0, 1, 2, 3"
    ):
        check_folds(table(), 9, "folds.csv")
    with pytest.raises(FoldError, match="no real crops to train on with fold 0"):
        check_folds(table(folds=1), 0, "folds.csv")
    fakes_only_elsewhere = table()
    fakes_only_elsewhere = fakes_only_elsewhere[
        (fakes_only_elsewhere["label"] == 0) | (fakes_only_elsewhere["fold"] > 0)
    ]
    with pytest.raises(FoldError, match="no fake crops to validate"):
        check_folds(fakes_only_elsewhere, 0, "folds.csv")
    with pytest.raises(FoldError, match="labels"):
        check_folds(table().assign(label=np.int64(2)), 0, "folds.csv")


def test_steps():
    assert steps_per_epoch(100, 12, 2, 2500) == 4
    assert steps_per_epoch(100, 12, 2, 3) == 3
    with pytest.raises(ValueError, match="7 training samples do not fill one batch of 4 in 2"):
        steps_per_epoch(7, 4, 2, 10)
